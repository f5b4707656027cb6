"""Chooses how many lanes a device trains at once: by a rule, or by timing the task where that pays."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxtune.engine import layouts, measured
from jaxtune.engine.costs import flops
from jaxtune.engine.data import Data, on_devices, task_data
from jaxtune.engine.group import Group
from jaxtune.engine.host import Host
from jaxtune.engine.lanes import Layout
from jaxtune.engine.recovery import ran_out_of_memory
from jaxtune.engine.search import Search
from jaxtune.tasks.case import Case

SHARE = 0.05  # of the estimated run that measuring may take
_CPU_FLOPS, _ACCELERATOR_FLOPS = 5e10, 1e13  # of a device in small networks, about
_CPU_SECONDS, _ACCELERATOR_SECONDS = 10.0, 30.0  # what measuring takes, most of it compiling
_FACTORS = (0.25, 0.5, 1, 2, 4)  # candidates, around the rule's width
_BURST, _REPEATS = 4, 3  # steps of a timed call, calls


class Width(NamedTuple):
    """How wide the chunks are in which so many trials of a case are trained."""

    search: Search
    case: Case
    num_trials: int
    recorded: Sequence[tuple[int, int]] | None = None  # sizes of an earlier run of the same search

    @property
    def pays(self) -> bool:
        """Whether they train for so long that measuring takes a small share of it. The same in equal searches."""
        devices = self.search.mesh.devices
        cpu = devices.flat[0].platform == "cpu"
        rate, cost = (_CPU_FLOPS, _CPU_SECONDS) if cpu else (_ACCELERATOR_FLOPS, _ACCELERATOR_SECONDS)
        work = self.search.lane_updates(self.case, self.num_trials) * flops(self.case.functions.step.jaxpr)
        free = self.search.placement.lanes is None and self.recorded is None
        return free and SHARE * work / (rate * devices.size) > cost

    @property
    def known(self) -> dict[int, float]:
        """Width -> seconds per lane and step, where that pays and was measured before."""
        return measured.recall(self._key) if self.pays else {}

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """The sizes that the population takes as it shrinks."""
        return layouts.layouts(self.search, self.case, self.num_trials, self.known, self.recorded)

    @property
    def chosen_by(self) -> str:
        """How the width is found, in a word or two."""
        if self.search.placement.lanes is not None:
            return "you"
        if self.known:
            return "measurement"
        return "rule; measured when it starts" if self.pays else "rule"

    @property
    def _rule(self) -> Layout:
        return layouts.layouts(self.search, self.case, self.num_trials)[0]

    @property
    def _key(self) -> str:
        return measured.key_of(self.case.functions, self.search.mesh, self._rule.width)

    def measure(self, data: Data, trials: np.ndarray, hp: Mapping[str, Any], host: Host) -> None:
        """Times steps at several widths, where that pays and wasn't done before."""
        if not self.pays or self.known:
            return
        begin, seconds = time.monotonic(), dict[int, float]()
        groups = self._candidates(data, trials, host)
        for future in [one for group in groups for one in group.programs.prefetch_training(group.layout)]:
            host.settled(future)  # compilers at work would disturb the clock
        for group in groups:
            try:
                seconds[group.layout.width] = _seconds(group, hp)
            except (MemoryError, jax.errors.JaxRuntimeError) as error:
                if not ran_out_of_memory(error):
                    raise
                continue
            if host.pressed:
                raise KeyboardInterrupt("Ctrl-C before the first evaluation.")
            if host.interrupted:  # time is up: the rule has to do
                return
            updates = self.search.lane_updates(self.case, self.num_trials) / self.search.mesh.devices.size
            if time.monotonic() - begin > SHARE * min(seconds.values()) * updates:
                break
        measured.remember(self._key, seconds)

    def seconds_per_update(self, hp: Mapping[str, Any]) -> float:
        """Seconds that a lane's step takes on one device, as measured before or on a single chunk now."""
        rule = self.layouts[0]
        if rule.width in self.known:
            return self.known[rule.width]
        data = on_devices(task_data(self.search.task, self.search.folds), self.search.mesh)
        layout = rule._replace(rows=rule.width, burst=min(_BURST, rule.burst))
        trials = np.arange(layout.slots) % self.search.plan.trials
        return _seconds(Group.of(self.search, self.case, data, trials, Host(), [layout]), hp)

    def _candidates(self, data: Data, trials: np.ndarray, host: Host) -> list[Group]:
        """A group for each width, the rule's first; equally many lanes, which share what a step draws for all."""
        rule = self._rule
        widths = dict.fromkeys([rule.width, *(max(1, int(f * rule.width)) for f in _FACTORS)])
        sizes = [rule._replace(rows=max(widths), width=w, burst=min(_BURST, rule.burst)) for w in widths]
        return [
            Group.of(self.search, self.case, data, np.resize(trials, layout.slots), host, [layout]) for layout in sizes
        ]


def _seconds(group: Group, hp: Mapping[str, Any]) -> float:
    """Seconds per lane and step on one device, the best of several calls."""
    group.spawn(hp)
    layout, times = group.layout, []
    for number in range(_REPEATS + 1):  # the first call isn't counted
        begin = time.perf_counter()
        group.population = group.programs.advance(
            layout, group.population, group.of_slots(hp), layout.slots, number * layout.burst, 1
        )
        times.append(time.perf_counter() - begin)
    return min(times[1:]) / (layout.burst * layout.rows * layout.runs)
