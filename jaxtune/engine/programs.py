"""The compiled programs of one group: made ahead of time, and found again by later searches.

The programs of a whole search compile side by side, and those for later rungs while the first rung is already running.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.engine import population as engine
from jaxtune.engine.host import Host
from jaxtune.engine.lanes import Layout, Population, Shared
from jaxtune.engine.memory import check_scratch
from jaxtune.interface.settings import settings
from jaxtune.tasks.executables import EXECUTABLES, shapes
from jaxtune.tasks.functions import Functions

_COUNT = jax.ShapeDtypeStruct((), jnp.int32)
_SIGN = jax.ShapeDtypeStruct((), jnp.float32)
_READS = {  # the traced functions that a program is made of; all know the state
    "spawn": ("init",),
    "advance": ("step", "holds"),
    "evaluate": ("evaluate", "observe"),
    "keep": (),
    "move": (),
}


@dataclass(frozen=True)
class Programs:
    """The programs of a group of trials on given data.

    Attributes:
        functions: The traced functions of the group.
        shared: Data, keys and constants, on the devices.
        hp: name -> dtype of the traced hyperparameters.
        host: Who waits for them.
    """

    functions: Functions
    shared: Shared
    hp: Mapping[str, Any]
    host: Host
    _futures: dict[Hashable, Future] = field(default_factory=dict, repr=False)  # those that this group uses

    def prefetch(self, path: Sequence[Layout]) -> None:
        """Starts compiling what a population on its way through a path of layouts needs, in that order.

        What it needs first is lowered at once, the rest while the host has to wait.
        """
        self.prefetch_training(path[0])
        for before, layout in zip([None, *path], path, strict=False):
            if before is not None:
                self._start_later("move", before, layout)  # also within equal arrays, where survivors close ranks
            if layout != before:
                for name in ("advance", "evaluate", "keep") if layout.keeps_best else ("advance", "evaluate"):
                    self._start_later(name, layout)

    def prefetch_training(self, layout: Layout) -> list[Future]:
        """Starts compiling what it takes to train for a while."""
        return [self._start("spawn", layout), self._start("advance", layout)]

    def prefetch_remainders(self, path: Sequence[Layout]) -> None:
        """Starts compiling the programs that make single updates, where whole bursts don't come out even."""
        for layout in path:
            self._start_later("advance", layout._replace(burst=1))

    def _start_later(self, name: str, *layouts: Layout) -> None:
        self.host.later.append(partial(self._start, name, *layouts))

    def ready(self, name: str, *layouts: Layout) -> Any:
        """Waits until a program is compiled, and returns it."""
        program = self.host.compiled_program(self._start(name, *layouts))
        check_scratch(layouts[0].mesh, program.scratch_bytes)
        return program.call

    def find(self, name: str, *layouts: Layout) -> Future | None:
        """A program that is compiled, or about to be."""
        key = self._key(name, layouts)
        future = self._futures.get(key)
        if future is None or future.cancelled():
            future = EXECUTABLES.find(key)
        if future is not None:
            self._futures[key] = future
        return future

    def spawn(self, layout: Layout, hp: Any) -> Population:
        """See `population.spawn`."""
        return self._call("spawn", (layout,), hp, self.shared)

    def advance(self, layout: Layout, lanes: Population, hp: Any, count: int, start: int, bursts: int) -> Population:
        """See `population.advance`; consumes the population."""
        numbers = np.int32(count), np.int32(start), np.int32(bursts)
        return self._call("advance", (layout,), lanes, hp, self.shared, *numbers)

    def evaluate(
        self, layout: Layout, lanes: Population, hp: Any, count: int, stop: int, metric: int, sign: float
    ) -> tuple[Population, dict[str, jax.Array]]:
        """See `population.evaluate`; consumes the population."""
        numbers = np.int32(count), np.int32(stop), np.int32(metric), np.float32(sign)
        return self._call("evaluate", (layout,), lanes, hp, self.shared, *numbers)

    def keep(self, layout: Layout, lanes: Population, improved: Any) -> Population:
        """See `population.keep`; consumes the population."""
        return self._call("keep", (layout,), lanes, improved)

    def move(self, before: Layout, after: Layout, lanes: Population, source: Any, count: int) -> Population:
        """See `population.move`; consumes the population."""
        return self._call("move", (before, after), lanes, source, np.int32(count))

    def shapes(self, layout: Layout) -> Population:
        """Shapes of a population."""
        return _lanes(self.functions, layout)

    def cancel(self) -> None:
        """Compiles no more of what this group asked for."""
        for future in self._futures.values():
            future.cancel()

    def _call(self, name: str, layouts: tuple[Layout, ...], *args: Any) -> Any:
        everywhere = layouts[0].everywhere
        # The thread that makes the call has none of the settings that hold here: what a number becomes is decided here.
        placed = jax.tree.map(lambda x: x if isinstance(x, jax.Array) else jax.device_put(x, everywhere), args)
        return self.host.call(self.ready(name, *layouts), *placed)

    def _start(self, name: str, *layouts: Layout) -> Future:
        """A program that is compiled or about to be; lowered here, in the thread whose settings of JAX it obeys."""
        future = self.find(name, *layouts)
        if future is None:
            key, lowered = self._key(name, layouts), _lower(name, self.functions, layouts, self.hp, self.shared)
            future = self._futures[key] = EXECUTABLES.add(key, lowered)
        return future

    def _key(self, name: str, layouts: Sequence[Layout]) -> Hashable:
        """What a program computes: also the shapes of all data, of which a trace knows one batch only."""
        return name, *layouts, self._computed[name], settings()

    @cached_property
    def _computed(self) -> dict[str, Hashable]:
        functions, named = self.functions, self.functions.named
        state = tuple((x.shape, x.dtype) for x in jax.tree.leaves(functions.state))
        common = state, functions.info, functions.held, functions.judges_state, shapes(self.shared)
        hp = tuple((name, str(dtype)) for name, dtype in sorted(self.hp.items()))
        return {
            name: (common, hp, tuple(named[part].fingerprint for part in parts if part in named))
            for name, parts in _READS.items()
        }


def _lower(name: str, functions: Functions, layouts: Sequence[Layout], dtypes: Mapping, shared: Shared) -> Any:
    """A program of `population`, traced and lowered for layouts before and after it.

    It is for the shapes of what is shared: executables must not keep the data alive.
    """
    layout, after = layouts[0], layouts[-1]

    def of_slots(dtype: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((after.slots,), dtype, sharding=after.everywhere)

    hp, shared = _arguments(layout, dtypes, shared)
    lanes = None if name == "spawn" else _lanes(functions, layout)
    programs: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
        "spawn": (partial(engine.spawn, functions, layout), (hp, shared)),
        "advance": (partial(engine.advance, functions, layout), (lanes, hp, shared, *[_COUNT] * 3)),
        "evaluate": (partial(engine.evaluate, functions, layout), (lanes, hp, shared, *[_COUNT] * 3, _SIGN)),
        "keep": (partial(engine.keep, layout), (lanes, of_slots(jnp.bool_))),
        "move": (partial(engine.move, layout, after), (lanes, of_slots(jnp.int32), _COUNT)),
    }
    function, args = programs[name]
    donated = () if name == "spawn" or after.rows != layout.rows else (0,)  # smaller arrays can't reuse the memory
    out = (after.lanes, after.everywhere) if name == "evaluate" else after.lanes
    return jax.jit(function, donate_argnums=donated, out_shardings=out).lower(*args)


def _arguments(layout: Layout, dtypes: Mapping, shared: Shared) -> tuple[Any, Shared]:
    """Shapes of hyperparameters and of what is shared."""
    hp = {key: jax.ShapeDtypeStruct((layout.slots,), x, sharding=layout.everywhere) for key, x in dtypes.items()}
    return hp, _placed(shared, layout.everywhere)


def _lanes(functions: Functions, layout: Layout) -> Population:
    """Shapes of a population: what `population.spawn` makes."""

    def of(dtype: Any, shape: tuple[int, ...] = ()) -> Any:
        shape = (layout.runs, layout.rows, layout.devices, *shape)
        return jax.ShapeDtypeStruct(shape, dtype, sharding=layout.lanes)

    state = [of(x.dtype, x.shape) for x in functions.state]
    return Population(
        state=state,
        kept=state if layout.keeps_best else None,
        diverged=of(jnp.int32),
        info_sum={name: of(jnp.result_type(float)) for name in functions.info},
        info_count={name: of(jnp.int32) for name in functions.info},
    )


def _placed(tree: Any, sharding: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)
