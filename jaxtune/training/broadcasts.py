"""Losses and metrics that meet every output with every target by accident: [N, 1] against [N] gives [N, N].

The mean of such a matrix is a number like any other, and training goes on to nonsense. Losses that mean all pairs look
much alike, so only what is certain is refused: the examples' axes are followed through the traced function, and lost
sight of wherever an axis is placed in so many words.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

_CALLS = {"jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat", "remat2", "checkpoint", "cond"}
_SAME_AXES = {"slice", "dynamic_slice", "dynamic_update_slice", "split", "concatenate", "pad", "sort"}
_ADDS_AXES = {"expand_dims", "broadcast_to"}  # what JAX calls for x[None] and its like, in no promotion


class _Leaf(NamedTuple):
    """An array of the outputs or the targets."""

    role: str
    name: str
    shape: tuple[int, ...]


_Axes = tuple[frozenset[_Leaf], ...]  # per axis: the leaves whose examples lie along it, moved by promotion at most


class _Array(NamedTuple):
    """What is known of an intermediate result."""

    shape: tuple[int, ...]
    axes: _Axes


class _Clash(NamedTuple):
    """Examples lie along axis i of the first array and, promoted, along axis j of the second, j > i."""

    arrays: tuple[_Array, _Array]
    ij: tuple[int, int]
    leaves: tuple[_Leaf, _Leaf]
    in_where: bool


def check_not_broadcast(role: str, function: Callable[[Any, Any], Any], outputs: Any, targets: Any) -> None:
    """Raises TypeError if implicit broadcasting meets outputs and targets along different axes of examples.

    Nothing is known of loops and of indexing by arrays, and axes that `x[:, None]`, `x.T` or `keepdims` placed are as
    wanted: these pass. So does a function that fails, which whoever calls it reports better.

    Args:
        role: What the function is, for the error: "loss" or "metric 'mae'".
        function: From outputs and targets to anything; may close over traced values.
        outputs: Arrays or their `ShapeDtypeStruct`s, `[N, ...]`, with N unlike the other sizes.
        targets: Likewise.

    Raises:
        TypeError: Outputs `[N, 1]` are combined with targets `[N]` into `[N, N]`, say.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxtune.training.broadcasts import check_not_broadcast
        >>> outputs, targets = jnp.zeros([8, 1]), jnp.zeros([8])
        >>> check_not_broadcast("loss", lambda outputs, targets: outputs[:, 0] - targets, outputs, targets)
        >>> try:
        ...     check_not_broadcast("loss", lambda outputs, targets: outputs - targets, outputs, targets)
        ... except TypeError as error:
        ...     print(str(error).partition(";")[0])
        loss combines outputs [N, 1] with targets [N] into [N, N], every example with every other
    """
    found: list[_Clash] = []
    if (closed := _traced(function, outputs, targets, "allow")) is not None:
        _follow(closed.jaxpr, _inputs(outputs, targets), found)
    certain = [clash for clash in found if clash.in_where]  # jnp.where promotes even where JAX forbids it
    # Should JAX rename its functions, `targets[None]` is taken for promotion; but it works without.
    if found and _traced(function, outputs, targets, "raise") is None:
        certain = found
    if certain:
        raise TypeError(_sentence(role, certain[0]))


def _traced(function: Callable, outputs: Any, targets: Any, promotion: str) -> ClosedJaxpr | None:
    """None if the function fails."""
    try:
        with jax.numpy_rank_promotion(promotion):
            # A new function each time: JAX remembers traces by function, with the traced values that it closed over.
            return jax.make_jaxpr(lambda outputs, targets: function(outputs, targets))(outputs, targets)
    except Exception:
        return None


def _inputs(outputs: Any, targets: Any) -> list[_Array]:
    leaves = [
        _Leaf(role, role + jax.tree_util.keystr(path), tuple(getattr(leaf, "shape", ())))
        for role, tree in (("outputs", outputs), ("targets", targets))
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    ]
    sizes = [leaf.shape[:1] for leaf in leaves if leaf.role == "targets" and leaf.shape]
    return [_moved(leaf.shape, (frozenset({leaf}),), {0: 0} if leaf.shape[:1] in sizes else {}) for leaf in leaves]


def _moved(shape: tuple[int, ...], axes: _Axes, origins: Mapping[int, int]) -> _Array:
    """An array some of whose axes are, by position, old ones."""
    return _Array(shape, tuple(axes[origins[i]] if i in origins else frozenset() for i in range(len(shape))))


# How axes go through the equations.


def _follow(jaxpr: Jaxpr, inputs: list[_Array], found: list[_Clash], in_where: bool = False) -> list[_Array]:
    """The results of a function; clashes on the way are added to `found`."""
    known = dict(zip(jaxpr.invars, inputs, strict=True))

    def read(var: Any) -> _Array:
        return _unknown(var) if isinstance(var, Literal) or var not in known else known[var]

    for equation in jaxpr.eqns:
        operands = [read(var) for var in equation.invars]
        if any(any(operand.axes) for operand in operands):
            known.update(zip(equation.outvars, _results(equation, operands, found, in_where), strict=True))
    return [read(var) for var in jaxpr.outvars]


def _unknown(var: Any) -> _Array:
    return _moved(tuple(getattr(var.aval, "shape", ())), (), {})


def _results(equation: Any, operands: list[_Array], found: list[_Clash], in_where: bool) -> list[_Array]:
    name, outs = equation.primitive.name, [_unknown(var) for var in equation.outvars]
    if name in _CALLS:
        return _called(equation, operands, found) or outs
    if name == "broadcast_in_dim":
        return [_broadcast(equation, operands[0], outs[0], in_where)]
    is_reduction = name.startswith(("reduce_", "arg")) and "axes" in equation.params
    rule = _reduced if is_reduction else _RULES.get(name)
    if rule is not None:
        origins = rule(equation.params, operands[0].shape, outs[0].shape)
        return [_moved(outs[0].shape, operands[0].axes, origins)]
    if name in _SAME_AXES or _is_elementwise(equation.params, operands, outs):
        found += _clashes(operands, in_where)
        return [_merged(operands, out.shape) for out in outs]
    return outs


def _called(equation: Any, operands: list[_Array], found: list[_Clash]) -> list[_Array] | None:
    """Results of `jit` and its like; None if the parameters are not as expected."""
    params, branches = equation.params, equation.params.get("branches")
    inner = branches or [value for value in params.values() if isinstance(value, (Jaxpr, ClosedJaxpr))]
    jaxprs = [x.jaxpr if isinstance(x, ClosedJaxpr) else x for x in inner]
    operands = operands[1:] if branches else operands
    lengths = {(len(jaxpr.invars), len(jaxpr.outvars)) for jaxpr in jaxprs}
    if lengths != {(len(operands), len(equation.outvars))}:
        return None
    results = [_follow(jaxpr, operands, found, params.get("name") == "_where") for jaxpr in jaxprs]
    return [_merged(choices, choices[0].shape) for choices in map(list, zip(*results, strict=True))]


def _is_elementwise(params: dict, operands: list[_Array], outs: list[_Array]) -> bool:
    """By shapes; those of what indexes or convolves may fit by chance."""
    if len(outs) != 1 or {"dimension_numbers", "jaxpr"} & params.keys():
        return False
    shape, shapes = outs[0].shape, [operand.shape for operand in operands if operand.shape]
    return all(len(s) == len(shape) and all(n in (1, m) for n, m in zip(s, shape, strict=True)) for s in shapes)


def _merged(operands: list[_Array], shape: tuple[int, ...]) -> _Array:
    aligned = zip(*(operand.axes for operand in operands if len(operand.shape) == len(shape)), strict=True)
    axes = [frozenset().union(*leaves) for leaves in aligned]
    return _Array(shape, tuple(leaves if n > 1 else frozenset() for leaves, n in zip(axes, shape, strict=True)))


def _broadcast(equation: Any, operand: _Array, out: _Array, in_where: bool) -> _Array:
    """Follows promotion only: new axes in front that nobody asked for."""
    rank, new = len(out.shape), len(out.shape) - len(operand.shape)
    if tuple(equation.params["broadcast_dimensions"]) != tuple(range(new, rank)) or (new and _is_asked_for(equation)):
        return out
    # jnp.where repeats its arguments before they meet; what they were before tells whether they clash.
    shape = (1,) * new + operand.shape if in_where else out.shape
    return _moved(shape, operand.axes, {axis: axis - new for axis in range(new, rank)})


def _is_asked_for(equation: Any) -> bool:
    traceback = equation.source_info.traceback
    return traceback is None or any(frame.function_name in _ADDS_AXES for frame in traceback.frames)


# Which old axis a new one is, where the examples of the first operand stay what NumPy's promotion makes of them.


def _reduced(params: dict, old: tuple[int, ...], new: tuple[int, ...]) -> dict[int, int]:
    gone = params["axes"] if "axes" in params else params["dimensions"]
    return dict(enumerate(axis for axis in range(len(old)) if axis not in gone))


def _transposed(params: dict, old: tuple[int, ...], new: tuple[int, ...]) -> dict[int, int]:
    return {i: j for i, j in enumerate(params["permutation"]) if i == j}


def _reshaped(params: dict, old: tuple[int, ...], new: tuple[int, ...]) -> dict[int, int]:
    """Axes of length one may go; new ones are asked for."""
    before, after = ([axis for axis, n in enumerate(shape) if n != 1] for shape in (old, new))
    if len(new) > len(old) or [old[j] for j in before] != [new[i] for i in after]:
        return {}
    return {i: j for i, j in zip(after, before, strict=True) if i <= j}


def _product(params: dict, old: tuple[int, ...], new: tuple[int, ...]) -> dict[int, int]:
    """Of `outputs @ weights` the examples stay in front."""
    (contracted, _), (batch, _) = params["dimension_numbers"]
    return dict(enumerate([*batch, *(axis for axis in range(len(old)) if axis not in (*contracted, *batch))]))


_RULES = {"squeeze": _reduced, "transpose": _transposed, "reshape": _reshaped, "dot_general": _product}


# What is refused, and how it is said.


def _clashes(operands: list[_Array], in_where: bool) -> Iterator[_Clash]:
    for a, b in itertools.permutations((operand for operand in operands if any(operand.axes)), 2):
        for i, j in itertools.combinations(range(len(a.shape)), 2):
            if a.shape[j] == b.shape[i] == 1:
                pairs = itertools.product(a.axes[i], b.axes[j])
                yield from (_Clash((a, b), (i, j), (x, y), in_where) for x, y in pairs if x.role != y.role)


def _sentence(role: str, clash: _Clash) -> str:
    (a, b), (i, j) = clash.arrays, clash.ij
    shapes = [a.shape[i + 1 :], b.shape[j + 1 :]]
    # f(outputs) is something else made of the outputs: their first column, say.
    names = [x.name if x.shape[1:] == shape else f"f({x.name})" for x, shape in zip(clash.leaves, shapes, strict=True)]
    sides = [f"{name} {_text(['N', *shape])}" for name, shape in zip(names, shapes, strict=True)]
    first, second = sides if clash.leaves[0].role == "outputs" else reversed(sides)
    met = ["N" if axis in (i, j) else max(sizes) for axis, sizes in enumerate(zip(a.shape, b.shape, strict=True))]
    (long, short), missing = names, j - i
    fixes = [f"`{long}[:{', 0' * missing}]`"] if set(a.shape[i + 1 : j + 1]) == {1} else []
    fixes.append(f"`{short}[:{', None' * missing}]`")
    return (
        f"{role} combines {first} with {second} into {_text(met)}, every example with every other; give both the same "
        f"shape ({' or '.join(fixes)}), or, if every output is meant to meet every target, say so by "
        f"`{short}[{'None, ' * missing}:]`."
    )


def _text(shape: list) -> str:
    return f"[{', '.join(map(str, shape))}]"
