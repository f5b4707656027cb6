"""How a supervised task is evaluated: exact means over a split, metrics of whole splits, the trained model."""

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.tasks import checks
from jaxtune.tasks.combining import Both, are_floats
from jaxtune.tasks.evaluation import Evaluation
from jaxtune.tasks.executables import Jitted
from jaxtune.tasks.functions import asks_for
from jaxtune.tasks.task import Task
from jaxtune.training.averaging import averaged
from jaxtune.training.broadcasts import check_not_broadcast
from jaxtune.training.metrics import is_share, mode_of
from jaxtune.training.mismatch import called
from jaxtune.training.recipe import Recipe, Shapes, compiled, mean


@dataclass(frozen=True)
class Evaluate(Evaluation):
    """Exact loss and metrics over all examples of a split: full batches, then one of the rest.

    Values per example are averaged; a loss or metric that returns one value is called once, on the whole split: a mean
    of batch means would depend on the batch size where it divides by a number of its own.
    """

    recipe: Recipe
    has_model = True

    @property
    def loss_takes_hp(self) -> bool:
        """Whether the loss asks for hyperparameters, so that its values can't be compared between trials."""
        return asks_for(self.recipe.loss, "hp")

    def __call__(
        self, key: Any, state: dict, data: Any, hp: dict, *, step: Any = 0, total_steps: Any = 1, stats: Any = None
    ) -> dict[str, jax.Array]:
        """See `Task.evaluate`."""
        recipe, extras = self.recipe, {"step": step, "total_steps": total_steps}

        def look(pair: Any) -> _View:
            inputs, targets = recipe.seen(stats, pair)
            outputs = recipe.predict(key, hp, state, inputs, **extras)
            original = recipe.original(stats, outputs) if recipe.metrics else None
            return _View(outputs, targets, original, pair[1])

        return self._evaluated(self._names, look, partial(self._values, hp, extras), data)

    def of_outputs(self, outputs: tuple[Any, Any], data: Any, *, step: Any, total_steps: Any, stats: Any) -> dict:
        """See `Evaluation.of_outputs`."""
        names = tuple(name for name in self._names if name != "loss" or not self.loss_takes_hp)

        def look(part: Any) -> _View:
            pair, (seen, original) = part
            return _View(seen, self.recipe.seen(stats, pair)[1], seen if original is None else original, pair[1])

        values = partial(self._values, {}, {"step": step, "total_steps": total_steps})
        return self._evaluated(names, look, values, (tuple(data), outputs))

    def of_average(
        self,
        keys: Any,
        states: Any,
        data: Any,
        *,
        combine: Both | None,
        hp: dict,
        step: Any,
        total_steps: Any,
        stats: Any,
    ) -> dict:
        """See `Evaluation.of_average`."""
        recipe, extras = self.recipe, {"step": step, "total_steps": total_steps}

        def each(pair: Any) -> Any:
            """Outputs of all models, leaves [R, N, ...]."""

            def one(model: Any) -> Any:
                key, state = model
                return self.seen_outputs_of(key, state, pair, hp=hp, stats=stats, **extras)

            return jax.lax.map(one, (keys, states))

        def look(pair: Any) -> _View:
            seen, original = (None if many is None else averaged(many, combine) for many in each(pair))
            return _View(seen, recipe.seen(stats, pair)[1], seen if original is None else original, pair[1])

        if combine is None and not are_floats(jax.eval_shape(each, _resized(data, 1))):
            return {}
        return self._evaluated(self._names, look, partial(self._values, hp, extras), data)

    def _evaluated(self, names: Sequence[str], look: Callable, values: Callable, data: Any) -> dict[str, jax.Array]:
        """The loss and metrics of these names, of what `look` sees of some examples."""
        whole = self._whole_split(names, look, values, data)

        def batch_sums(batch: Any) -> tuple[dict[str, jax.Array], Any]:
            view, size = look(batch), _count(batch)
            means = {name: mean(values(name, view)) for name in names if name not in whole}
            return {name: value * size for name, value in means.items()}, view.needed(whole)

        total, view = _over_batches(batch_sums, data, self.recipe.batch_size)
        results = {name: value / _count(data) for name, value in total.items()}
        return results | {name: mean(values(name, view)) for name in whole}

    def mode_of(self, name: str) -> str | None:
        """Which way the loss or a metric is better, where that is known."""
        return "min" if name == "loss" else mode_of(dict(self.recipe.metrics).get(name))

    def range_of(self, name: str) -> tuple[float, float]:
        """The range in which a metric lies, whatever the model; known of shares."""
        return (0.0, 1.0) if is_share(dict(self.recipe.metrics).get(name)) else (-math.inf, math.inf)

    @property
    def _names(self) -> tuple[str, ...]:
        return "loss", *(name for name, _ in self.recipe.metrics)

    def _values(self, hp: dict, extras: dict, name: str, view: "_View") -> Any:
        """What the loss or a metric returns."""
        if name == "loss":
            return self.recipe.losses(view.outputs, view.seen, hp, **extras)
        role, metric = f"metric {name!r}", dict(self.recipe.metrics)[name]
        value = called(role, partial(compiled, role, metric), view.original, view.targets)
        checks.check_real(value, role)
        return value

    def _whole_split(self, names: Sequence[str], look: Callable, values: Callable, data: Any) -> tuple[str, ...]:
        """Names of what has to see the whole split at once, because it returns no value per example.

        Two numbers of examples tell `[N, ...]` from a fixed shape. Wrong shapes, and broadcasts of outputs with
        targets, are refused. A loss that takes batches of its own size only can't see more than these.
        """
        sizes = [count * self.recipe.batch_size for count in _BATCHES]
        views = [jax.eval_shape(look, _resized(data, size)) for size in sizes]
        if 1 in (self.recipe.batch_size, _count(data) % self.recipe.batch_size):
            _check_one(jax.eval_shape(look, _resized(data, 1)), views[0], sizes[0])

        def alone(name: str, outputs: Any, targets: Any) -> Any:
            return values(name, _View(outputs, targets, outputs, targets))

        for name in names:
            role, pair = (name, views[0][:2]) if name == "loss" else (f"metric {name!r}", views[0][2:])
            check_not_broadcast(role, partial(alone, name), *pair)

        def takes_all(name: str) -> bool:
            try:
                shapes = [jax.eval_shape(partial(values, name), view).shape for view in views]
            except Exception:
                if name == "loss":
                    return False
                raise
            return not _is_per_example(name, sizes, shapes)

        return tuple(name for name in names if takes_all(name))

    def outputs_of(self, key: Any, state: dict, pair: Any, *, hp: dict, step: Any, total_steps: Any, stats: Any) -> Any:
        """Outputs for some examples in evaluation mode, in the unit of the original targets."""
        inputs, _ = self.recipe.seen(stats, pair)
        outputs = self.recipe.predict(key, hp, state, inputs, step=step, total_steps=total_steps)
        return self.recipe.original(stats, outputs)

    def seen_outputs_of(
        self, key: Any, state: dict, pair: Any, *, hp: dict, step: Any, total_steps: Any, stats: Any
    ) -> tuple[Any, Any]:
        """See `Evaluation.seen_outputs_of`."""
        inputs, _ = self.recipe.seen(stats, pair)
        outputs = self.recipe.predict(key, hp, state, inputs, step=step, total_steps=total_steps)
        original = self.recipe.original(stats, outputs) if self.recipe.metrics else outputs
        leaves, others = jax.tree.leaves(outputs), jax.tree.leaves(original)
        equal = len(leaves) == len(others) and all(a is b for a, b in zip(leaves, others, strict=True))
        return outputs, None if equal else original

    def variables_of(self, state: dict) -> Any:
        """The trained and the frozen variables of a state, as the module takes them."""
        return self.recipe.model.variables(*self.recipe.weights.merge(state["params"], state["other"]))

    def model_of(self, state: dict, hparams: dict) -> Any:
        """The module with concrete hyperparameters at the end of a training; an nnx module holds its variables."""
        variables = self.recipe.weights.merge(state["params"], state["other"])
        return self.recipe.model.model(hparams, *variables, step=1, total_steps=1)

    def undefined_metrics(self, train: Any, parts: Mapping[str, Any], hp: dict) -> Iterator[tuple[str, str]]:
        """(metric, part) pairs: a metric that is NaN on some parts of the data, though not on all and in training.

        Outputs are random numbers: what is NaN for one part, and is not for another one, is so because of its targets.
        Only metrics of whole splits are looked at.

        Args:
            train: Training data.
            parts: Data by what they are called.
            hp: Python values of hyperparameters.
        """
        for name, metric in self.recipe.metrics:
            defined = {part: self._is_defined(metric, train, data, hp) for part, data in parts.items()}
            if not all(defined.values()) and (any(defined.values()) or self._is_defined(metric, train, train, hp)):
                yield from ((name, part) for part, is_defined in defined.items() if not is_defined)

    def _is_defined(self, metric: Callable, train: Any, data: Any, hp: dict) -> bool:
        """Whether a metric of a whole split is a number for some outputs or other; True for all other metrics."""
        outputs = jax.eval_shape(partial(self._original, hp), train, data)
        if jax.eval_shape(metric, outputs, data[1]).shape != ():
            return True
        rng = np.random.default_rng(0)
        values = [Jitted(metric)(_random(rng, outputs, draw), data[1]) for draw in ("normal", "random")]
        return not np.isnan(values).all()

    def _original(self, hp: dict, train: Any, data: Any) -> Any:
        key, now = jax.random.key(0), {"step": jnp.int32(0), "total_steps": jnp.int32(1)}
        stats = None if self.recipe.preprocess is None else self.recipe.preprocess.fit(train)
        return self.outputs_of(key, self.recipe.variables(key, hp, **now), data, hp=hp, stats=stats, **now)

    def check_data(self, task: Task, hp: dict) -> None:
        """Refuses data that no training can use, before anything compiles; `hp` are Python values."""
        self.recipe.check_awake(hp)
        for name in ("train", "validation", "test"):
            data = getattr(task, name)
            if data is not None:
                checks.check_finite(data, name)
                self._check_labels(name, task.train, data, hp)

    def _check_labels(self, name: str, train: Any, data: Any, hp: dict) -> None:
        """Integer targets with one axis less than the outputs are classes 0 ... C - 1."""
        inputs, targets = self._as_seen(train, data)
        is_known = isinstance(targets, (np.ndarray, jax.Array)) and not isinstance(targets, jax.core.Tracer)
        if not is_known or not jnp.issubdtype(targets.dtype, jnp.integer):
            return
        values = tuple((name, type(value), value) for name, value in hp.items())
        shape = _output_shape(self.recipe, values, inputs)
        loss = partial(self.recipe.mean_loss, hp=hp, step=0, total_steps=1)
        _check_range(name, targets, shape or (), loss)

    def _as_seen(self, train: Any, data: Any) -> tuple[Shapes, Any]:
        """Shapes of the inputs as the model sees them, and the targets, or None where preprocessing changes them."""
        preprocess = self.recipe.preprocess
        if preprocess is None:
            return Shapes.of(data[0]), data[1]
        unchanged = False

        def seen(train: Any, data: Any) -> Any:
            nonlocal unchanged
            inputs, targets = preprocess.apply(preprocess.fit(train), data)
            unchanged = targets is data[1]
            return inputs

        inputs = jax.eval_shape(seen, train, data)
        return Shapes.of(inputs), data[1] if unchanged else None


@functools.lru_cache(maxsize=256)
def _output_shape(recipe: Recipe, hparams: tuple, inputs: Shapes) -> tuple[int, ...] | None:
    """Shape of the outputs for one example, or None if they are no single array."""
    hp = {name: value for name, _, value in hparams}

    def outputs(key: jax.Array, step: jax.Array) -> Any:
        extras = {"step": step, "total_steps": step}
        return recipe.predict(key, hp, recipe.variables(key, hp, **extras), inputs.batch(2), **extras)

    made = jax.eval_shape(outputs, *jax.eval_shape(lambda: (jax.random.key(0), jnp.int32(0))))
    return made.shape[1:] if isinstance(made, jax.ShapeDtypeStruct) else None


_EXAMPLES = 32  # that a loss is tried on, half of them with such labels


def _check_range(name: str, targets: Any, shape: tuple[int, ...], loss: Callable[[Any, Any], Any]) -> None:
    """Raises ValueError if labels lie outside 0 ... C - 1 and the loss doesn't leave them out.

    A loss that masks some labels, -100 as a rule, is finite where they occur, and no gradient comes from there.

    Args:
        name: Of the split.
        targets: Whole numbers, [N, ...].
        shape: Of the outputs for one example, [..., C]; targets of another shape are no labels.
        loss: From outputs and targets to a scalar.
    """
    *examples, classes = shape or (1,)
    low, high = int(targets.min()), int(targets.max())
    if tuple(examples) != targets.shape[1:] or classes < 2 or (low >= 0 and high < classes):
        return
    counted_from_one = low == 1 and high == classes
    if counted_from_one or not _are_left_out(np.asarray(targets), shape, loss):
        raise ValueError(
            f"The targets of {name} lie in {low} ... {high}, but the model has {classes} outputs: "
            f"labels must lie in 0 ... {classes - 1}; make them float if they are quantities, or give them no weight "
            "in the loss if they mark what it should ignore."
        )


def _are_left_out(targets: np.ndarray, shape: tuple[int, ...], loss: Callable[[Any, Any], Any]) -> bool:
    """Whether random outputs matter nowhere where a label is out of range."""
    outside = (targets < 0) | (targets >= shape[-1])
    per_example = outside.reshape(len(targets), -1).any(axis=1)
    rows = np.concatenate([np.flatnonzero(per_example == kind)[: _EXAMPLES // 2] for kind in (True, False)])
    outputs = np.random.default_rng(0).normal(size=(len(rows), *shape)).astype(np.float32)
    try:
        with jax.ensure_compile_time_eval():  # `search` is called under jit
            value, slopes = jax.jit(jax.value_and_grad(loss))(jnp.asarray(outputs), jnp.asarray(targets[rows]))
            return bool(jnp.isfinite(value) & jnp.isfinite(slopes).all() & (slopes[outside[rows]] == 0).all())
    except Exception:  # of a loss that takes batches of its own size only
        return False


_BATCHES = 13, 17  # numbers of batches, of examples that nothing else has so many of


class _View(NamedTuple):
    """What the loss and metrics see of some examples."""

    outputs: Any  # of the model
    seen: Any  # targets, preprocessed: what the loss is computed on
    original: Any  # outputs in the unit of the original targets, for metrics
    targets: Any  # as they are in the data

    def needed(self, whole: Sequence[str]) -> "_View":
        """The parts that are needed for the values of a whole split."""
        loss, metrics = "loss" in whole, any(name != "loss" for name in whole)
        before, after = (self.outputs, self.seen), (self.original, self.targets)
        return _View(*(before if loss else (None, None)), *(after if metrics else (None, None)))


def _random(rng: np.random.Generator, structs: Any, draw: str) -> Any:
    """Random outputs, zeros where they are no floats."""

    def one(struct: Any) -> np.ndarray:
        is_float = jnp.issubdtype(struct.dtype, jnp.floating)
        values = getattr(rng, draw)(size=struct.shape) if is_float else np.zeros(struct.shape)
        return values.astype(struct.dtype)

    return jax.tree.map(one, structs)


def _count(data: Any) -> int:
    return jax.tree.leaves(data)[0].shape[0]


def _resized(data: Any, size: int) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((size, *x.shape[1:]), x.dtype), data)


def _check_one(one: Any, many: Any, size: int) -> None:
    """Raises TypeError if outputs have an axis of examples, but not for a single one."""
    for x, y in zip(jax.tree.leaves(one.outputs), jax.tree.leaves(many.outputs), strict=True):
        if y.shape[:1] == (size,) and x.shape[:1] != (1,):
            raise TypeError(
                f"The model returns shape {x.shape} for a batch of one example, such as the last of a split, but "
                f"{(size, *y.shape[1:])} for {size}: squeeze(-1) takes the last axis away, squeeze() any of length 1."
            )


def _is_per_example(name: str, sizes: Sequence[int], shapes: Sequence[tuple[int, ...]]) -> bool:
    """Whether shapes for so many examples each are `[N, ...]`; a metric has to return these, or one value.

    Raises:
        TypeError: A metric returns neither.
    """
    if [shape[:1] for shape in shapes] == [(size,) for size in sizes] and shapes[0][1:] == shapes[1][1:]:
        return True
    if name != "loss" and shapes[0] != ():
        raise TypeError(
            f"metric {name!r} returned shape {shapes[0]} for {sizes[0]} examples; "
            "return one value per example or one value for the split."
        )
    return False


def _over_batches(function: Callable, data: Any, batch_size: int) -> tuple[Any, Any]:
    """Sums of a function's first result, and the concatenation of its second, over batches of true size."""
    count = _count(data)
    full = count - count % batch_size
    parts = []
    if full:
        batches = jax.tree.map(lambda x: x[:full].reshape(-1, batch_size, *x.shape[1:]), data)
        sums, _ = jax.eval_shape(function, jax.tree.map(lambda x: x[0], batches))
        zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), sums)

        def add(total: Any, batch: Any) -> tuple[Any, Any]:
            sums, out = function(batch)
            return jax.tree.map(jnp.add, total, sums), out

        total, out = jax.lax.scan(add, zero, batches)
        parts.append((total, jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), out)))
    if full < count:
        parts.append(function(jax.tree.map(lambda x: x[full:], data)))
    totals, outputs = zip(*parts, strict=True)
    return jax.tree.map(lambda *xs: sum(xs), *totals), jax.tree.map(lambda *xs: jnp.concatenate(xs), *outputs)
