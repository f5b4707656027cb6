"""Hyperparameters that initial states hold, found by following the data through a task's traced functions.

`optax.inject_hyperparams` puts a learning rate into its state, where steps read it: who changes `hp` later changes
nothing. Such a leaf depends on hyperparameters but on no key, and steps hand it on as it is; so its value for other
hyperparameters is known, and population-based training can put it there. Where a hyperparameter goes into the initial
state in another way, the scale of initial weights for instance, and nothing else reads it, it can't be explored.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jax.extend.core import Literal
from jax.interpreters.partial_eval import dce_jaxpr

_CALLS = {"jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "checkpoint", "remat2"}
_SAME = {"copy", "copy_p", "optimization_barrier", "sharding_constraint"}


class Flow(NamedTuple):
    """What is known of the hyperparameters in states.

    Attributes:
        held: Numbers of the leaves of a state that hold hyperparameters.
        jaxpr: The part of init that makes these; None where there are none.
        consts: Numbers of the arrays that init closes over which this part needs.
        dead: Names of hyperparameters that only the start of a training depends on, in other ways.
    """

    held: tuple[int, ...]
    jaxpr: Any
    consts: tuple[int, ...]
    dead: frozenset[str]


def find(init: Any, step: Any, evaluate: Any, observe: Any, names: Sequence[str]) -> Flow:
    """Follows the hyperparameters of `names` through functions traced for states of the task's own structure.

    Args:
        init: (key, hp, extras) -> state, a `functions.Traced`, as are the others.
        step: (key, state, batch, hp, extras) -> (state, info, healthy).
        evaluate: (key, state, data, hp, extras) -> metrics.
        observe: (state, score, hp, extras) -> state, or None.
        names: Of the traced hyperparameters, in the order of a dict's leaves.
    """
    size = len(init.jaxpr.outvars)
    if not init.reads(names):
        return Flow((), None, (), frozenset())
    handed_on = _handed_on(step, 1, size)
    if observe is not None:
        handed_on &= _handed_on(observe, 0, size)
    held, only_init, in_held = [], set[str](), set[str]()
    for number in range(size):
        read = init.reads(names, [number])
        if read and number in handed_on and not init.used([number])[0]:
            held.append(number)
            in_held |= read
        else:
            only_init |= read
    later = step.reads(names, range(size)) | evaluate.reads(names) | (observe.reads(names) if observe else set())
    dead = frozenset(only_init - in_held - later)
    if not held:
        return Flow((), None, (), dead)
    jaxpr, _ = dce_jaxpr(init.jaxpr, [number in held for number in range(size)], instantiate=True)
    needed = {var for equation in jaxpr.eqns for var in equation.invars if not isinstance(var, Literal)}
    consts = tuple(number for number, var in enumerate(jaxpr.constvars) if var in needed)
    jaxpr = jaxpr.replace(constvars=[jaxpr.constvars[number] for number in consts])
    return Flow(tuple(held), jaxpr, consts, dead)


def _handed_on(traced: Any, first: int, size: int) -> set[int]:
    """Numbers of the leaves of a state that a function gives back as it got them; the state begins at an input."""
    inputs = {var: number for number, var in enumerate(traced.jaxpr.invars)}
    origin = _origins(traced.jaxpr, inputs)
    return {number for number, var in enumerate(traced.jaxpr.outvars[:size]) if origin(var) == first + number}


def changed(traced: Any, first: int, size: int) -> tuple[int, ...]:
    """Numbers of the other leaves, for all that is known."""
    return tuple(sorted(set(range(size)) - _handed_on(traced, first, size)))


def _origins(jaxpr: Any, inputs: dict[Any, int]) -> Any:
    """From a variable to the number of the input that it is equal to, or None."""
    made = {var: (equation, place) for equation in jaxpr.eqns for place, var in enumerate(equation.outvars)}

    def origin(var: Any) -> int | None:
        if isinstance(var, Literal):
            return None
        if var in inputs or var not in made:
            return inputs.get(var)
        equation, place = made[var]
        found = {origin(source) if source is not None else None for source in _sources(equation, place)}
        return found.pop() if len(found) == 1 else None

    return origin


def _sources(equation: Any, place: int) -> Iterator[Any]:
    """The inputs of an equation one of which its output at a place is equal to; None for anything else."""
    name, params = equation.primitive.name, equation.params
    if name in _SAME:
        yield equation.invars[place]
    elif name == "convert_element_type":
        same = params["new_dtype"] == equation.invars[0].aval.dtype
        yield equation.invars[0] if same else None
    elif name == "select_n":
        yield from equation.invars[1:]
    elif name == "cond":
        for branch in params["branches"]:
            yield _through(branch.jaxpr, equation.invars[1:], place)
    elif name == "scan":
        yield _carried(params["jaxpr"].jaxpr, equation.invars, place, *_counts(params))
    elif name == "while":
        first = params["cond_nconsts"] + params["body_nconsts"]
        inner = [None] * params["body_nconsts"] + list(equation.invars[first:])
        yield _carried(params["body_jaxpr"].jaxpr, inner, place, params["body_nconsts"], len(equation.outvars))
    elif name in _CALLS:
        inner = params.get("call_jaxpr", params.get("jaxpr"))
        yield _through(getattr(inner, "jaxpr", inner), equation.invars, place)
    else:
        yield None


def _counts(params: Mapping[str, Any]) -> tuple[int, int]:
    """How many constants and how many carried values a scan has; JAX 0.12 has them in trees."""
    if "num_consts" in params:
        return params["num_consts"], params["num_carry"]
    consts, carry, _ = params["ft_in"].elts
    return len(list(consts)), len(list(carry))


def _through(jaxpr: Any, outside: Sequence[Any], place: int) -> Any:
    """The variable outside that an inner jaxpr hands on as its output at a place, or None."""
    number = _origins(jaxpr, {var: i for i, var in enumerate(jaxpr.invars)})(jaxpr.outvars[place])
    return None if number is None else outside[number]


def _carried(jaxpr: Any, outside: Sequence[Any], place: int, num_consts: int, num_carry: int) -> Any:
    """The same for the body of a loop: what it carries unchanged is equal to what went in."""
    if place >= num_carry:
        return None
    var = outside[num_consts + place]
    return var if _through(jaxpr, outside, place) is var else None
