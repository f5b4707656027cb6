"""The compiled programs of one group: made ahead of time in threads, and found again by later searches.

XLA releases Python's lock while it compiles, so that the programs of a whole search compile side by side, and those for
later rungs while the first rung is already running.
"""

import os
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune import population as engine
from jaxtune.functions import Functions
from jaxtune.placement import check_scratch
from jaxtune.population import Layout, Population, Shared

_COUNT = jax.ShapeDtypeStruct((), jnp.int32)
_SIGN = jax.ShapeDtypeStruct((), jnp.float32)
COMPILERS = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="jaxtune-compile")


@dataclass
class Clock:
    """Seconds that a search has spent waiting for compilers, and how many programs it has made."""

    waited: float = 0.0
    compiled: dict[str, int] = field(default_factory=dict)  # name of the program -> how many were new
    compile_seconds: dict[str, float] = field(default_factory=dict)  # name -> time in the compiler, all threads


@dataclass(frozen=True)
class Programs:
    """The programs of a group of trials on given data.

    Attributes:
        functions: The traced functions of the group; executables are kept with them.
        shared: Data, keys and constants, on the devices.
        hp: name -> dtype of the traced hyperparameters.
        clock: Where time is booked.
    """

    functions: Functions
    shared: Shared
    hp: Mapping[str, Any]
    clock: Clock

    def prefetch(self, path: Sequence[Layout]) -> None:
        """Starts compiling what a population on its way through a path of layouts needs, in that order."""
        self._start("spawn", path[0])
        for before, layout in zip([None, *path], path, strict=False):
            if before is not None:
                self._start("move", before, layout)  # also within equal arrays, where survivors close ranks
            if layout != before:
                self._start_rungs(layout)

    def prefetch_training(self, layout: Layout) -> None:
        """Starts compiling what it takes to train for a while."""
        self._start("spawn", layout)
        self._start("advance", layout)

    def wait_for_training(self, layout: Layout) -> None:
        """Waits until that is compiled."""
        wait([self._start("spawn", layout), self._start("advance", layout)])

    def prefetch_remainders(self, path: Sequence[Layout]) -> None:
        """Starts compiling the programs that make single updates, where whole units don't come out even."""
        for layout in path:
            self._start("advance", layout._replace(unit=1))

    def _start_rungs(self, layout: Layout) -> None:
        for name in ("advance", "evaluate", "keep") if layout.keeps_best else ("advance", "evaluate"):
            self._start(name, layout)

    def ready(self, name: str, *layouts: Layout) -> Any:
        """Waits until a program is compiled, and returns it."""
        return self._get(name, *layouts)

    def has(self, name: str, *layouts: Layout) -> bool:
        """Whether a program is compiled, or about to be."""
        return self._key(name, layouts) in self.functions.executables

    def spawn(self, layout: Layout, hp: Any) -> Population:
        """See `population.spawn`."""
        return self._get("spawn", layout)(hp, self.shared)

    def advance(self, layout: Layout, lanes: Population, hp: Any, count: int, start: int, units: int) -> Population:
        """See `population.advance`; consumes the population."""
        return self._get("advance", layout)(lanes, hp, self.shared, np.int32(count), np.int32(start), np.int32(units))

    def evaluate(
        self, layout: Layout, lanes: Population, hp: Any, count: int, stop: int, metric: int, sign: float
    ) -> tuple[Population, dict[str, jax.Array]]:
        """See `population.evaluate`; consumes the population."""
        numbers = np.int32(count), np.int32(stop), np.int32(metric), np.float32(sign)
        return self._get("evaluate", layout)(lanes, hp, self.shared, *numbers)

    def keep(self, layout: Layout, lanes: Population, improved: Any) -> Population:
        """See `population.keep`; consumes the population."""
        return self._get("keep", layout)(lanes, improved)

    def move(self, before: Layout, after: Layout, lanes: Population, source: Any, count: int) -> Population:
        """See `population.move`; consumes the population."""
        return self._get("move", before, after)(lanes, source, np.int32(count))

    def _get(self, name: str, *layouts: Layout) -> Any:
        future = self._start(name, *layouts)
        begin = time.monotonic()
        executable = future.result()
        self.clock.waited += time.monotonic() - begin
        check_scratch(layouts[0].mesh, executable.memory_analysis().temp_size_in_bytes)
        return executable

    def _start(self, name: str, *layouts: Layout) -> Future:
        executables, key = self.functions.executables, self._key(name, layouts)
        if key not in executables:
            self.clock.compiled[name] = self.clock.compiled.get(name, 0) + 1
            executables[key] = COMPILERS.submit(self._compile, name, *layouts)
        return executables[key]

    def _key(self, name: str, layouts: Sequence[Layout]) -> Hashable:
        """What an executable is for: also the shapes of the data, of which the trace knows one batch only."""
        leaves, tree = jax.tree.flatten(self.shared)
        return name, *layouts, tree, tuple((leaf.shape, leaf.dtype) for leaf in leaves)

    def _compile(self, name: str, *layouts: Layout) -> Any:
        begin = time.monotonic()
        executable = _LOWER[name](self.functions, *layouts, *self._structs(layouts[0])).compile()
        spent = self.clock.compile_seconds
        spent[name] = spent.get(name, 0.0) + time.monotonic() - begin
        return executable

    def _structs(self, layout: Layout) -> tuple[Any, Any]:
        """Shapes of hyperparameters and of what is shared: executables must not keep the data alive."""
        hp = {
            name: jax.ShapeDtypeStruct((layout.slots,), dtype, sharding=layout.everywhere)
            for name, dtype in self.hp.items()
        }
        return hp, _placed(self.shared, layout.everywhere)


def _lower_spawn(functions: Functions, layout: Layout, hp: Any, shared: Any) -> Any:
    def spawn(hp: Any, shared: Shared) -> Population:
        return engine.spawn(functions, layout, hp, shared)

    return jax.jit(spawn, out_shardings=layout.lanes).lower(hp, shared)


def _lower_advance(functions: Functions, layout: Layout, hp: Any, shared: Any) -> Any:
    def advance(lanes: Population, *rest: Any) -> Population:
        return engine.advance(functions, layout, lanes, *rest)

    jitted = jax.jit(advance, donate_argnums=0, out_shardings=layout.lanes)
    return jitted.lower(_lanes(functions, layout, hp, shared), hp, shared, _COUNT, _COUNT, _COUNT)


def _lower_evaluate(functions: Functions, layout: Layout, hp: Any, shared: Any) -> Any:
    def evaluate(lanes: Population, *rest: Any) -> Any:
        return engine.evaluate(functions, layout, lanes, *rest)

    jitted = jax.jit(evaluate, donate_argnums=0, out_shardings=(layout.lanes, layout.everywhere))
    return jitted.lower(_lanes(functions, layout, hp, shared), hp, shared, _COUNT, _COUNT, _COUNT, _SIGN)


def _lower_keep(functions: Functions, layout: Layout, hp: Any, shared: Any) -> Any:
    def keep(lanes: Population, improved: Any) -> Population:
        return engine.keep(layout, lanes, improved)

    jitted = jax.jit(keep, donate_argnums=0, out_shardings=layout.lanes)
    improved = jax.ShapeDtypeStruct((layout.slots,), jnp.bool_, sharding=layout.everywhere)
    return jitted.lower(_lanes(functions, layout, hp, shared), improved)


def _lower_move(functions: Functions, before: Layout, after: Layout, hp: Any, shared: Any) -> Any:
    def move(lanes: Population, source: Any, count: Any) -> Population:
        return engine.move(before, after, lanes, source, count)

    donated = (0,) if before.rows == after.rows else ()  # smaller arrays can't reuse the memory
    jitted = jax.jit(move, donate_argnums=donated, out_shardings=after.lanes)
    source = jax.ShapeDtypeStruct((after.slots,), jnp.int32, sharding=after.everywhere)
    return jitted.lower(_lanes(functions, before, hp, shared), source, _COUNT)


_LOWER: dict[str, Callable[..., Any]] = {
    "spawn": _lower_spawn,
    "advance": _lower_advance,
    "evaluate": _lower_evaluate,
    "keep": _lower_keep,
    "move": _lower_move,
}


def _lanes(functions: Functions, layout: Layout, hp: Any, shared: Any) -> Population:
    """Shapes of a population."""
    return _placed(jax.eval_shape(partial(engine.spawn, functions, layout), hp, shared), layout.lanes)


def _placed(tree: Any, sharding: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)
