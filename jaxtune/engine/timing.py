"""Chooses how many lanes a device trains at once: by a rule, or by timing the task where that pays."""

import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxtune.engine import measured
from jaxtune.engine.costs import flops
from jaxtune.engine.data import Data
from jaxtune.engine.group import Group, Setting
from jaxtune.engine.host import Host
from jaxtune.engine.population import Layout
from jaxtune.engine.recovery import ran_out_of_memory
from jaxtune.tasks.functions import Functions

SHARE = 0.05  # of the estimated run that measuring may take
_CPU_FLOPS, _ACCELERATOR_FLOPS = 5e10, 1e13  # of a device in small networks, about
_CPU_SECONDS, _ACCELERATOR_SECONDS = 10.0, 30.0  # what measuring takes, most of it compiling
_FACTORS = (0.25, 0.5, 1, 2, 4)  # candidates, around the rule's width
_UNIT, _REPEATS = 4, 3  # steps of a timed call, calls


def pays(setting: Setting, functions: Functions, indices: Mapping[str, int], num_trials: int) -> bool:
    """Whether a group trains for so long that measuring takes a small share of it. The same in equal searches."""
    cpu = setting.mesh.devices.flat[0].platform == "cpu"
    rate, cost = (_CPU_FLOPS, _CPU_SECONDS) if cpu else (_ACCELERATOR_FLOPS, _ACCELERATOR_SECONDS)
    work = setting.lane_updates(indices, num_trials) * flops(functions.step.jaxpr)
    return setting.placement.lanes is None and SHARE * work / (rate * setting.mesh.devices.size) > cost


def layouts(setting: Setting, indices: Mapping[str, int], num_trials: int) -> tuple[Layout, ...]:
    """The sizes that a population of these trials takes as it shrinks."""
    return setting.layouts(setting.problem.functions(indices), indices, num_trials, known(setting, indices, num_trials))


def known(setting: Setting, indices: Mapping[str, int], num_trials: int) -> dict[int, float]:
    """Width -> seconds per lane and step, where that pays and was measured before."""
    functions = setting.problem.functions(indices)
    if not pays(setting, functions, indices, num_trials):
        return {}
    return measured.recall(_key(setting, functions, indices, num_trials))


def _key(setting: Setting, functions: Functions, indices: Mapping[str, int], num_trials: int) -> str:
    return measured.key_of(functions, setting.mesh, setting.layouts(functions, indices, num_trials)[0].width)


def chosen_by(setting: Setting, indices: Mapping[str, int], num_trials: int) -> str:
    """How the width of a group is found, in a word or two."""
    if setting.placement.lanes is not None:
        return "you"
    if known(setting, indices, num_trials):
        return "measurement"
    pays_now = pays(setting, setting.problem.functions(indices), indices, num_trials)
    return "rule; measured when it starts" if pays_now else "rule"


def measure(
    setting: Setting, indices: Mapping[str, int], data: Data, trials: np.ndarray, hp: Mapping[str, Any], host: Host
) -> None:
    """Times a group's steps at several widths, where that pays and wasn't done before."""
    functions = setting.problem.functions(indices)
    if not pays(setting, functions, indices, len(trials)) or known(setting, indices, len(trials)):
        return
    begin, seconds = time.monotonic(), dict[int, float]()
    groups = _candidates(setting, indices, data, trials, host)
    for group in groups:
        group.programs.prefetch_training(group.layout)
    for group in groups:
        group.programs.wait_for_training(group.layout)  # compilers at work would disturb the clock
    for group in groups:
        try:
            seconds[group.layout.width] = _seconds(group, hp)
        except (MemoryError, jax.errors.JaxRuntimeError) as error:
            if not ran_out_of_memory(error):
                raise
            continue
        if host.interrupted:
            raise KeyboardInterrupt("Ctrl-C before the first evaluation.")
        run = min(seconds.values()) * setting.lane_updates(indices, len(trials)) / setting.mesh.devices.size
        if time.monotonic() - begin > SHARE * run:
            break
    measured.remember(_key(setting, functions, indices, len(trials)), seconds)


def _candidates(setting: Setting, indices: Mapping[str, int], data: Data, trials: Any, host: Host) -> list[Group]:
    """A group for each width, the rule's first; equally many lanes, which share what a step draws for all of them."""
    functions = setting.problem.functions(indices)
    rule = setting.layouts(functions, indices, len(trials))[0]
    widths = dict.fromkeys([rule.width, *(max(1, int(f * rule.width)) for f in _FACTORS)])
    sizes = [rule._replace(rows=max(widths), width=w, unit=min(_UNIT, rule.unit)) for w in widths]
    return [
        Group.of(setting, indices, data, np.resize(trials, layout.slots), host, setting.plan.trials, [layout])
        for layout in sizes
    ]


def _seconds(group: Group, hp: Mapping[str, Any]) -> float:
    """Seconds per lane and step on one device, the best of several calls."""
    group.spawn(hp)
    layout, times = group.layout, []
    for number in range(_REPEATS + 1):  # the first call isn't counted
        begin = time.perf_counter()
        group.population = group.programs.advance(
            layout, group.population, group.of_slots(hp), layout.slots, number * layout.unit, 1
        )
        times.append(time.perf_counter() - begin)
    return min(times[1:]) / (layout.unit * layout.rows * layout.runs)
