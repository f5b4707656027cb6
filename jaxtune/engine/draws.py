"""Random draws that lanes share, taken out of the vmapped step and made once for all chunks.

Under vmap a draw from a shared key has no lane axis, but every chunk of lanes would repeat it, and on a CPU drawing the
bits of one dropout layer takes longer than a step of a small lane. So a step's jaxpr is evaluated in two parts:
`record` computes what follows from shared inputs and a draw, without any lane; `replay` computes the rest and takes
the draws from the record. Both walk the jaxpr in the same order, so that a plain list connects them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, DebugInfo, DropVar, Jaxpr, Literal, jaxpr_as_fun, jaxprs_in_params

from jaxtune.tasks.functions import Traced

_DRAWS = {"random_bits", "threefry2x32", "rng_bit_generator"}
_CALLS = {"jit", "pjit"}


@dataclass
class _Value:
    """What is known about a variable during a walk."""

    value: Any  # None if this walk doesn't have it
    shared: bool = True  # follows from shared inputs alone
    drawn: bool = False  # shared, and follows from a draw
    recorded: bool = False


def record(function: Traced, consts: Sequence[Any], args: Sequence[Any], shared: Sequence[bool]) -> list[Any]:
    """The shared draws of a traced function, in the order in which `replay` needs them.

    Args:
        function: The function.
        consts: Its closed-over arrays, which are shared.
        args: Its arguments, pytrees; the leaves of those not shared are not looked at.
        shared: Which arguments are the same for all lanes.

    Returns:
        A list of arrays, empty where nothing is drawn.
    """
    draws: list[Any] = []
    _Walk(draws, recording=True).through(function, consts, args, shared)
    return draws


def replay(
    function: Traced, consts: Sequence[Any], args: Sequence[Any], shared: Sequence[bool], draws: Sequence[Any]
) -> Any:
    """The result of a traced function, given its shared draws; the other arguments are those of `record`."""
    results = _Walk(list(draws), recording=False).through(function, consts, args, shared)
    return jax.tree.unflatten(function.out_tree, results)


@dataclass
class _Walk:
    draws: list[Any]
    recording: bool

    def through(self, function: Traced, consts: Sequence[Any], args: Sequence[Any], shared: Sequence[bool]) -> list:
        """The results of a traced function; see `record`."""
        parts = zip(args, shared, strict=True)
        inputs = [_Value(leaf, is_shared) for arg, is_shared in parts for leaf in jax.tree.leaves(arg)]
        return [self.take(out) for out in self.run(function.jaxpr, list(map(_Value, consts)), inputs)]

    def run(self, jaxpr: Any, consts: Sequence[_Value], inputs: Sequence[_Value]) -> list[_Value]:
        values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *inputs], strict=True))

        def read(var: Any) -> _Value:
            return _Value(var.val) if isinstance(var, Literal) else values[var]

        for equation in jaxpr.eqns:
            outputs = self.equation(equation, [read(var) for var in equation.invars])
            values.update(zip(equation.outvars, outputs, strict=True))
        return [read(var) for var in jaxpr.outvars]

    def equation(self, equation: Any, inputs: list[_Value]) -> list[_Value]:
        draws = _contains_draw(equation)
        if all(x.shared for x in inputs):
            drawn = draws or any(x.drawn for x in inputs)
            # A replay has no use for draws themselves: it takes what follows from them from the record.
            skip = drawn and not self.recording
            results = [None] * len(equation.outvars) if skip else _evaluate(equation, [x.value for x in inputs])
            return [_Value(result, drawn=drawn) for result in results]
        if draws and equation.primitive.name in _CALLS:
            inner = equation.params["jaxpr"]
            return self.run(inner.jaxpr, list(map(_Value, inner.consts)), inputs)
        taken = [self.take(x) for x in inputs]
        results = [None] * len(equation.outvars) if self.recording else _evaluate(equation, taken)
        return [_Value(result, shared=False) for result in results]

    def take(self, x: _Value) -> Any:
        """The value of a variable that is needed outside of the shared part."""
        if x.drawn and not x.recorded:
            x.recorded = True
            if self.recording:
                self.draws.append(x.value)
            else:
                x.value = self.draws.pop(0)
        return x.value


def _evaluate(equation: Any, inputs: list[Any]) -> list[Any]:
    given = {v: x for v, x in zip(equation.invars, inputs, strict=True) if not isinstance(v, Literal)}
    kept = [var for var in equation.outvars if not isinstance(var, DropVar)]
    origin = DebugInfo("jaxtune", equation.primitive.name, ("",) * len(given), ("",) * len(kept))
    alone = Jaxpr((), list(given), kept, [equation], effects=equation.effects, debug_info=origin)
    results = iter(jaxpr_as_fun(ClosedJaxpr(alone, ()))(*given.values()))
    return [None if isinstance(var, DropVar) else next(results) for var in equation.outvars]


def _contains_draw(equation: Any) -> bool:
    return equation.primitive.name in _DRAWS or any(
        _contains_draw(inner) for jaxpr in jaxprs_in_params(equation.params) for inner in jaxpr.eqns
    )
