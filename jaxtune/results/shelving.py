"""The weights of a trial as named arrays and plain values, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import jax
import numpy as np

from jaxtune.results.trained import Shelved
from jaxtune.results.winner import ShelvedWinner, Winner
from jaxtune.schedulers.plan import Exploit, Plan, Row
from jaxtune.tasks.folds import Fold


def shelved(kept: Any) -> ShelvedWinner:
    """A winner as plain values and arrays."""
    return ShelvedWinner(*kept.__reduce__()[1]) if isinstance(kept, Winner) else kept


def stored(kept: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A winner as named arrays and plain values, of which `unstored` makes a `ShelvedWinner`."""
    one = shelved(kept)
    states, variables = (
        one.trained.__reduce__()[1] if isinstance(kept, Winner) else (one.trained.states, one.trained.variables)
    )
    plan, folds = one.search["plan"], one.search["folds"]
    values: dict[str, Any] = {f"state/{n:05d}": leaf for n, leaf in enumerate(jax.tree.leaves(states))}
    values |= {f"hp/{name}": np.asarray(value) for name, value in one.hp.items()}
    values |= {f"variables/{name}": leaf for name, leaf in flat(variables).items()}
    for number, fold in enumerate(folds or ()):
        values |= {f"folds/{number:05d}/train": fold.train, f"folds/{number:05d}/validation": fold.validation}
    return values, {
        "plan": {
            "brackets": list(plan.brackets),
            "rows": [[row.stop, None if row.keep is None else list(row.keep)] for row in plan.rows],
            "exploit": None if plan.exploit is None else dataclasses.asdict(plan.exploit),
            "multiple": plan.multiple,
        },
        **{name: one.search[name] for name in ("seed", "generation", "confirms", "replicates", "keep")},
        "folds": None if folds is None else len(folds),
        "limits": list(one.limits),
        "indices": {key: int(index) for key, index in one.indices.items()},
        "step": one.step,
        "layouts": [list(layout) for layout in one.layouts],
        "identity": list(one.identity),
        "variables": kind_of(variables),
    }


def kind_of(variables: Any) -> str | None:
    """What module has such `Trial.variables`: "linen", "nnx" or None."""
    is_nnx = isinstance(variables, dict) and set(variables) == {"params", "other"}
    return None if variables is None else "nnx" if is_nnx else "linen"


def flat(variables: Any) -> dict[str, Any]:
    """Name with slashes -> array; slashes of the names themselves are written as in addresses, %2F."""
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    return {"/".join(_quoted(part) for part in _parts(path)): leaf for path, leaf in leaves}


def _quoted(part: str) -> str:
    return part.replace("%", "%25").replace("/", "%2F")


def _parts(path: Sequence[Any]) -> list[str]:
    parts = [str(next(getattr(key, a) for a in ("key", "name", "idx") if hasattr(key, a))) for key in path]
    return parts[:-1] if parts and parts[-1] == "value" and hasattr(path[-1], "name") else parts


def unstored(stored: Mapping[str, Any], one: Mapping[str, Any]) -> ShelvedWinner:
    """What `stored` made named arrays and plain values of."""

    def under(prefix: str) -> dict[str, Any]:
        return {name.removeprefix(prefix): x for name, x in sorted(stored.items()) if name.startswith(prefix)}

    plan = one["plan"]
    parts = under("folds/")
    folds = [Fold(parts[f"{n:05d}/train"], parts[f"{n:05d}/validation"]) for n in range(one["folds"] or 0)]
    search = {
        "plan": Plan(
            tuple(plan["brackets"]),
            tuple(Row(stop, None if keep is None else tuple(keep)) for stop, keep in plan["rows"]),
            None if plan["exploit"] is None else Exploit(**plan["exploit"]),
            plan["multiple"],
        ),
        "folds": tuple(folds) or None,
        **{name: one[name] for name in ("seed", "replicates", "keep")},
        "generation": one.get("generation", 0),
        "confirms": one.get("confirms", False),
    }
    variables = _nested(under("variables/"), one["variables"]) if one["variables"] else None
    trained = Shelved(list(under("state/").values()), variables)
    hp = {name: x[()] for name, x in under("hp/").items()}
    layouts = [tuple(layout) for layout in one["layouts"]]
    return ShelvedWinner(
        trained, search, tuple(one["limits"]), one["indices"], hp, one["step"], layouts, tuple(one["identity"])
    )


def _nested(flat: Mapping[str, Any], kind: str) -> dict[str, Any]:
    found: dict[Any, Any] = {"params": {}, "other": {}} if kind == "nnx" else {}
    for name, leaf in flat.items():
        names = map(unquote, name.split("/"))
        *path, last = [int(part) if kind == "nnx" and part.isdecimal() else part for part in names]
        inner = found
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = leaf
    return found
