"""The population: the programs that train, evaluate and move all lanes.

Shapes as in `lanes.py`: leaves of a population are [R, rows, D, ...]. Randomness is shared: keys derive from the
replicate, the purpose and the step, never from the trial, so keys, batches and random draws have no lane axis under
vmap.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxtune.engine import draws
from jaxtune.engine.batches import Window, batch_indices, empty_window
from jaxtune.engine.bitcast import as_before, as_integers
from jaxtune.engine.data import Data
from jaxtune.engine.keys import EVALUATE, INIT, ORDER, STEP, replicate_key
from jaxtune.engine.lanes import (
    AXIS,
    HEALTHY,
    Layout,
    Population,
    Shared,
    merged,
    num_chunks,
    once,
    per_device,
    put,
    some,
    take,
    take_hp,
)
from jaxtune.tasks.functions import Functions

_MOVE_BYTES = 2**21  # scratch of a move per device, about
_DRAW_BYTES = 2**26  # draws of a burst that are worth keeping
_SHARED = (True, False, True, False, True)  # of (key, state, batch, hp, extras), what has no lane axis


def spawn(functions: Functions, layout: Layout, hp: Any, shared: Shared) -> Population:
    """Starts a lane for every slot.

    Args:
        functions: The traced functions of the group.
        layout: Where lanes lie.
        hp: dict name -> [slots], the hyperparameters of each slot.
        shared: What all lanes share.
    """

    def body(hp: Any, shared: Shared) -> Population:
        def run(index: jax.Array) -> Any:
            fold = shared.fold[index]
            key = replicate_key(shared.key, shared.replicate[index], INIT)
            init = jax.vmap(functions.init, in_axes=(None, None, 0, None), axis_size=layout.rows)
            lanes_hp = take_hp(hp, 0, layout.rows)
            return init(shared.consts["init"], key, lanes_hp, shared.extras(jnp.int32(0), fold))

        state = jax.tree.map(lambda x: jnp.expand_dims(x, 2), lax.map(run, jnp.arange(layout.runs)))
        shape = (layout.runs, layout.rows, 1)
        zeros = {name: jnp.zeros(shape, jnp.result_type(float)) for name in functions.info}
        counts = {name: jnp.zeros(shape, jnp.int32) for name in functions.info}
        kept = jax.tree.map(jnp.copy, state) if layout.keeps_best else None
        return Population(state, kept, jnp.full(shape, HEALTHY, jnp.int32), zeros, counts)

    return per_device(layout, body, hp, shared)


def advance(
    functions: Functions,
    layout: Layout,
    population: Population,
    hp: Any,
    shared: Shared,
    num_lanes: jax.Array,
    start: jax.Array,
    num_bursts: jax.Array,
) -> Population:
    """Trains the first `num_lanes` slots of every run for `num_bursts` bursts from step `start` on.

    Units are the outer loop, then runs, then chunks of `width` lanes: batch order and keys are made once per
    burst and run, and the weights of a chunk stay in the cache for a whole burst.
    """

    def body(population: Population, hp: Any, shared: Shared, num_lanes: Any, start: Any, num_bursts: Any) -> Any:
        chunks = num_chunks(num_lanes, layout)
        kept, state = population.kept, _with_held(functions, layout, population.state, hp, shared)
        population = population.replace(kept=None, state=some(state, functions.trained))  # no loop carries more

        def burst(index: Any, carry: Any) -> Any:
            first = start + index * layout.burst
            return lax.fori_loop(0, layout.runs, lambda r, c: run(r, first, c), carry)

        def run(index: Any, first: Any, carry: tuple[Population, Any]) -> Any:
            population, windows = carry
            replicate, fold = shared.replicate[index], shared.fold[index]
            order_key = replicate_key(shared.key, replicate, ORDER)
            indices, windows = _burst_indices(layout, windows, shared.data, index, fold, order_key, first)
            steps = first + jnp.arange(layout.burst, dtype=jnp.int32)
            step = _Step(functions, layout, shared, replicate_key(shared.key, replicate, STEP), fold)
            drawn = step.draws(hp, steps, indices)

            def chunk(number: Any, population: Population) -> Population:
                row = number * layout.width
                lanes, hp_chunk = take(population, index, row, layout.width), take_hp(hp, row, layout.width)
                begin = merged(take(state, index, row, layout.width), functions.trained, lanes.state)
                states, (info, healthy) = _burst(
                    lambda states, x: step(states, hp_chunk, *x), begin, (steps, indices, drawn), number
                )
                lanes = _book(lanes, some(states, functions.trained), info, healthy, steps)
                return put(population, lanes, index, row)

            return lax.fori_loop(0, chunks, chunk, population), windows

        windows = _empty_windows(layout, shared.data)
        population = lax.fori_loop(0, num_bursts, burst, (population, windows))[0]
        return population.replace(kept=kept, state=merged(state, functions.trained, population.state))

    return per_device(layout, body, population, hp, shared, num_lanes, start, num_bursts)


def _burst(step: Any, states: Any, xs: Any, number: Any) -> tuple[Any, Any]:
    """`lax.scan` over the steps of a burst, for the chunk of a number."""
    if len(xs[0]) > 1:
        return lax.scan(step, states, xs)
    states, logs = once(lambda states: step(states, jax.tree.map(lambda leaf: leaf[0], xs)), states, number)
    return states, jax.tree.map(lambda leaf: leaf[None], logs)


def _with_held(functions: Functions, layout: Layout, state: list, hp: Any, shared: Shared) -> list:
    """States that hold the hyperparameters now in force: they may have been explored since."""
    holds = functions.holds
    if holds is None:
        return state

    def run(index: jax.Array) -> list:
        made = jax.vmap(holds, in_axes=(None, None, 0, None), axis_size=layout.rows)
        extras = shared.extras(jnp.int32(0), shared.fold[index])
        return made(shared.consts["holds"], shared.key, take_hp(hp, 0, layout.rows), extras)

    values = dict(zip(functions.held, lax.map(run, jnp.arange(layout.runs)), strict=True))
    return [jnp.expand_dims(values[i], 2) if i in values else x for i, x in enumerate(state)]


def evaluate(
    functions: Functions,
    layout: Layout,
    population: Population,
    hp: Any,
    shared: Shared,
    num_lanes: jax.Array,
    stop: jax.Array,
    metric: jax.Array,
    sign: jax.Array,
) -> tuple[Population, dict[str, jax.Array]]:
    """Evaluates the first `num_lanes` slots on the validation data.

    Args:
        functions: The traced functions of the group.
        layout: Where lanes lie.
        population: The population.
        hp: dict name -> [slots].
        shared: What all lanes share.
        num_lanes: How many slots are in training.
        stop: Step count of the population.
        metric: Index into `functions.metrics` of the metric of the search, which states may observe.
        sign: 1.0 if a low metric is good, -1.0 if a high one is.

    Returns:
        The population with divergence brought up to date and logs reset, and a record: name -> [R, rows, D] of all
        metrics and of `train_<name>` averages; NaN for diverged lanes.
    """
    names = functions.metrics

    def body(population: Population, hp: Any, shared: Shared, num_lanes: Any, stop: Any, metric: Any, sign: Any) -> Any:
        def run(index: Any, carry: tuple[list, jax.Array]) -> tuple[list, jax.Array]:
            fold = shared.fold[index]
            key, extras = replicate_key(shared.key, shared.replicate[index], EVALUATE), shared.extras(stop, fold)
            data = shared.data.of_fold(shared.data.validation, fold)

            def chunk(number: Any, carry: tuple[list, jax.Array]) -> tuple[list, jax.Array]:
                observed, record = carry
                row = number * layout.width
                state, hp_chunk = take(population.state, index, row, layout.width), take_hp(hp, row, layout.width)

                def measured(leaves: list) -> tuple[list, jax.Array]:
                    now = merged(state, functions.observed, leaves)
                    values = _values(
                        functions, layout.width, shared.consts["evaluate"], key, now, data, hp_chunk, extras
                    )
                    if functions.observe is None:
                        return leaves, values
                    observe = jax.vmap(functions.observe, in_axes=(None, 0, 0, 0, None), axis_size=layout.width)
                    score = sign * jnp.take(values, metric, axis=1)
                    return some(
                        observe(shared.consts["observe"], now, score, hp_chunk, extras), functions.observed
                    ), values

                leaves = take(observed, index, row, layout.width)
                leaves, values = once(measured, leaves, number) if leaves else measured(leaves)
                return put(observed, leaves, index, row), put(record, values, index, row)

            return lax.fori_loop(0, num_chunks(num_lanes, layout), chunk, carry)

        empty = jnp.zeros((layout.runs, layout.rows, 1, len(names)), jnp.result_type(float))
        observed, record = lax.fori_loop(0, layout.runs, run, (some(population.state, functions.observed), empty))
        state = merged(population.state, functions.observed, observed)
        return _recorded(functions, population.replace(state=state), record, stop, metric)

    return per_device(layout, body, population, hp, shared, num_lanes, stop, metric, sign)


def _values(functions: Functions, width: int, *args: Any) -> jax.Array:
    """All metrics of a chunk, [width, M]."""
    axes = (None, None, 0, None, 0, None)  # of (consts, key, state, data, hp, extras)
    values = jax.vmap(functions.evaluate, in_axes=axes, axis_size=width)(*args)
    return jnp.stack([values[name].astype(jnp.result_type(float)) for name in functions.metrics], axis=1)


def _recorded(
    functions: Functions, population: Population, record: jax.Array, stop: Any, metric: Any
) -> tuple[Population, dict[str, jax.Array]]:
    """The result of `evaluate`, from the values [R, rows, 1, M] of all metrics."""
    names = functions.metrics
    broken = _is_broken(functions, record, jnp.take(record, metric, axis=-1))
    diverged = jnp.where((population.diverged == HEALTHY) & broken, stop - 1, population.diverged)
    lost = diverged != HEALTHY
    values = {name: jnp.where(lost, jnp.nan, record[..., i]) for i, name in enumerate(names)}
    for name, total in population.info_sum.items():
        count = population.info_count[name]
        values[functions.means[name]] = jnp.where(count > 0, total / jnp.maximum(count, 1), jnp.nan)
    fresh = jax.tree.map(jnp.zeros_like, (population.info_sum, population.info_count))
    return Population(population.state, population.kept, diverged, *fresh), values


def _is_broken(functions: Functions, record: jax.Array, value: jax.Array) -> jax.Array:
    """Which lanes [R, rows, 1] an evaluation shows to have diverged.

    A metric that is NaN while the loss beside it is finite is undefined, which says nothing about a training: an area
    under the curve without positive examples, say.
    """
    if functions.judges_state:
        return jnp.zeros(value.shape, bool)
    if "loss" in functions.metrics:
        return ~jnp.isfinite(record[..., functions.metrics.index("loss")]) | jnp.isinf(value)
    return ~jnp.isfinite(value)


def keep(layout: Layout, population: Population, improved: jax.Array) -> Population:
    """Makes the states of some slots their checkpoints.

    Args:
        layout: Where lanes lie.
        population: The population, with checkpoints.
        improved: [slots] bool.
    """

    def body(population: Population, tables: dict[str, jax.Array]) -> Population:
        better = tables["improved"]  # [rows, 1]

        def chosen(new: jax.Array, old: jax.Array) -> jax.Array:
            return jnp.where(better.reshape(1, *better.shape, *[1] * (new.ndim - 3)), new, old)

        return population.replace(kept=jax.tree.map(chosen, population.state, population.kept))

    return per_device(layout, body, population, {"improved": improved})


def move(before: Layout, after: Layout, population: Population, source: jax.Array, num_lanes: jax.Array) -> Population:
    """Puts lane `source[s]` into slot s, for the first `num_lanes` slots, and cuts the arrays to `after.rows`.

    Works in place and in blocks of rows, so that its scratch is small: no slot may take from a lower slot, unless
    that slot keeps its own lane. Halving (survivors keep their order) and truncation selection (winners stay where
    they are) both comply.

    Args:
        before: Layout of `population`.
        after: Layout of the result.
        population: The lanes.
        source: [after.slots] int32, slots of `before`.
        num_lanes: How many slots of `after` are in use.
    """
    lane_bytes = sum(x.dtype.itemsize * x.size for x in jax.tree.leaves(population)) // before.slots
    block = after.rows
    while block % 2 == 0 and block * before.devices * lane_bytes > _MOVE_BYTES:
        block //= 2

    def body(population: Population, source: Any, num_lanes: Any) -> Population:
        here = lax.axis_index(AXIS)

        def fetch(x: jax.Array, slots: jax.Array) -> jax.Array:
            rows, devices = slots // before.devices, slots % before.devices
            part = as_integers(x[:, rows, 0])
            mine = (devices == here).reshape(1, -1, *[1] * (part.ndim - 2))
            part = jnp.where(mine, part, jnp.zeros((), part.dtype))
            part = part.reshape(part.shape[0], block, before.devices, *part.shape[2:])
            return as_before(lax.psum_scatter(part, AXIS, scatter_dimension=2, tiled=True), x)

        def step(number: Any, target: Any) -> Any:
            slots = lax.dynamic_slice_in_dim(source, number * block * before.devices, block * before.devices)
            origin = target if before.rows == after.rows else population
            return jax.tree.map(
                lambda t, x: lax.dynamic_update_slice_in_dim(t, fetch(x, slots), number * block, 1), target, origin
            )

        start = population if before.rows == after.rows else jax.tree.map(lambda x: x[:, : after.rows], population)
        return lax.fori_loop(0, -(-num_lanes // (block * before.devices)), step, start)

    return per_device(before, body, population, source, num_lanes)


class _Step(NamedTuple):
    """The training step of one run: what lanes share is drawn for a whole burst, the rest is vmapped."""

    functions: Functions
    layout: Layout
    shared: Shared
    key: jax.Array
    fold: Any

    def draws(self, hp: Any, steps: jax.Array, indices: Any) -> list[jax.Array]:
        """Random numbers [burst, ...] that the steps of a burst share; each device draws those of some steps."""

        def draw(_: None, index: jax.Array) -> tuple[None, list[jax.Array]]:
            at = jax.tree.map(lambda x: x[index], (steps, indices))
            args = self._args(self.functions.state, hp, *at)
            return None, draws.record(self.functions.step, self.shared.consts["step"], args, _SHARED)

        burst, devices = self.layout.burst, self.layout.devices
        one = jax.eval_shape(draw, None, jnp.int32(0))[1]
        if not one or sum(x.size * x.dtype.itemsize for x in one) * burst > _DRAW_BYTES:
            return []
        part = -(-burst // devices)
        mine = jnp.minimum(lax.axis_index(AXIS) * part + jnp.arange(part), burst - 1)
        drawn = lax.scan(draw, None, mine)[1]
        return [lax.all_gather(x, AXIS, tiled=True)[:burst] for x in drawn]

    def __call__(self, states: Any, hp: Any, count: Any, indices: Any, drawn: list[Any]) -> tuple[Any, tuple]:
        """States after a step of `width` lanes; what it logs, name -> [width], and who is healthy, [width]."""
        step, consts = self.functions.step, self.shared.consts["step"]

        def one(state: Any, hp: Any) -> Any:
            args = self._args(state, hp, count, indices)
            state, *rest = draws.replay(step, consts, args, _SHARED, drawn) if drawn else step(consts, *args)
            return state, tuple(rest)

        return jax.vmap(one, axis_size=self.layout.width)(states, hp)

    def _args(self, state: Any, hp: Any, count: jax.Array, indices: Any) -> tuple[Any, ...]:
        data = self.shared.data
        batch = (
            data.of_fold(data.train, self.fold) if indices is None else jax.tree.map(lambda x: x[indices], data.train)
        )
        return jax.random.fold_in(self.key, count), state, batch, hp, self.shared.extras(count, self.fold)


def _book(
    lanes: Population, states: Any, info: dict[str, jax.Array], healthy: jax.Array, steps: jax.Array
) -> Population:
    """Lanes after a burst: its logs [burst, width] are booked, and the first step after which one was not healthy.

    A diverged lane is not frozen: selecting between old and new states costs up to a third of a step on a CPU, and
    nobody reads the state of a lane that is marked. Its neighbours never see it.
    """
    alive = (lanes.diverged == HEALTHY) & (jnp.cumprod(healthy, axis=0, dtype=jnp.int32) == 1)
    first = steps[0] + jnp.sum(alive, axis=0, dtype=jnp.int32)
    diverged = jnp.where((lanes.diverged == HEALTHY) & ~alive[-1], first, lanes.diverged)
    counted = {name: alive & jnp.isfinite(values) for name, values in info.items()}
    return lanes.replace(
        state=states,
        diverged=diverged,
        info_sum={
            name: total + jnp.sum(jnp.where(counted[name], info[name], 0.0), axis=0, dtype=total.dtype)
            for name, total in lanes.info_sum.items()
        },
        info_count={
            name: lanes.info_count[name] + jnp.sum(ok, axis=0, dtype=jnp.int32) for name, ok in counted.items()
        },
    )


def _empty_windows(layout: Layout, data: Data) -> Window | None:
    if layout.batch_size is None or layout.fewest is None:
        return None
    window = empty_window(data.rows.shape[1], layout.fewest, layout.batch_size, layout.burst)
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (layout.runs, *x.shape)), window)


def _burst_indices(
    layout: Layout, windows: Any, data: Data, index: Any, fold: Any, key: jax.Array, first: Any
) -> tuple[Any, Any]:
    """Indices [burst, B] of a burst's batches in one run, and the windows of all runs."""
    if windows is None or layout.batch_size is None:
        return None, None
    window = jax.tree.map(lambda x: lax.dynamic_index_in_dim(x, index, keepdims=False), windows)
    rows, count = data.of_fold((data.rows, data.count), fold)
    indices, window = batch_indices(window, key, first, count, layout.batch_size, layout.burst)
    windows = jax.tree.map(lambda x, w: lax.dynamic_update_index_in_dim(x, w, index, 0), windows, window)
    return rows[indices], windows
