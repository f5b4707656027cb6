"""Batch order: epochs are permutations, whatever the batch size and the burst of steps."""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtune.engine.batches import _position, batch_indices, empty_window

KEY = jax.random.key(3)
SIZES = [(10, 3), (7, 7), (8, 6), (13, 1), (5, 4)]  # examples, batch size
by_size = pytest.mark.parametrize(("num_examples", "batch_size"), SIZES)


@partial(jax.jit, static_argnums=(3, 4))
def _burst(window, first, count, batch_size, burst):
    return batch_indices(window, KEY, first, count, batch_size, burst)


def stream(num_examples, batch_size, *, burst, start=0, num_bursts):
    """Indices [num_bursts * burst, batch_size], drawn burst by burst."""
    window, parts = empty_window(num_examples, num_examples, batch_size, burst), []
    for index in range(num_bursts):
        part, window = _burst(window, jnp.int32(start + index * burst), jnp.int32(num_examples), batch_size, burst)
        parts.append(np.asarray(part))
    return np.concatenate(parts)


@lru_cache
def whole(num_examples, batch_size):
    """The first 200 batches."""
    return stream(num_examples, batch_size, burst=50, num_bursts=4)


def epochs(num_examples, batch_size):
    """The whole permutations in the first 200 batches [epochs, num_examples]."""
    flat = whole(num_examples, batch_size).reshape(-1)
    return flat[: len(flat) // num_examples * num_examples].reshape(-1, num_examples)


@by_size
def test_every_example_once_per_epoch(num_examples, batch_size):
    for epoch in epochs(num_examples, batch_size):
        assert sorted(epoch) == list(range(num_examples))


@by_size
@pytest.mark.parametrize("burst", [1, 7])
def test_the_burst_does_not_matter(num_examples, batch_size, burst):
    """Bursts are about loops: batches that cross the border of an epoch or of a burst are the same."""
    number = 200 // burst
    pieces = stream(num_examples, batch_size, burst=burst, num_bursts=number)
    np.testing.assert_array_equal(pieces, whole(num_examples, batch_size)[: burst * number])


@by_size
def test_the_start_does_not_matter(num_examples, batch_size):
    for start in (1, 6, 23):
        late = stream(num_examples, batch_size, burst=7, start=start, num_bursts=3)
        np.testing.assert_array_equal(late, whole(num_examples, batch_size)[start : start + 21])


def test_a_window_may_be_reused_after_a_jump():
    """A window that holds other epochs is brought up to date, not trusted."""
    window, count = empty_window(10, 10, 3, 4), jnp.int32(10)
    _, window = _burst(window, jnp.int32(100), count, 3, 4)
    indices, _ = _burst(window, jnp.int32(8), count, 3, 4)
    np.testing.assert_array_equal(indices, whole(10, 3)[8:12])


def test_epochs_differ():
    orders = epochs(13, 1)
    assert len({tuple(epoch) for epoch in orders}) == len(orders) == 15


def test_keys_differ():
    keys = jax.random.split(KEY, 5)
    window, first, count = empty_window(20, 20, 5, 4), jnp.int32(0), jnp.int32(20)
    draw = jax.vmap(lambda key: batch_indices(window, key, first, count, 5, 4)[0])
    assert len({indices.tobytes() for indices in np.asarray(draw(keys))}) == 5


def test_positions_are_uniform():
    """Every example is as likely at the beginning of an epoch as at its end."""
    orders = stream(5, 5, burst=2000, num_bursts=1)  # [epoch, position]
    counts = np.stack([(orders == example).sum(axis=0) for example in range(5)])  # [example, position]
    assert np.abs(counts - 400).max() < 5 * np.sqrt(400 * 0.8)


LATE = [0, 1, 999, 10**6, 2**30, 2**31 - 1]


@pytest.mark.parametrize(("num_examples", "batch_size"), [*SIZES, (1400, 64), (60_000, 128), (50_021, 512)])
def test_large_batch_numbers_do_not_overflow(num_examples, batch_size):
    position, count = jax.jit(_position, static_argnums=(1, 3)), jnp.int32(num_examples)
    for batch in LATE:
        epoch, offset = divmod(batch * batch_size, num_examples)  # Python integers have no bounds
        if epoch < 2**31:
            assert tuple(map(int, position(jnp.int32(batch), batch_size, count, num_examples))) == (epoch, offset)


def test_large_data_and_large_batches_do_not_overflow():
    for batch in LATE[:4]:
        expected = divmod(batch * 4096, 1_281_167)
        assert tuple(map(int, _position(jnp.int32(batch), 4096, jnp.int32(1_281_167), 1_281_167))) == expected
