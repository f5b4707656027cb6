"""A search that runs out of memory goes on with fewer lanes at once, and finds what it would have found."""

import jax
import numpy as np
import pytest
from counting import VALLEY, VALLEY_SPACE, valley
from toys import NET, NET_SPACE, ONE, TWO, tune

import jaxtune as jt
from jaxtune.engine import memory
from jaxtune.engine.programs import Programs
from jaxtune.engine.recovery import ran_out_of_memory

HALVING = jt.SuccessiveHalving(64, min_steps=10, max_steps=40, eta=2)
WIDE = jt.Placement(devices=TWO.devices, lanes=16)


def exhausted():
    return jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 160000000000 bytes.")


@pytest.fixture
def fail(monkeypatch):
    """Makes a program fail at a given call while more lanes than given are trained at once; collects the widths."""

    def install(name, at, width, loses):
        run, calls, widths = getattr(Programs, name), [], []

        def failing(self, layout, lanes, *args):
            calls.append(layout.width)
            widths.append(layout.width)
            if len(calls) > at and layout.width > width:
                if loses:
                    jax.tree.map(lambda x: x.delete(), lanes)
                raise exhausted()
            return run(self, layout, lanes, *args)

        monkeypatch.setattr(Programs, name, failing)
        return widths

    return install


def same(a, b, **tolerance):
    for one, other in zip(a.trials, b.trials, strict=True):
        assert (one.steps, one.status, one.hparams) == (other.steps, other.status, other.hparams)
        np.testing.assert_allclose(one.metrics["loss"], other.metrics["loss"], **tolerance)


@pytest.mark.parametrize("loses", [False, True], ids=["kept", "lost"])
@pytest.mark.parametrize(("name", "at"), [("advance", 0), ("advance", 1), ("evaluate", 1)])
def test_a_search_goes_on_with_fewer_lanes(fail, capsys, name, at, loses):
    arguments = {"scheduler": HALVING, "placement": WIDE}
    expected = tune(NET, NET_SPACE, **arguments)
    widths = fail(name, at, width=2, loses=loses)
    found = tune(NET, NET_SPACE, **arguments, progress=True)
    assert 16 in widths
    assert widths[-1] <= 2
    same(found, expected, rtol=1e-4)
    for ours, theirs in zip(jax.tree.leaves(found.best.state), jax.tree.leaves(expected.best.state), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)
    assert "Memory ran out: the search goes on with fewer lanes at once, 2 on each device." in " ".join(
        capsys.readouterr().err.split()
    )


def test_the_best_checkpoints_survive(fail):
    """VALLEY's loss falls and rises again: the checkpoint that counts is from long before memory ran out."""
    arguments = {"scheduler": jt.FullBudget(8, 12), "evaluate_every": 2, "keep": "best", "placement": WIDE}
    expected = tune(VALLEY, VALLEY_SPACE, **arguments)
    fail("advance", at=4, width=1, loses=True)
    found = tune(VALLEY, VALLEY_SPACE, **arguments)
    same(found, expected, rtol=1e-6)
    assert found.best.best_step == expected.best.best_step < 10
    count = int(found.best.state["count"])
    assert count == found.best.best_step
    np.testing.assert_allclose(found.best.metrics["loss"], valley(**found.best.hparams, count=count), rtol=1e-5)


def test_exploits_are_followed(fail):
    arguments = {"scheduler": jt.PopulationBasedTraining(8, 40, interval=10), "placement": WIDE}
    expected = tune(NET, NET_SPACE, **arguments)
    fail("advance", at=3, width=1, loses=True)
    found = tune(NET, NET_SPACE, **arguments)
    assert [t.lineage for t in found.trials] == [t.lineage for t in expected.trials]
    same(found, expected, rtol=1e-4)


def test_other_groups_stay_as_they_are(fail):
    space = NET_SPACE | {"batch_size": jt.Choice([4, 8])}
    arguments = {"scheduler": jt.FullBudget(16, 20), "placement": WIDE}
    expected = tune(NET, space, **arguments)
    fail("advance", at=2, width=2, loses=True)
    same(tune(NET, space, **arguments), expected, rtol=1e-4)


def test_single_lanes_that_do_not_fit_are_an_error(fail):
    fail("advance", at=0, width=0, loses=True)
    with pytest.raises(MemoryError, match="even for a single lane at once on each device"):
        tune(NET, NET_SPACE, scheduler=jt.FullBudget(4, 10), placement=ONE)


def test_what_is_known_survives_when_nothing_helps(fail):
    expected = tune(NET, NET_SPACE, scheduler=HALVING, placement=ONE)
    fail("evaluate", at=1, width=0, loses=True)
    found = tune(NET, NET_SPACE, scheduler=HALVING, placement=ONE)
    assert found.interrupted
    assert found.history.step.tolist() == [10]
    np.testing.assert_array_equal(found.history.metrics["loss"][0], expected.history.metrics["loss"][0])
    assert found.best.state is None


@pytest.mark.parametrize("loses", [False, True], ids=["kept", "lost"])
def test_in_the_middle_of_a_rung(fail, loses):
    """No step is made twice: the second call of a rung fails, after the first has trained every lane a while."""
    arguments = {"scheduler": jt.FullBudget(8, 300), "placement": WIDE}
    expected = tune(NET, NET_SPACE, **arguments)
    widths = fail("advance", at=1, width=1, loses=loses)
    found = tune(NET, NET_SPACE, **arguments)
    assert len(widths) > 3
    same(found, expected, rtol=0.02)  # a chunk of another width differs in last bits, 300 steps long


@pytest.mark.parametrize("name", ["spawn", "keep", "move"])
@pytest.mark.parametrize(
    "scheduler",
    [HALVING, jt.PopulationBasedTraining(16, 40, interval=10), jt.Hyperband(10, 40, eta=2)],
    ids=["halving", "pbt", "hyperband"],
)
def test_any_program_may_fail(monkeypatch, name, scheduler):
    keep = "best" if name == "keep" else "last"
    if name == "keep" and isinstance(scheduler, jt.PopulationBasedTraining):
        pytest.skip("PBT keeps no checkpoints")
    arguments = {"scheduler": scheduler, "placement": WIDE, "keep": keep}
    expected = tune(NET, NET_SPACE, **arguments)
    run, failures = getattr(Programs, name), [exhausted()]

    def failing(self, layout, *args):
        if failures:
            jax.tree.map(lambda x: x.delete() if isinstance(x, jax.Array) else None, args)
            raise failures.pop()
        return run(self, layout, *args)

    monkeypatch.setattr(Programs, name, failing)
    same(tune(NET, NET_SPACE, **arguments), expected, rtol=1e-4)
    assert not failures


def test_words_of_a_cpu_are_understood():
    words = "INTERNAL: Error dispatching computation: Out of memory allocating 160000000000 bytes."
    assert ran_out_of_memory(jax.errors.JaxRuntimeError(words))
    assert ran_out_of_memory(exhausted())
    assert ran_out_of_memory(MemoryError())
    assert not ran_out_of_memory(jax.errors.JaxRuntimeError("INTERNAL: broken"))


def test_chunks_come_out_even(fail):
    """Nine rows in chunks of four would train three lanes twice."""
    arguments = {"scheduler": jt.FullBudget(9, 20), "placement": jt.Placement(devices=ONE.devices, lanes=9)}
    expected = tune(NET, NET_SPACE, **arguments)
    widths = fail("advance", at=0, width=4, loses=False)
    same(tune(NET, NET_SPACE, **arguments), expected, rtol=1e-4)
    assert widths == [9, 3]


def test_other_errors_are_not_caught(monkeypatch):
    def broken(*_):
        raise jax.errors.JaxRuntimeError("INTERNAL: broken")

    monkeypatch.setattr(Programs, "advance", broken)
    with pytest.raises(jax.errors.JaxRuntimeError, match="broken"):
        tune(NET, NET_SPACE, scheduler=HALVING, placement=ONE)


def test_programs_whose_scratch_cannot_fit_do_not_start(monkeypatch):
    """Found out before they take the population along."""
    scratch = []
    monkeypatch.setattr("jaxtune.engine.programs.check_scratch", lambda mesh, size: scratch.append(size))
    expected = tune(NET, NET_SPACE, scheduler=HALVING, placement=WIDE)
    limit = max(scratch) - 1
    monkeypatch.setattr(memory, "available_memory", lambda mesh: limit * mesh.devices.size)
    monkeypatch.setattr("jaxtune.engine.programs.check_scratch", memory.check_scratch)
    same(tune(NET, NET_SPACE, scheduler=HALVING, placement=WIDE), expected, rtol=1e-4)
    with pytest.raises(MemoryError, match=r"A program needs .* GB of scratch, but .* GB are free"):
        memory.check_scratch(WIDE.mesh(), limit + 1)
