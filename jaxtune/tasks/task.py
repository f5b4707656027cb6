"""What one trial is: pure functions and data. The engine adds the trial axis."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from jaxtune.interface.habits import hinted
from jaxtune.tasks.arrays import as_arrays
from jaxtune.tasks.evaluation import UNKNOWN, Evaluation

_DATA = ("train", "validation", "test")
_STATIC = ("init", "step", "evaluate", "batch_size", "prepare", "observe", "healthy")


@hinted
@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """One trial in general: how to start it, advance it by one step, and evaluate it.

    A task is a pytree: its data are leaves, its functions static. Functions are pure, take a key first and know
    nothing of other trials; `hp` is a plain dict whose numbers are traced scalars that behave like Python floats.
    Any function may further ask for `step` (steps done so far), `total_steps` (of the whole training) and `stats`
    (what `prepare` returned) by naming a parameter so.

    Attributes:
        init: `(key, hp) -> state`, a pytree of arrays. The key is the same for all trials of a replicate.
        step: `(key, state, batch, hp) -> (state, info)`. One unit of budget. `info` is a dict of scalars;
            `info["loss"]`, where given, marks divergence, and all of it is logged: the record has each name with
            `train_` in front (once, where it has that already), the mean over the steps of the trial since the
            evaluation before, of those values that are finite. Keeps shapes and dtypes of the state.
        evaluate: `(key, state, data, hp) -> {name: scalar}`, on the validation or test data, always with the same
            key. One of the names is the metric of the search.
        train: Pytree of arrays whose leading axis counts examples, or None. Frames, tensors and lists of numbers in
            it become arrays.
        validation: Likewise; what trials are selected on.
        test: Likewise; read by `Result.test()` alone.
        batch_size: Examples of `train` in a step: shuffled anew each epoch, without replacement, none lost. None:
            `step` gets all of `train`.
        prepare: `train -> stats`, computed once for the training part of each split or fold.
        observe: `(state, score, hp) -> state`, called after each evaluation with the metric of the search, turned so
            that low is good; for what has to follow the validation data, such as a learning rate reduced on plateau.
        healthy: `state -> bool`, looked at after each step: False marks divergence. None: a loss that is not finite
            does, or a metric where `evaluate` reports no loss. For steps that handle such losses themselves, by
            skipping a batch or scaling the loss.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import jaxtune as jt
        >>> task = jt.Task(
        ...     init=lambda key, hp: jax.random.normal(key),
        ...     step=lambda key, x, batch, hp: (x - hp["lr"] * 2 * x, {"loss": x**2}),
        ...     evaluate=lambda key, x, data, hp: {"loss": x**2},
        ... )
        >>> scheduler = jt.FullBudget(trials=8, steps=10)
        >>> result = jt.tune(task, {"lr": jt.LogUniform(1e-3, 0.5)}, scheduler=scheduler, progress=False)
        >>> result.best.steps
        10
    """

    init: Callable[..., Any]
    step: Callable[..., Any]
    evaluate: Callable[..., Any]
    train: Any = None
    validation: Any = None
    test: Any = None
    batch_size: int | None = None
    prepare: Callable[..., Any] | None = None
    observe: Callable[..., Any] | None = None
    healthy: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        for name in _DATA:
            object.__setattr__(self, name, as_arrays(getattr(self, name), name))

    @property
    def functions(self) -> "Task":
        """This task without its data: the part that decides what is compiled; hashable."""
        return replace(self, train=None, validation=None, test=None)

    @property
    def evaluation(self) -> Evaluation:
        """What `evaluate` knows of itself."""
        return self.evaluate if isinstance(self.evaluate, Evaluation) else UNKNOWN

    @property
    def num_examples(self) -> int | None:
        """Number of training examples, or None without training data."""
        leaves = jax.tree.leaves(self.train)
        return int(np.shape(leaves[0])[0]) if leaves else None

    def replace(self, **changes: Any) -> "Task":
        """A copy with other parts; other data of the same shapes compile nothing.

        Example:
            >>> import jaxtune as jt
            >>> task = jt.Task(init=len, step=len, evaluate=len)
            >>> task.replace(batch_size=32).batch_size
            32
        """
        return replace(self, **changes)

    def steps(self, epochs: float) -> int:
        """The number of steps in so many passes over the training data.

        Raises:
            ValueError: The task has no training data or no batch size.
        """
        if self.num_examples is None or self.batch_size is None:
            raise ValueError("Task.steps needs training data and a batch_size to count epochs.")
        return max(1, round(epochs * self.num_examples / self.batch_size))

    def __eq__(self, other: object) -> bool:
        """Equal functions and equal data, by value."""
        if not isinstance(other, Task):
            return NotImplemented
        if any(getattr(self, name) != getattr(other, name) for name in _STATIC):
            return False
        mine, theirs = ([getattr(task, name) for name in _DATA] for task in (self, other))
        if repr(jax.tree.structure(mine)) != repr(jax.tree.structure(theirs)):
            return False
        leaves = zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True)
        return all(a is b or np.array_equal(a, b) for a, b in leaves)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in _STATIC))


def _flatten(task: Task) -> tuple[tuple[tuple[Any, Any], ...], tuple[Any, ...]]:
    data = tuple((jax.tree_util.GetAttrKey(name), getattr(task, name)) for name in _DATA)
    return data, tuple(getattr(task, name) for name in _STATIC)


def _unflatten(static: tuple[Any, ...], data: Iterable[Any]) -> Task:
    """A task with whatever JAX puts in place of arrays."""
    task = object.__new__(Task)
    for name, value in zip((*_DATA, *_STATIC), (*data, *static), strict=True):
        object.__setattr__(task, name, value)
    return task


jax.tree_util.register_pytree_with_keys(Task, _flatten, _unflatten)
