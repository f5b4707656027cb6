"""Puts faster equations in the place of slow ones, everywhere in a traced function.

User functions are traced before the axis of lanes is added, so that a rule sees plain operations of one lane, gradients
included, whatever library they came from.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr

Rules = Mapping[Any, Callable[[Any], Callable | None]]


def rewritten(closed: ClosedJaxpr, rules: Rules) -> ClosedJaxpr:
    """The same function with some equations replaced, also in its inner jaxprs (of loops, branches, `jit`, `remat`).

    Args:
        closed: A traced function.
        rules: Primitive -> rule: from an equation to a function of its inputs that computes the same, or to None where
            the equation is to stay.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jax.extend.core import jaxpr_as_fun
        >>> from jax.extend.core.primitives import sin_p
        >>> closed = jax.make_jaxpr(jax.jit(lambda x: 2 * jnp.sin(x)))(1.0)
        >>> [float(y) for y in jaxpr_as_fun(rewritten(closed, {sin_p: lambda equation: lambda x: x}))(1.0)]
        [2.0]
    """
    jaxpr = _jaxpr(closed.jaxpr, rules)
    return closed if jaxpr is closed.jaxpr else ClosedJaxpr(jaxpr, closed.consts)


def _jaxpr(jaxpr: Jaxpr, rules: Rules) -> Jaxpr:
    equations = [_equation(equation, rules) for equation in jaxpr.eqns]
    return jaxpr.replace(eqns=equations) if _changed(equations, jaxpr.eqns) else jaxpr


def _equation(equation: Any, rules: Rules) -> Any:
    rule = rules.get(equation.primitive)
    if rule is None:
        params = {name: _param(value, rules) for name, value in equation.params.items()}
        return equation.replace(params=params) if _changed(params.values(), equation.params.values()) else equation
    faster = rule(equation)
    return equation if faster is None else _call(equation, faster)


def _call(equation: Any, function: Callable) -> Any:
    """An equation that calls a function in place of another one."""
    structs = [jax.ShapeDtypeStruct(var.aval.shape, var.aval.dtype) for var in equation.invars]
    with equation.ctx.manager:  # settings that held where it was made
        (call,) = jax.make_jaxpr(jax.jit(function))(*structs).eqns
    return call.replace(invars=equation.invars, outvars=equation.outvars)


def _param(value: Any, rules: Rules) -> Any:
    if isinstance(value, ClosedJaxpr):
        return rewritten(value, rules)
    if isinstance(value, Jaxpr):
        return _jaxpr(value, rules)
    if type(value) not in (tuple, list):
        return value
    parts = [_param(x, rules) for x in value]
    return type(value)(parts) if _changed(parts, value) else value


def _changed(after: Iterable[Any], before: Iterable[Any]) -> bool:
    """Whether anything is another object: JAX finds what it has lowered before by identity."""
    return any(a is not b for a, b in zip(after, before, strict=True))
