"""Where lanes run: the ladder of sizes, devices, memory."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import DESCENT, DESCENT_SPACE, ONE, TWO, tune

import jaxtune as jt
from jaxtune.engine import ladder as ladders, memory
from jaxtune.engine.ladder import Size, choose_ladder, fit, ladder
from jaxtune.engine.memory import check_memory
from jaxtune.engine.placement import Placement

CPU, GPU = (Size(8, 4), Size(2, 1)), (Size(512, 512), Size(128, 128), Size(32, 32))


@pytest.mark.parametrize(
    ("lanes", "widest", "steps"),
    [
        (128, 4, [(128, 4), (2, 1)]),
        (128, 16, [(128, 16), (8, 4), (2, 1)]),
        (9, 64, [(16, 16), (8, 4), (2, 1)]),
        (8, 64, [(8, 4), (2, 1)]),
        (3, 4, [(4, 4), (2, 1)]),
        (2, 2, [(2, 1)]),
        (30, 12, [(48, 12), (8, 4), (2, 1)]),
        (3, 1, [(4, 1)]),
    ],
)
def test_ladders_of_a_cpu(lanes, widest, steps):
    assert [tuple(s) for s in ladder(lanes, widest, CPU)] == steps


@pytest.mark.parametrize(("widest", "lower"), [(w, CPU) for w in (1, 2, 3, 5, 8, 12, 64)] + [(1024, GPU), (64, GPU)])
def test_every_ladder_is_sound(widest, lower):
    """What `advance` relies on: whole chunks, room for all, smaller and smaller, at most four programs."""
    for lanes in range(1, 100):
        steps = ladder(lanes, widest, lower)
        assert len(steps) <= 4
        assert steps[0].rows >= lanes
        assert all(step.rows % step.width == 0 for step in steps)
        assert all(small.rows < large.rows for large, small in pairwise(steps))
        assert all(small.width <= large.width for large, small in pairwise(steps))


def test_a_larger_search_adds_only_the_first_size():
    for few, many in ((3, 1000), (100, 1000), (9, 12)):
        new = set(ladder(many, 16, CPU)) - set(ladder(few, 16, CPU))
        assert len(new) <= 1


def test_fit_is_the_narrowest_that_holds_them():
    steps = ladder(64, 8, CPU)
    assert [fit(steps, lanes).rows for lanes in (64, 9, 8, 3, 2, 1)] == [64, 64, 8, 8, 2, 2]


def width(lane_bytes, *, where=TWO, lanes=1000, l2=2**20, measured=(), monkeypatch):
    """Of lanes that work on as many bytes of state as of other values."""
    monkeypatch.setattr(ladders, "_l2_bytes", lambda: l2)
    return choose_ladder(where, where.mesh(), lanes, lane_bytes, lane_bytes, dict(measured))[0].width


def test_chunks_on_a_cpu_stay_in_the_cache(monkeypatch):
    """The larger the cache and the smaller the states, the wider; within bounds."""
    widths = [width(2**14, l2=2**k, monkeypatch=monkeypatch) for k in (19, 20, 21)]
    assert widths == [8, 16, 32]
    assert widths == [width(2**k, monkeypatch=monkeypatch) for k in (15, 14, 13)]
    assert width(1, monkeypatch=monkeypatch) == width(2, monkeypatch=monkeypatch) <= 128
    assert width(10**9, monkeypatch=monkeypatch) == 2


def test_small_lanes_share_the_cores_of_a_lone_device(monkeypatch):
    assert width(2**14, where=ONE, monkeypatch=monkeypatch) == 64
    assert width(2**16, where=ONE, monkeypatch=monkeypatch) == width(2**16, monkeypatch=monkeypatch) == 4


def test_chunks_are_no_wider_than_the_population():
    where = Placement(devices=ONE.devices, lanes=64)
    widths = [choose_ladder(where, where.mesh(), lanes, 1, 1, {})[0].width for lanes in (1, 8, 9, 17, 100)]
    assert widths == [1, 2, 16, 32, 64]


def test_chunks_are_narrower_where_the_last_one_would_be_nearly_empty(monkeypatch):
    """25 lanes are 28 in chunks of four, 26 in chunks of two; 27 and 250 are as good in chunks of four."""
    widths = [width(2**15, lanes=lanes, l2=2**19, monkeypatch=monkeypatch) for lanes in (24, 25, 27, 250)]
    assert widths == [4, 2, 4, 4]
    assert width(2**17, lanes=3, l2=2**19, monkeypatch=monkeypatch) == 2  # single lanes cost much more
    where = Placement(devices=TWO.devices, lanes=4)
    assert width(2**15, where=where, lanes=25, monkeypatch=monkeypatch) == 4  # as wanted


def test_what_was_measured_goes_before_the_rule(monkeypatch):
    times = {1: 4e-3, 2: 3e-3, 8: 2e-3, 32: 5e-3}
    assert width(2**14, measured=times, monkeypatch=monkeypatch) == 8 != width(2**14, monkeypatch=monkeypatch)
    assert width(2**14, measured=times, lanes=3, monkeypatch=monkeypatch) == 2  # no wider than the population
    assert width(2**14, where=Placement(devices=TWO.devices, lanes=2), measured=times, monkeypatch=monkeypatch) == 2


def test_lanes_can_be_chosen(monkeypatch):
    assert width(10**9, where=Placement(devices=ONE.devices, lanes=32), monkeypatch=monkeypatch) == 32


def test_memory_error_says_how_many_lanes_fit(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda mesh: 10_000_000)
    check_memory(ONE.mesh(), slots=4, lane_bytes=2_000_000, others=2_000_000)
    message = "Arrays for 8 lanes of 2 MB need 0.016 GB, but 0.01 GB are free: about 4 lanes would fit"
    with pytest.raises(MemoryError, match=message):
        check_memory(ONE.mesh(), slots=8, lane_bytes=2_000_000)
    message = "need 0.008 GB beside 0.003 GB of data, other groups and scratch, but .*: about 2 lanes"
    with pytest.raises(MemoryError, match=message):
        check_memory(ONE.mesh(), slots=4, lane_bytes=2_000_000, others=3_000_000)
    with pytest.raises(MemoryError, match="beside 0.007 GB of data, other groups and scratch, but .*: about 1 lanes"):
        check_memory(ONE.mesh(), slots=4, lane_bytes=2_000_000, others=3_000_000, scratch=4_000_000)


def test_a_population_is_refused_with_its_padding(monkeypatch):
    """33 trials take the arrays of 64."""
    monkeypatch.setattr(memory, "available_memory", lambda mesh: 28 * 63)
    monkeypatch.setattr("jaxtune.engine.programs.check_scratch", lambda *_: None)
    monkeypatch.setattr("jaxtune.engine.layouts.scratch_bytes", lambda *_: 0)
    tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(trials=32, steps=2))
    with pytest.raises(MemoryError, match="^Arrays for 64 lanes of .* about 32 lanes would fit"):
        tune(DESCENT, DESCENT_SPACE, scheduler=jt.FullBudget(trials=33, steps=2))


def test_all_groups_and_the_data_have_to_fit_together(monkeypatch):
    monkeypatch.setattr("jaxtune.engine.programs.check_scratch", lambda *_: None)
    monkeypatch.setattr("jaxtune.engine.layouts.scratch_bytes", lambda *_: 0)
    space = DESCENT_SPACE | {"size": jt.Choice((3, 4), static=True)}
    task = DESCENT.replace(
        init=lambda key, hp: DESCENT.init(key, hp) | {"size": jnp.zeros(hp["size"])},
        validation=np.zeros(1000, np.float32),
    )
    needed = 8 * (28 + 4 * 3) + 8 * (28 + 4 * 4) + 4000
    options = {"scheduler": jt.FullBudget(trials=16, steps=2), "sampler": jt.Grid(8)}
    monkeypatch.setattr(memory, "available_memory", lambda mesh: needed)
    tune(task, space, **options)
    monkeypatch.setattr(memory, "available_memory", lambda mesh: needed - 1)
    with pytest.raises(MemoryError, match="^Arrays for 8 lanes of .* of data, other groups and scratch"):
        tune(task, space, **options)


def test_tune_refuses_a_population_that_cannot_fit(monkeypatch):
    """A lane of DESCENT is two vectors of three float32 and a counter: 28 bytes."""
    monkeypatch.setattr(memory, "available_memory", lambda mesh: 28 * 16)
    monkeypatch.setattr("jaxtune.engine.programs.check_scratch", lambda *_: None)
    monkeypatch.setattr("jaxtune.engine.layouts.scratch_bytes", lambda *_: 0)
    scheduler = jt.FullBudget(trials=16, steps=20)
    assert len(tune(DESCENT, DESCENT_SPACE, scheduler=scheduler).trials) == 16
    with pytest.raises(MemoryError, match="^Arrays for 48 lanes of .* about 12 lanes would fit"):
        tune(DESCENT, DESCENT_SPACE, scheduler=scheduler, replicates=3)


def test_memory_of_a_cpu_is_what_the_system_has_left():
    assert 2**20 < memory.available_memory(TWO.mesh()) < 2**50


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "8"])
@pytest.mark.parametrize("name", ["lanes", "max_programs"])
def test_needs_whole_numbers(name, value):
    with pytest.raises(ValueError, match=f"Placement needs {name} to be a whole number >= 1, got {name}={value!r}"):
        Placement(**{name: value})


def test_needs_a_device():
    with pytest.raises(ValueError, match="at least one device"):
        Placement(devices=[])


def test_devices_are_taken_in_order():
    assert Placement().mesh().devices.tolist() == jax.devices()
    assert TWO.mesh().devices.tolist() == jax.devices()[:2]
    assert Placement(devices=jax.devices()[:2]) == TWO  # a list becomes a tuple: a hashable value
    assert hash(Placement(devices=jax.devices()[:2])) == hash(TWO)
