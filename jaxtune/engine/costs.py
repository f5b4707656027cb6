"""What a traced step costs, read off its equations: floating-point operations, and bytes that are alive at once."""

import math
from typing import Any

from jax.extend.core import Literal, jaxprs_in_params


def flops(jaxpr: Any) -> float:
    """Floating-point operations: two for each multiply-add of a product, one for each other number that is made.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> flops(jax.make_jaxpr(lambda a, b: 3 * (a @ b))(jnp.ones((4, 8)), jnp.ones((8, 2))).jaxpr)
        136.0
    """
    return float(sum(map(_equation_flops, jaxpr.eqns)))


def equations(jaxpr: Any) -> int:
    """How many equations there are, those within others too."""
    return sum(1 + sum(map(equations, jaxprs_in_params(equation.params))) for equation in jaxpr.eqns)


def _equation_flops(equation: Any) -> float:
    inner = [flops(jaxpr) for jaxpr in jaxprs_in_params(equation.params)]
    if equation.primitive.name == "cond":
        return max(inner)  # one of the branches
    if inner:
        return equation.params.get("length", 1) * sum(inner)  # a scan's; of a while loop nobody knows it
    made = sum(_size(var) for var in equation.outvars)
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        return 2 * made * math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
    if equation.primitive.name == "conv_general_dilated":
        kernel, spec = equation.invars[1].aval, equation.params["dimension_numbers"].rhs_spec
        return 2 * made * kernel.size / kernel.shape[spec[0]]
    return made


_VIEWS = {"reshape", "squeeze", "expand_dims", "broadcast_in_dim"}  # no copies, if as large as what they show


def live_bytes(jaxpr: Any) -> int:
    """The most bytes of intermediate values that are still needed at one time, if equations run in their order.

    Arrays of another shape with the same numbers in the same order are taken for the same array.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> live_bytes(jax.make_jaxpr(lambda x: (x + 1) * (x + 2))(jnp.ones(10)).jaxpr)
        120
    """
    last = _last_uses(jaxpr)
    alive, most, ends = 0, 0, dict[int, int]()
    for i, equation in enumerate(jaxpr.eqns):
        for var in equation.outvars:
            if var in last and not _is_view(equation):
                alive += _bytes(var)
                ends[last[var]] = ends.get(last[var], 0) + _bytes(var)
        inside = max(map(live_bytes, jaxprs_in_params(equation.params)), default=0)
        most = max(most, alive + inside)
        alive -= ends.pop(i, 0)
    return most


def _last_uses(jaxpr: Any) -> dict[Any, int]:
    """Variable -> number of the last equation that takes it, or a view of it."""
    last = {var: i for i, equation in enumerate(jaxpr.eqns) for var in equation.invars if not isinstance(var, Literal)}
    last |= {var: len(jaxpr.eqns) for var in jaxpr.outvars if not isinstance(var, Literal)}
    for equation in reversed(jaxpr.eqns):
        if _is_view(equation):
            viewed, view = equation.invars[0], equation.outvars[0]
            last[viewed] = max(last[viewed], last.get(view, 0))
    return last


def _is_view(equation: Any) -> bool:
    if equation.primitive.name not in _VIEWS or isinstance(equation.invars[0], Literal):
        return False
    return _size(equation.invars[0]) == _size(equation.outvars[0])


def _size(var: Any) -> int:
    return getattr(var.aval, "size", 0)


def _bytes(var: Any) -> int:
    return _size(var) * getattr(getattr(var.aval, "dtype", None), "itemsize", 0)
