"""The data of a search: training parts as lists of rows, and the order of examples in them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from counting import COUNTING, IDS, LINE, X, Y

import jaxtune as jt
from jaxtune.engine.batches import batch_indices, empty_window
from jaxtune.engine.data import data_bytes, of_fold, on_devices, task_data, whole
from jaxtune.tasks.folds import Fold, make_folds

KEY = jax.random.key(11)


@partial(jax.jit, static_argnames=("capacity", "fewest", "batch_size", "burst", "num_bursts"))
def _stream(count, *, capacity, fewest, batch_size, burst, num_bursts):
    def step(window, index):
        indices, window = batch_indices(window, KEY, index * burst, count, batch_size, burst)
        return window, indices

    window = empty_window(capacity, fewest, batch_size, burst)
    return jax.lax.scan(step, window, jnp.arange(num_bursts, dtype=jnp.int32))[1].reshape(-1)


@pytest.mark.parametrize("batch_size", [1, 4, 7])
@pytest.mark.parametrize("burst", [1, 6])
@pytest.mark.parametrize(("count", "capacity"), [(7, 7), (7, 9), (7, 40), (11, 12), (23, 40)])
def test_examples_below_the_count_once_per_epoch(count, capacity, burst, batch_size):
    stream = np.asarray(
        _stream(jnp.int32(count), capacity=capacity, fewest=7, batch_size=batch_size, burst=burst, num_bursts=60)
    )
    epochs = stream[: len(stream) // count * count].reshape(-1, count)
    assert len(epochs) > 1
    for epoch in epochs:
        assert sorted(epoch) == list(range(count))
    assert stream.min() >= 0
    assert stream.max() < count


def test_epochs_differ_below_the_count():
    stream = _stream(jnp.int32(9), capacity=20, fewest=9, batch_size=3, burst=3, num_bursts=20)
    epochs = np.asarray(stream).reshape(-1, 9)
    assert len({epoch.tobytes() for epoch in epochs}) == len(epochs)


def test_large_data_are_sorted_in_two_arrays():
    """More examples than an index packed with random bits can have."""
    stream = _stream(jnp.int32(4500), capacity=5000, fewest=4500, batch_size=500, burst=9, num_bursts=2)
    for epoch in np.asarray(stream).reshape(2, 4500):
        assert sorted(epoch) == list(range(4500))


# The data of tasks


def test_without_folds_the_training_part_comes_first():
    data = task_data(COUNTING)
    np.testing.assert_array_equal(data.train[0], IDS)  # validation examples follow, for a last training on both
    np.testing.assert_array_equal(data.rows, IDS[None])
    np.testing.assert_array_equal(data.count, [30])
    np.testing.assert_array_equal(data.validation[0], IDS[None, 30:])
    assert data.num_folds == 1


def test_the_devices_of_a_cpu_share_one_copy():
    mesh = jt.Placement(devices=jax.devices()[:4]).mesh()
    placed = on_devices(task_data(COUNTING), mesh)
    for x in [*placed.train, *placed.validation, placed.rows]:
        assert len({shard.data.unsafe_buffer_pointer() for shard in x.addressable_shards}) == 1
    placed_bytes = sum(x.nbytes for x in [*placed.train, *placed.validation])
    assert data_bytes(COUNTING, None, mesh) == placed_bytes


def test_folds_are_rows_of_the_same_arrays():
    task = COUNTING.replace(train=IDS * 2, validation=None)
    folds = [Fold(np.array([3, 1, 5, 9, 8, 7, 6, 2]), np.array([0])), Fold(np.arange(10, 30), np.array([39]))]
    data = task_data(task, folds)
    np.testing.assert_array_equal(data.train[0], IDS * 2)
    np.testing.assert_array_equal(data.count, [8, 20])
    for rows, count, fold in zip(data.rows, data.count, folds, strict=True):
        np.testing.assert_array_equal(rows[:count], fold.train)
    np.testing.assert_array_equal(data.validation[0], [[0], [78]])
    assert data.num_folds == 2
    np.testing.assert_array_equal(data.of_fold(data.validation, jnp.int32(1))[0], [78])


def test_statistics_are_of_the_training_parts():
    task = LINE.replace(train=(X[:18], Y[:18]), validation=None, batch_size=4)
    folds = make_folds(task, 3, seed=0)
    np.testing.assert_allclose(task_data(task, folds).stats[0], [Y[fold.train].mean() for fold in folds], rtol=1e-6)
    np.testing.assert_allclose(task_data(LINE.replace(batch_size=4)).stats[0], [Y[:12].mean()], rtol=1e-6)


@pytest.mark.parametrize("batch_size", [4, None])
def test_all_data_are_training_and_validation_data(batch_size):
    data = whole(LINE.replace(batch_size=batch_size), None)
    x = data.train[0] if batch_size else data.train[0][0]
    np.testing.assert_array_equal(x, X[:18])
    np.testing.assert_allclose(data.stats[0], [Y[:18].mean()], rtol=1e-6)
    if batch_size:
        np.testing.assert_array_equal(data.count, [18])
        np.testing.assert_array_equal(data.rows, np.arange(18)[None])


def test_all_data_of_folds():
    task = COUNTING.replace(train=IDS, validation=None)
    folds = make_folds(task, 3, seed=0)
    searched, last = task_data(task, folds), whole(task, folds)
    assert jax.tree.map(jnp.shape, last) == jax.tree.map(jnp.shape, searched)  # hence the same programs
    np.testing.assert_array_equal(last.count, [40] * 3)
    np.testing.assert_array_equal(last.rows, np.tile(IDS, (3, 1)))


def test_validation_data_of_another_kind_stay_apart():
    task = COUNTING.replace(validation=(IDS[30:], IDS[30:]))
    np.testing.assert_array_equal(task_data(task).train[0], IDS[:30])
    np.testing.assert_array_equal(whole(task, None).count, [30])


def test_the_task_of_a_fold():
    task = LINE.replace(train=(X, Y), validation=None)
    fold = Fold(np.array([4, 2]), np.array([1, 0, 3]))
    one = of_fold(task, fold)
    np.testing.assert_array_equal(one.train[0], X[[4, 2]])
    np.testing.assert_array_equal(one.validation[1], Y[[1, 0, 3]])
