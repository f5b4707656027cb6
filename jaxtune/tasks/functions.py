"""User functions: extras by parameter name, and one trace of each with its closed-over arrays taken out.

A user function is traced once per group of trials. The trace is what the engine runs, so that arrays in closures
become arguments of the compiled program instead of constants in it, and what the function reads can be looked up.
Traces take and give states and data as lists of arrays: programs are the same for whatever classes these are made of.
"""

import functools
import inspect
from collections.abc import Callable, Container, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jax.interpreters.partial_eval import dce_jaxpr

from jaxtune.interface.settings import settings, users_promotion
from jaxtune.spaces.values import typed
from jaxtune.spaces.variant import Variant
from jaxtune.tasks import checks, stored
from jaxtune.tasks.cpu import bits, slices
from jaxtune.tasks.cpu.rewriting import rewritten
from jaxtune.tasks.fingerprints import fingerprint
from jaxtune.tasks.hp import Hyperparameters
from jaxtune.tasks.task import Task
from jaxtune.tasks.weak import weaken


@functools.lru_cache(maxsize=1024)
def parameters(function: Callable) -> tuple[inspect.Parameter, ...]:
    """The parameters of a function, a callable object or a class."""
    if inspect.isclass(function):  # the signature of an nnx class is (*args, **kwargs); its __init__ tells the truth
        return tuple(inspect.signature(function.__init__).parameters.values())[1:]
    return tuple(inspect.signature(function).parameters.values())


def asks_for(function: Callable, name: str) -> bool:
    """Whether a function has a parameter of this name."""
    return any(p.name == name for p in parameters(function))


def call(role: str, function: Callable, *args: Any, **extras: Any) -> Any:
    """Calls a user function with its fixed arguments and those extras that it asks for by name.

    Raises:
        TypeError: The function has another required parameter.
    """
    positional = [p for p in parameters(function) if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = [p for p in parameters(function) if p not in positional[: len(args)]]
    required = [p for p in rest if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    unknown = [p.name for p in required if p.name not in extras]
    if unknown:
        known = ", ".join(sorted(extras)) or "nothing"
        raise TypeError(
            f"{role} has a required parameter {unknown[0]!r} that jaxtune does not know; after its {len(args)} fixed "
            f"argument(s) it may ask for {known} by name."
        )
    try:
        with users_promotion():
            return function(*args, **{p.name: extras[p.name] for p in rest if p.name in extras})
    except NameError as error:
        if "unbound axis name" not in str(error):
            raise
        raise ValueError(
            f"{role} needs an axis of devices ({error.args[0].split('. ')[0]}), but a trial is trained on one device: "
            "leave out axis_name= (as of BatchNorm), psum, pmean and the like."
        ) from error


class Extras(NamedTuple):
    """What task functions may ask for by name."""

    step: Any  # int32 scalar: steps done so far
    total_steps: Any  # int32 scalar: steps of a full training
    stats: Any  # what Task.prepare returned, or None


@dataclass(frozen=True)
class Traced:
    """A traced function: its jaxpr, and the arrays it closed over, which become arguments."""

    jaxpr: Any
    consts: tuple[Any, ...]
    out_tree: Any
    hp: slice  # which inputs of the jaxpr are hyperparameters, in the order of their names

    def __call__(self, consts: tuple[Any, ...], *args: Any) -> Any:
        """Runs it; `consts` is `self.consts`, as an argument of the program around."""
        return jax.tree.unflatten(self.out_tree, jaxpr_as_fun(ClosedJaxpr(self.jaxpr, consts))(*jax.tree.leaves(args)))

    def used(self, outputs: Container[int]) -> list[bool]:
        """Which inputs some of its outputs depend on, by their numbers."""
        return list(dce_jaxpr(self.jaxpr, [number in outputs for number in range(len(self.jaxpr.outvars))])[1])

    def reads(self, names: Iterable[str], outputs: Container[int] | None = None) -> set[str]:
        """Hyperparameters that some of its outputs depend on, or any; `names` are those of all traced ones, sorted."""
        used = self.used(range(len(self.jaxpr.outvars)) if outputs is None else outputs)
        return {name for name, is_used in zip(names, used[self.hp], strict=True) if is_used}

    @functools.cached_property
    def fingerprint(self) -> Hashable:
        """What it computes, as a value; see `fingerprints`."""
        return fingerprint(self.jaxpr), self.out_tree

    @property
    def out(self) -> Any:
        """Shapes and dtypes of the result."""
        structs = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in self.jaxpr.outvars]
        return jax.tree.unflatten(self.out_tree, structs)


@dataclass(frozen=True, eq=False)
class Functions:
    """The traced functions of one group; states are lists of arrays.

    Attributes:
        init: (key, hp, extras) -> state.
        step: (key, state, batch, hp, extras) -> (state, info, healthy).
        evaluate: (key, state, data, hp, extras) -> metrics.
        observe: (state, score, hp, extras) -> state; None where that changes nothing.
        holds: where states hold hyperparameters: (key, hp, extras) -> the leaves at `held`; None where they don't.
        held: Numbers of these leaves.
        trained: Numbers of the leaves of a state that step changes.
        observed: Numbers of those that observe changes.
        dead: Names of hyperparameters that are no use any more once a state is there, see `stored`.
        state_tree: The structure of the task's own states.
        judges_state: Whether the task tells divergence by the state; else it is told by losses and metrics.
    """

    init: Traced
    step: Traced
    evaluate: Traced
    observe: Traced | None
    holds: Traced | None
    held: tuple[int, ...]
    trained: tuple[int, ...]
    observed: tuple[int, ...]
    dead: frozenset[str]
    state_tree: Any
    judges_state: bool

    @property
    def named(self) -> dict[str, Traced]:
        """All functions that there are, by name."""
        parts = {name: getattr(self, name) for name in ("init", "step", "evaluate", "observe", "holds")}
        return {name: part for name, part in parts.items() if part is not None}

    @property
    def parts(self) -> tuple[Traced, ...]:
        """The task's own functions."""
        return tuple(part for name, part in self.named.items() if name != "holds")

    @property
    def consts(self) -> dict[str, tuple[Any, ...]]:
        """The closed-over arrays: an argument of every program."""
        return {name: part.consts for name, part in self.named.items()}

    @property
    def state(self) -> Any:
        """Shapes and dtypes of one trial's state."""
        return self.init.out

    @property
    def info(self) -> tuple[str, ...]:
        """Names of the logged scalars of a step."""
        return tuple(sorted(self.step.out[1]))

    @property
    def means(self) -> dict[str, str]:
        """Names of the logged scalars -> those of their means in the record: `train_` in front, once."""
        info = self.info
        ready = {name for name in info if name.startswith("train_") and name.removeprefix("train_") not in info}
        return {name: name if name in ready else f"train_{name}" for name in info}

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics."""
        return tuple(sorted(self.evaluate.out))


def _state(role: str, state: Any) -> Any:
    """A state that a task function returned. It must look the same after a step: weak types would change on the way."""
    checks.check_state(state, role)

    def strong(x: Any) -> Any:
        x = jnp.asarray(x)
        return x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else jax.lax.convert_element_type(x, x.dtype)

    return jax.tree.map(strong, state)


def _result(role: str, result: Any) -> Any:
    """What a task function returned, checked."""
    if role == "evaluate":
        checks.check_scalars(result, "What evaluate returns")
        return dict(result)
    if role != "step":
        return _state(role, result)
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"step must return (state, info), got {type(result).__name__}.")
    state, info = _state(role, result[0]), result[1]
    checks.check_scalars(info, "What step returns as info")
    return state, dict(info)


def _judged(task: Task, function: Callable) -> Callable:
    """A step that also tells whether a lane is healthy after it: by the task's own word, or by its loss."""

    def step(*args: Any) -> Any:
        state, info = function(*args)
        if task.healthy is None:
            return state, info, jnp.isfinite(info.get("loss", 0.0))
        healthy = task.healthy(state)
        if jnp.shape(healthy) != () or jnp.result_type(healthy) != jnp.bool_:
            raise TypeError(
                f"healthy must return one bool for a state, got {jnp.result_type(healthy)} of shape "
                f"{jnp.shape(healthy)}."
            )
        return state, info, jnp.asarray(healthy)

    return step


def seamed(task: Task, role: str, variant: Variant) -> Callable:
    """A task function as the engine calls it: `(*fixed, hp, extras)`, where `hp` holds the traced values only.

    This is the one seam where hyperparameters become weakly typed: strong float32 scalars change the dtypes of
    bfloat16 states in several Optax optimizers.
    """

    def function(*args: Any) -> Any:
        *fixed, hp, extras = args
        named = {"step": weaken(extras.step), "total_steps": weaken(extras.total_steps), "stats": extras.stats}
        hp = Hyperparameters(variant.hp({name: weaken(x) for name, x in hp.items()}))
        return _result(role, call(role, getattr(task, role), *fixed, hp, **named))

    return function


_FASTER = bits.RULES | slices.RULES  # what is slow in vmapped loops


def _trace_one(function: Callable, *args: Any) -> Traced:
    closed, shape = jax.make_jaxpr(function, return_shape=True)(*args)
    closed = rewritten(closed, _FASTER)
    for const in closed.consts:
        if isinstance(const, jax.core.Tracer):
            jax.jit(lambda x: x)(const)  # raises UnexpectedTracerError if it was left over from another trace
    *fixed, hp, _ = args
    first = len(jax.tree.leaves(fixed))
    hp_inputs = slice(first, first + len(jax.tree.leaves(hp)))
    return Traced(closed.jaxpr, tuple(closed.consts), jax.tree.structure(shape), hp_inputs)


class Inputs(NamedTuple):
    """What the functions of one task are traced for: shapes and dtypes, without the axes of the engine."""

    batch: Any
    validation: Any
    stats: Any
    hp: Any  # dict name -> scalar, the traced hyperparameters


def structs(tree: Any) -> Any:
    """Shapes and dtypes of a pytree of arrays, as JAX would see them."""
    return jax.eval_shape(_same, tree)


def _same(tree: Any) -> Any:  # JAX remembers traces by function: one that is made anew is traced anew
    return tree


def inputs_of(task: Task, hp: Mapping[str, Any]) -> Inputs:
    """Shapes and dtypes that a task's functions are called with."""
    train, validation = structs(task.train), structs(task.validation)
    stats = jax.eval_shape(task.prepare, train) if task.prepare is not None else None
    batch = train
    if task.batch_size is not None:
        batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct((task.batch_size, *x.shape[1:]), x.dtype), train)
    return Inputs(batch, validation, stats, dict(hp))


def trace_anew(task: Task, variant: Variant, inputs: Inputs) -> Functions:
    """Traces init, step and evaluate; wrong results of user functions are reported here."""
    count = jax.ShapeDtypeStruct((), jnp.int32)
    extras = Extras(count, count, inputs.stats)
    key = jax.eval_shape(lambda: jax.random.key(0))
    init, step, evaluate = (seamed(task, role, variant) for role in ("init", "step", "evaluate"))
    traced_init = _trace_one(init, key, inputs.hp, extras)
    state = traced_init.out
    traced_step = _trace_one(_judged(task, step), key, state, inputs.batch, inputs.hp, extras)
    checks.check_same_state(state, traced_step.out[0], "step")
    traced_evaluate = _trace_one(evaluate, key, state, inputs.validation, inputs.hp, extras)
    observe = None
    if task.observe is not None:
        score = jax.ShapeDtypeStruct((), jnp.result_type(float))
        observe = _trace_one(seamed(task, "observe", variant), state, score, inputs.hp, extras)
        checks.check_same_state(state, observe.out, "observe")
        if observe.jaxpr.outvars == observe.jaxpr.invars[: len(observe.jaxpr.outvars)]:
            observe = None  # it returns its state as it is
    flow = stored.find(traced_init, traced_step, traced_evaluate, observe, tuple(sorted(inputs.hp)))
    leaves = jax.tree.leaves(state)
    return Functions(
        init=_giving(traced_init, leaves),
        step=_giving(traced_step, (leaves, *traced_step.out[1:])),
        evaluate=traced_evaluate,
        observe=None if observe is None else _giving(observe, leaves),
        holds=_part(traced_init, flow),
        held=flow.held,
        trained=stored.changed(traced_step, 1, len(leaves)),
        observed=() if observe is None else stored.changed(observe, 0, len(leaves)),
        dead=flow.dead,
        state_tree=jax.tree.structure(state),
        judges_state=task.healthy is not None,
    )


def _part(init: Traced, flow: stored.Flow) -> Traced | None:
    """The part of init that makes the leaves in which a state holds hyperparameters."""
    if flow.jaxpr is None:
        return None
    consts = tuple(init.consts[number] for number in flow.consts)
    return _giving(replace(init, jaxpr=flow.jaxpr, consts=consts), list(flow.held))


def _giving(traced: Traced, out: Any) -> Traced:
    """The same function with its results in another structure."""
    return replace(traced, out_tree=jax.tree.structure(out))


def trace(known: dict[Hashable, Functions], task: Task, variant: Variant, inputs: Inputs) -> Functions:
    """Like `trace_anew`, but traces nothing twice in one search; `known` holds what it has traced.

    Other searches trace anew: what a function reads besides its arguments may have changed since.
    """
    leaves, tree = jax.tree.flatten(inputs)
    shapes = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
    values = tuple((name, typed(value)) for name, value in sorted(variant.static.items()))
    key = (task.functions, values, tuple(variant.keys), tree, shapes, settings())
    if key not in known:
        known[key] = trace_anew(task, variant, inputs)
    return known[key]
