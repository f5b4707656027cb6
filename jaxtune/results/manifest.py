"""What is searched in the folder of a run, as plain values: what makes two searches the same, and what they ran on."""

import contextlib
import datetime
import subprocess
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxtune.engine.search import Search
from jaxtune.interface.counts import whole_or_none
from jaxtune.interface.warning import warn
from jaxtune.results.conditions import conditions, traces
from jaxtune.results.journal import Rules
from jaxtune.results.result import Result
from jaxtune.results.setting import machine, text, versions
from jaxtune.spaces.configurations import Rows
from jaxtune.spaces.space import Space
from jaxtune.spaces.written import space_written
from jaxtune.tasks.decoding import decoded
from jaxtune.tasks.fingerprints import array_digest

_PROBES = 256


def manifest(search: Search, evaluate_every: int | None, previous: Result | None) -> dict[str, Any]:
    """What is searched, and with what. The functions of the task follow once they are traced, see `traced`."""
    problem, task = search.problem, search.task
    space = problem.space
    data = {name: getattr(task, name) for name in ("train", "validation", "test")}
    known = conditions(search)
    return {
        "search": {
            "space": {key: text(domain) for key, domain in (*space.domains, *space.constants)},
            "constraints": _allowed(space) if space.constraints else 0,
            "scheduler": text(search.scheduler),
            "plan": text(search.plan.rows) if len(search.plan.rows) < 100 else len(search.plan.rows),
            "sampler": text(search.sampler),
            "metric": problem.metric,
            "mode": problem.mode,
            "seed": search.seed if isinstance(search.seed, int) else jax.random.key_data(search.seed).tolist(),
            "replicates": search.replicates,
            "folds": known["folds"],
            "evaluate_every": whole_or_none("evaluate_every", evaluate_every),
            "patience": search.patience,
            "keep": search.keep,
            "batch_size": task.batch_size,
            "lanes": search.placement.lanes,
            "previous": None if previous is None else _digest_of(previous),
            "data": {name: array_digest(part) for name, part in data.items() if part is not None},
        },
        "versions": versions(search),
        "machine": machine(search) | {"commit": _commit()},
        "space": space_written(space),
        "log_names": list(space.log_names),
        "steps": search.plan.steps,
        "rungs": [row.stop for row in search.plan.rows if row.keep is not None],
        "trials": search.plan.trials,
        "lane_steps": search.lane_steps + (0 if previous is None else int(previous.history.lane_steps[-1])),
        "num_folds": None if search.folds is None else search.num_folds,
        "conditions": known,
        "started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def traced(search: Search, points: np.ndarray) -> dict[str, list[dict[str, str]]]:
    """Digests of the task's functions, for all groups of these points [T, D]."""
    problem = search.problem
    variants, _ = problem.space.groups(decoded(points, problem.space))
    return traces(map(problem.case, variants))


def rules(written: Mapping[str, Any]) -> Rules:
    """What the journal of a run has to know of its search."""
    search = written["search"]
    return Rules(search["metric"], search["mode"], search["keep"] == "best", search["patience"])


def check_same(written: Mapping[str, Any], here: Mapping[str, Any], path: Any, strict: bool) -> None:
    """Raises ValueError, with what differs, unless a search is that of a folder.

    Args:
        written: What the folder says.
        here: This search.
        path: The folder.
        strict: Whether other versions, or another kind of device, are refused too; else they are warned of.
    """
    others = _differences(written["versions"], here["versions"])
    found = _differences(written["search"], here["search"])
    if not others and "traces" in here:
        found += _differences(_by_function(written), _by_function(here))
    if found:
        lines = "\n".join(f"  {line}" for line in found)
        raise ValueError(
            f"{path} holds another search:\n{lines}\nName another directory, or pass overwrite=True to delete that one."
        )
    if others and strict:
        lines = "\n".join(f"  {line}" for line in others)
        raise ValueError(f"{path} was searched with other versions, which strict=True refuses:\n{lines}")
    if others and "traces" not in here:
        warn(
            f"{path} was searched with other versions ({'; '.join(others)}): what is trained from here on may differ "
            "in the last bits."
        )


def _differences(there: Any, here: Any, name: str = "") -> list[str]:
    """A line for each value that differs."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        lines = []
        for key in dict.fromkeys((*there, *here)):
            where = f"{name}[{key!r}]" if name else str(key)
            lines += _differences(there.get(key), here.get(key), where)
        if not lines and list(there) != list(here):
            lines.append(f"{name}: in another order")
        return lines
    return [] if there == here else [f"{name}: {_short(there)} there, {_short(here)} here"]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return "nothing" if value is None else text if len(text) <= 120 else f"{text[:117]}..."


def _by_function(one: Mapping[str, Any]) -> dict[str, Any]:
    """Function -> its digests, whatever it was traced for."""
    found: dict[str, Any] = {}
    for variant, each in one["traces"].items():
        for digests in each:
            for name, digest in digests.items():
                found.setdefault(f"function {name!r}, as traced,", {}).setdefault(variant, []).append(digest)
    return {name: sorted(map(str, by_variant.items())) for name, by_variant in found.items()}


def _allowed(space: Space) -> str:
    """What the constraints say of some configurations, always the same: a function can't be compared, answers can."""
    points = np.random.Generator(np.random.PCG64(0)).random((_PROBES, space.num_dims), np.float32)
    answers = np.array([space.allows(row) for row in Rows(space, decoded(points, space))])
    return f"{np.sum(answers)} of {_PROBES} probes allowed ({array_digest(answers)[:8]})"


def _digest_of(result: Result) -> str:
    history = result.history
    return array_digest([history.step, history.metrics, history.active, history.source])


def _commit() -> str | None:
    """The user's git commit, with a plus where files have changed since."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"],
            capture_output=True,
            text=True,
            timeout=2,
            check=True,
        )
        return done.stdout.strip()
    return None
