"""Chunk widths are measured where that pays, once, and equal searches get equal widths."""

import json
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from toys import NET, NET_SPACE, ONE, tune

import jaxtune as jt
from jaxtune.engine import measured, width as widths
from jaxtune.engine.width import Width

SCHEDULER = jt.SuccessiveHalving(16, min_steps=4, max_steps=16, eta=4)


@pytest.fixture
def cheap(monkeypatch, tmp_path):
    """Measuring pays always, and is kept in a folder of its own; returns the widths timed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(measured, "_KNOWN", {})
    monkeypatch.setattr(widths, "_CPU_SECONDS", 0.0)
    monkeypatch.setattr(widths, "SHARE", 1e6)
    timed, rows, seconds, measure, measuring = [], set(), widths._seconds, Width.measure, []

    def watched(self, *given):
        measuring.append(True)
        measure(self, *given)
        measuring.pop()

    def spy(group, hp):
        if measuring:  # a plan times a chunk of the rule's width
            timed.append(group.layout.width)
            rows.add(group.layout.rows)
        # No compiler is at work while the clock runs.
        assert all(future.done() for future in group.programs._futures.values())
        return seconds(group, hp)

    monkeypatch.setattr(widths, "_seconds", spy)
    monkeypatch.setattr(Width, "measure", watched)
    yield timed
    assert len(rows) <= 1  # what is done once for all lanes weighs the same at all widths


def search(**arguments):
    return tune(NET, NET_SPACE, **({"scheduler": SCHEDULER, "placement": ONE} | arguments))


def widest(**arguments):
    plan = jt.plan(NET, NET_SPACE, **({"scheduler": SCHEDULER, "placement": ONE} | arguments))
    return plan.groups[0].chunk


def files(tmp_path):
    return list((tmp_path / "jaxtune" / "widths").glob("*.json"))


def test_widths_are_timed_once_and_the_fastest_is_taken(cheap, tmp_path):
    rule = widest()
    assert cheap == files(tmp_path) == []  # a plan measures no widths
    search()
    assert cheap[0] == rule
    assert len(cheap) == len(set(cheap)) > 2
    (kept,) = files(tmp_path)
    assert set(json.loads(kept.read_text())) == set(map(str, cheap))
    kept.write_text(json.dumps({"1": 2.0, "2": 1.0, "8": 3.0}))
    assert widest() == 2
    before = len(cheap)
    chosen = search(seed=3)
    assert len(cheap) == before
    alone = search(seed=3, placement=jt.Placement(devices=ONE.devices, lanes=2))
    for trial, other in zip(chosen.trials, alone.trials, strict=True):
        assert trial.metrics == other.metrics


def test_search_asks_for_what_was_measured(monkeypatch):
    asked = []
    monkeypatch.setattr(Width, "known", property(lambda _: asked.append(True) or {}))
    jt.search(jax.random.key(0), NET, NET_SPACE, scheduler=SCHEDULER)
    assert asked == [True]


def test_measuring_ends_when_its_share_of_the_run_is_spent(cheap, monkeypatch):
    monkeypatch.setattr(widths, "SHARE", 1e-9)
    monkeypatch.setattr(Width, "pays", True)
    search()
    assert len(cheap) == 1


def test_measuring_ends_when_time_is_up(cheap, tmp_path):
    rule = widest()
    for _ in range(2):
        assert search(time_limit=0).interrupted
        assert cheap == [rule]
        assert not files(tmp_path)
        cheap.clear()


def test_short_searches_and_chosen_widths_are_not_measured(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(widths, "_seconds", lambda *_: pytest.fail("measured"))
    search()
    monkeypatch.setattr(widths, "_CPU_SECONDS", 0.0)
    search(placement=jt.Placement(devices=ONE.devices, lanes=2))
    assert not files(tmp_path)


@pytest.mark.parametrize("factor", [10, 1000])
def test_longer_searches_pay(monkeypatch, factor):
    """Work, not trials alone, decides."""
    answers, pays = [], Width.pays
    monkeypatch.setattr(widths, "flops", lambda _: factor * 1e9)
    monkeypatch.setattr(Width, "pays", property(lambda width: answers.append(pays.fget(width)) or False))
    widest()
    # 5 % of so many steps of so many GFLOP, 50 in a second on one device, against 10 s.
    assert set(answers) == {0.05 * SCHEDULER.plan().trial_steps * factor / 50 > 10.0} == {factor == 1000}


def test_widths_that_do_not_fit_are_left_out(cheap, monkeypatch, tmp_path):
    seconds = widths._seconds

    def failing(group, hp):
        if group.layout.width > 4:
            raise MemoryError
        return seconds(group, hp)

    monkeypatch.setattr(widths, "_seconds", failing)
    search()
    (kept,) = files(tmp_path)
    assert {int(width) for width in json.loads(kept.read_text())} == set(cheap) != set()
    assert widest() <= 4


BROKEN = [
    "",
    "{",
    "[1, 2]",
    '{"wide": 1}',
    '{"4": null}',
    '{"4": [1]}',
    '{"0": 1.0}',
    '{"-3": 1.0}',
    '{"4": NaN, "8": 1}',
]


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_file_counts_as_nothing(monkeypatch, tmp_path, text):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(measured, "_KNOWN", {})
    measured.remember("key", {2: 0.5})
    assert measured.recall("key") == {2: 0.5}
    measured._file("key").write_text(text)
    measured._KNOWN.clear()
    assert measured.recall("key") == {}


@pytest.mark.parametrize("home", [True, False], ids=["no folder", "no home"])
def test_where_the_disk_takes_nothing_the_process_remembers(monkeypatch, tmp_path, home):
    def nobody():
        raise RuntimeError("Could not determine home directory.")

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file") if home else "relative")
    monkeypatch.setattr(Path, "home", nobody)
    monkeypatch.setattr(measured, "_KNOWN", {})
    assert measured.recall("key") == {}
    measured.remember("key", {2: 0.5})
    assert measured.recall("key") == {2: 0.5}


def test_keys_tell_tasks_and_devices_apart():
    def key(width, devices, start=4):
        def step(w):
            return (w @ w[:, :width]).sum()

        jaxpr = jax.make_jaxpr(step)(np.ones((4, 4), np.float32)).jaxpr
        functions = SimpleNamespace(step=SimpleNamespace(jaxpr=jaxpr))
        return measured.key_of(functions, jt.Placement(devices=jax.devices()[:devices]).mesh(), start)

    assert key(2, 1) == key(2, 1)
    assert len({key(2, 1), key(3, 1), key(2, 2), key(2, 1, 8)}) == 4
