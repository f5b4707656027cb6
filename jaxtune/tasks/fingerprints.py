"""What a traced function computes, as a value: equal for equal computations, whoever traced them.

A notebook cell that is run again makes new function objects, whose traces are nevertheless the same. Programs are found
again by these values. Two traces that differ in anything that may matter differ in their fingerprints: what is not
understood is compared as Python compares it, functions by identity.
"""

import dataclasses
import hashlib
import re
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

# Rules of differentiation: what is compiled here is never differentiated again, and each trace makes new ones.
_RULES = {
    "custom_jvp_call": ("jvp_jaxpr_fun", "jvp_jaxpr_thunk"),
    "custom_vjp_call": ("fwd_jaxpr_thunk", "bwd", "out_trees"),
    "custom_vjp_call_jaxpr": ("fwd_jaxpr_thunk", "bwd", "out_trees"),
}
_IGNORED = {"debug_info"}


def fingerprint(jaxpr: Any) -> Hashable:
    """The computation of a jaxpr as a value. Closed-over arrays count by shape and dtype: they are arguments.

    Example:
        >>> import jax
        >>> one, two = (jax.make_jaxpr(lambda x, n=n: n * x)(1.0).jaxpr for n in (1.0, 2.0))
        >>> again = jax.make_jaxpr(lambda y: 1.0 * y)(1.0).jaxpr
        >>> fingerprint(one) == fingerprint(again), fingerprint(one) == fingerprint(two)
        (True, False)
    """
    numbers: dict[Any, int] = {}

    def defined(variables: Iterable[Any]) -> Hashable:
        return tuple((numbers.setdefault(var, len(numbers)), var.aval) for var in variables)

    def read(var: Any) -> Hashable:
        return _value(var.val, var.aval) if isinstance(var, Literal) else numbers[var]

    def equation(one: Any) -> Hashable:
        name = one.primitive.name
        skipped = _IGNORED.union(_RULES.get(name, ()))
        params = tuple((key, _param(value)) for key, value in sorted(one.params.items()) if key not in skipped)
        return name, tuple(map(read, one.invars)), params, defined(one.outvars), _context(one)

    inputs = defined(jaxpr.constvars), defined(jaxpr.invars)
    equations = tuple(map(equation, jaxpr.eqns))
    return inputs, equations, tuple(map(read, jaxpr.outvars))


def digest(value: Any) -> str:
    """A fingerprint as a text of 32 letters, which another process of the same JAX makes too."""
    text = re.sub(r"0x[0-9a-f]+", "", repr(value))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def array_digest(tree: Any) -> str:
    """A digest of the values, shapes and dtypes of arrays, as JAX would see them."""
    made = hashlib.sha256(str(jax.tree.structure(tree)).encode())
    for leaf in jax.tree.leaves(tree):
        made.update(repr(_value(leaf)).encode())
    return made.hexdigest()[:32]


class _Itself:
    """Something that has no hash: equal to nothing but itself."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


def _context(equation: Any) -> Hashable:
    """Settings that held where an equation was made, and hold for it still."""
    names = "compute_type", "threefry_partitionable", "xla_metadata"
    return tuple(repr(getattr(equation.ctx, name, None)) for name in names)


def _param(value: Any) -> Hashable:
    if isinstance(value, ClosedJaxpr):
        return fingerprint(value.jaxpr), tuple(map(_value, value.consts))  # these are compiled into the program
    if isinstance(value, Jaxpr):
        return fingerprint(value)
    if isinstance(value, (tuple, list)):
        return type(value), tuple(map(_param, value))
    if isinstance(value, Mapping):
        return type(value), tuple((key, _param(x)) for key, x in value.items())
    if isinstance(value, (bool, int, float, complex)):
        return type(value), repr(value)  # 1, 1.0 and True are equal for Python, NaN not even to itself
    if isinstance(value, (np.ndarray, np.generic, jax.Array)):
        return _value(value)
    if dataclasses.is_dataclass(value) and type(value).__module__.startswith("jax."):  # what wraps a user's callback
        return type(value), tuple(_param(getattr(value, field.name)) for field in dataclasses.fields(value))
    if callable(value) and not isinstance(value, type):
        return _Itself(value)  # whatever it calls equal may compute something else
    try:
        hash(value)
    except TypeError:
        return _Itself(value)
    return type(value), value


def _value(array: Any, aval: Any = None) -> Hashable:
    """An array by its contents; a traced one by identity."""
    if isinstance(array, jax.core.Tracer):
        return _Itself(array)
    if jnp.issubdtype(getattr(array, "dtype", np.float32), jax.dtypes.prng_key):
        return str(array.dtype), _value(jax.random.key_data(array))
    host = np.asarray(array)
    host = host.astype(jax.dtypes.canonicalize_dtype(host.dtype), copy=False)
    flat = np.ascontiguousarray(host).reshape(-1)
    content = hashlib.sha256(flat.view(np.uint8).data).hexdigest() if flat.size > 8 else flat.tobytes()
    return aval, host.shape, str(host.dtype), content
