"""Many searches in one process: equal code finds the programs of before, and those that nobody uses any more go."""

import gc
from pathlib import Path

import jax
import pytest
from toys import DESCENT, DESCENT_SPACE, tune

import jaxtune as jt
from jaxtune.tasks import executables

BOUND, SEARCHES = 6, 9
MAPS = Path("/proc/self/maps")


def search(factor):
    """A search whose functions nobody has seen before; its training program depends on the factor, and no other."""

    def step(key, state, batch, hp):
        state, info = DESCENT.step(key, state, batch, hp)
        return state, {"loss": factor * info["loss"]}

    return tune(DESCENT.replace(step=step), DESCENT_SPACE, scheduler=jt.FullBudget(trials=4, steps=4))


def mappings():
    gc.collect()
    return MAPS.read_bytes().count(b"\n")


@pytest.fixture
def registry(compiled, monkeypatch):
    """The programs that are kept during the test: none at first, and a few at most."""
    monkeypatch.setattr(executables.EXECUTABLES, "max_programs", BOUND)
    return executables.EXECUTABLES


def test_equal_code_compiles_nothing_again(registry):
    events = []

    def listen(event, seconds, **rest):
        if event.endswith("backend_compile_duration"):
            events.append(event)

    first = search(1.0)
    kept = len(registry)
    jax.monitoring.register_event_duration_secs_listener(listen)
    again = search(1.0)
    jax.monitoring.unregister_event_duration_listener(listen)
    assert not events
    assert len(registry) == kept
    assert again.best.metrics == first.best.metrics


@pytest.mark.skipif(not MAPS.exists(), reason="only Linux tells the memory mappings of a process")
def test_programs_of_other_code_go(compiled, registry):
    seen = []
    for number in range(SEARCHES):
        search(1 + number / 64)
        seen.append((len(registry), mappings()))
    kept, mapped = zip(*seen, strict=True)
    assert compiled == {"spawn": 1, "advance": SEARCHES, "evaluate": 1}  # what all searches use stays
    assert max(kept) == BOUND
    full = kept.index(BOUND)  # up to there the number of mappings grew, too
    assert SEARCHES - 1 - full > full > 0
    assert mapped[-1] - mapped[full] < mapped[full] - mapped[0]


def test_a_program_that_failed_to_compile_is_tried_again(compiled, monkeypatch):
    """What failed may have been passing: a full disk, too little memory."""
    broken = executables.Program.of

    def fails(lowered):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(executables.Program, "of", fails)
    with pytest.raises(RuntimeError, match="the disk is full"):
        search(1.0)
    monkeypatch.setattr(executables.Program, "of", broken)
    assert search(1.0).best.status == "finished"
