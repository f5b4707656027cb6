"""Compiled programs of this process, found again by what they compute, and bounded in number and memory.

All that jaxtune compiles with a user's functions in it is kept here and nowhere else. Programs are lowered in the
thread that asks for them, because settings of JAX may hold for that thread alone (`with jax.enable_x64(True)`), and
compiled in others: XLA releases Python's lock while it compiles.
"""

import os
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from jaxtune.interface.settings import settings
from jaxtune.tasks.fingerprints import fingerprint

COMPILERS = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="jaxtune-compile")
MAX_PROGRAMS = 128  # of 1 to 7 MB each on a CPU, which doesn't tell
MAX_BYTES = 2**30  # of machine code, where the backend tells
_MAPS, _MAX_MAPS = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")
_MAPS_SHARE = 0.4  # of the mappings that a process may have: at the limit it dies, and others need some too


@dataclass(frozen=True)
class Program:
    """A compiled program.

    Attributes:
        call: What calls it.
        code_bytes: Of its machine code; 0 where the backend doesn't tell.
        scratch_bytes: Of its intermediate values on each device.
    """

    call: Callable[..., Any]
    code_bytes: int
    scratch_bytes: int

    @classmethod
    def of(cls, lowered: Any) -> "Program":
        """Compiles a lowered program."""
        compiled = lowered.compile()
        analysis = compiled.memory_analysis()  # asked for once: it takes milliseconds
        if analysis is None:
            return cls(compiled, 0, 0)
        return cls(compiled, analysis.generated_code_size_in_bytes, analysis.temp_size_in_bytes)


class Executables:
    """Futures of compiled programs by what they are, least recently used first.

    A search holds those that it uses itself, so that dropping one here never disturbs it.

    Args:
        max_programs: how many are kept.
        max_bytes: machine code that is kept.
    """

    def __init__(self, max_programs: int = MAX_PROGRAMS, max_bytes: int = MAX_BYTES) -> None:
        self.max_programs, self.max_bytes = max_programs, max_bytes
        self._futures: dict[Hashable, Future] = {}
        self._lock = threading.Lock()

    def find(self, key: Hashable) -> Future | None:
        """A program that is compiled or about to be; it counts as used now. One whose compilation failed is gone."""
        with self._lock:
            future = self._futures.pop(key, None)
            if future is None or _failed(future):
                return None
            self._futures[key] = future
            return future

    def add(self, key: Hashable, lowered: Any, here: bool = False) -> Future:
        """Compiles a lowered program, in another thread or here; drops the least recently used that are too many."""
        future: Future = Future()
        if here:
            future.set_result(Program.of(lowered))
        else:
            future = COMPILERS.submit(Program.of, lowered)
        with self._lock:
            self._futures[key] = future
            self._drop()
        return future

    def clear(self) -> None:
        """Forgets all programs."""
        with self._lock:
            self._futures.clear()

    def __len__(self) -> int:
        return len(self._futures)

    def _drop(self) -> None:
        sizes = {key: _code_bytes(future) for key, future in self._futures.items()}
        total, most = sum(sizes.values()), self.max_programs
        if _is_crowded():
            most = min(most, len(sizes) // 2)
        for key, size in list(sizes.items())[:-1]:  # never the newest
            if len(self._futures) <= most and total <= self.max_bytes:
                break
            del self._futures[key]
            total -= size


EXECUTABLES = Executables()


def shapes(tree: Any) -> Hashable:
    """Structure, shapes, dtypes and placement of a pytree of arrays: what a compiled program asks of its arguments."""
    leaves, structure = jax.tree.flatten(jax.tree.map(_struct, tree))
    return structure, tuple((x.shape, x.dtype, x.weak_type, x.sharding) for x in leaves)


class Jitted:
    """A function that is compiled when it is called, as by `jax.jit`, but shares its programs with equal functions.

    Args:
        function: Of pytrees of arrays. Under an outer transformation it is called as it is.

    Example:
        >>> import jax.numpy as jnp
        >>> double = Jitted(lambda x: 2 * x)
        >>> double(jnp.arange(3)).tolist()
        [0, 2, 4]
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._made: dict[Hashable, Callable[..., Any]] = {}

    def __call__(self, *args: Any) -> Any:
        """The result of the function."""
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(args)):
            return self._function(*args)
        return self._program(args, here=True)(*args)

    def prepare(self, *args: Any) -> None:
        """Starts compiling the program for such arguments."""
        self._program(args, here=False)

    def _program(self, args: Any, here: bool) -> Callable[..., Any]:
        structs = jax.tree.map(_struct, args)
        key = shapes(structs), settings()
        if key not in self._made:
            self._made[key] = self._make(structs, key, here)
        return self._made[key]

    def _make(self, structs: Any, arguments: Hashable, here: bool) -> Callable[..., Any]:
        # A new function each time: JAX remembers traces by function, whatever that may read besides its arguments.
        anew = jax.make_jaxpr(lambda *args: self._function(*args), return_shape=True)
        closed, out = anew(*jax.tree.map(_unplaced, structs))
        key = fingerprint(closed.jaxpr), arguments
        future = EXECUTABLES.find(key)
        if future is None:
            call = jax.jit(lambda consts, args: jax.core.eval_jaxpr(closed.jaxpr, consts, *args))
            consts = [var.aval for var in closed.jaxpr.constvars]
            future = EXECUTABLES.add(key, call.lower(consts, jax.tree.leaves(structs)), here)
        tree = jax.tree.structure(out)

        def run(*args: Any) -> Any:
            return jax.tree.unflatten(tree, future.result().call(closed.consts, jax.tree.leaves(args)))

        return run


def _struct(x: Any) -> jax.ShapeDtypeStruct:
    """What a program is compiled for in the place of an array; one that is bound to its devices stays there."""
    if isinstance(x, jax.ShapeDtypeStruct):
        return x
    aval, bound = jax.typeof(x), isinstance(x, jax.Array) and x.committed
    return jax.ShapeDtypeStruct(
        aval.shape, aval.dtype, weak_type=aval.weak_type, sharding=x.sharding if bound else None
    )


def _unplaced(struct: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(struct.shape, struct.dtype, weak_type=struct.weak_type)


def _failed(future: Future) -> bool:
    return future.cancelled() or (future.done() and future.exception() is not None)


def _code_bytes(future: Future) -> int:
    return future.result().code_bytes if future.done() and not _failed(future) else 0


def _is_crowded() -> bool:
    """Whether this process has used up much of the memory mappings that Linux allows; compiled programs take many."""
    try:
        return _MAPS.read_bytes().count(b"\n") > _MAPS_SHARE * int(_MAX_MAPS.read_text())
    except (OSError, ValueError):
        return False
