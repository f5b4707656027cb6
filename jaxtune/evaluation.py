"""How a supervised task is evaluated: exact means over a split, metrics of whole splits, the trained model."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune import checks
from jaxtune.functions import asks_for
from jaxtune.recipe import Recipe, Shapes, compiled
from jaxtune.task import Task


@dataclass(frozen=True)
class Evaluate:
    """Exact loss and metrics over all examples of a split: full batches, then one of the rest."""

    recipe: Recipe

    @property
    def loss_takes_hp(self) -> bool:
        """Whether the loss asks for hyperparameters, so that its values can't be compared between trials."""
        return asks_for(self.recipe.loss, "hp")

    def __call__(
        self,
        key: jax.Array,
        state: dict,
        data: Any,
        hp: dict,
        *,
        step: Any = 0,
        total_steps: Any = 1,
        stats: Any = None,
    ) -> dict[str, jax.Array]:
        """See `Task.evaluate`."""
        recipe, extras = self.recipe, {"step": step, "total_steps": total_steps}
        metrics = dict(recipe.metrics)

        def predict(pair: Any) -> tuple[Any, Any]:
            inputs, targets = recipe.seen(stats, pair)
            return recipe.predict(key, hp, state, inputs, **extras), targets

        whole = self._whole_split(lambda pair: recipe.original(stats, predict(pair)[0]), data)

        def batch_sums(batch: Any) -> tuple[dict[str, jax.Array], Any]:
            outputs, targets = predict(batch)
            means = {"loss": recipe.mean_loss(outputs, targets, hp, **extras)}
            outputs = recipe.original(stats, outputs) if metrics else None
            for name in metrics.keys() - set(whole):
                means[name] = jnp.mean(jnp.asarray(metrics[name](outputs, batch[1]), jnp.result_type(float)))
            size = jax.tree.leaves(batch)[0].shape[0]
            return {name: mean * size for name, mean in means.items()}, outputs if whole else None

        total, outputs = _over_batches(batch_sums, data, recipe.batch_size)
        count = jax.tree.leaves(data)[0].shape[0]
        results = {name: value / count for name, value in total.items()}
        return results | {name: metrics[name](outputs, data[1]) for name in whole}

    def _whole_split(self, outputs: Callable, data: Any) -> tuple[str, ...]:
        """Names of the metrics that return one value for the whole split; wrong shapes are refused.

        Two numbers of examples tell `[N, ...]` from a fixed shape.
        """

        def shapes(size: int) -> dict[str, tuple[int, ...]]:
            few = jax.tree.map(lambda x: jax.ShapeDtypeStruct((size, *x.shape[1:]), x.dtype), data)

            def results(batch: Any) -> dict[str, Any]:
                predicted = outputs(batch)
                return {name: _metric(name, metric, predicted, batch[1]) for name, metric in self.recipe.metrics}

            return {name: jnp.shape(value) for name, value in jax.eval_shape(results, few).items()}

        if not self.recipe.metrics:
            return ()
        five, seven = shapes(5), shapes(7)
        for name, shape in seven.items():
            per_example = shape[:1] == (7,) and five[name][:1] == (5,) and shape[1:] == five[name][1:]
            if shape != () and not per_example:
                raise TypeError(
                    f"metric {name!r} returned shape {shape} for 7 examples; "
                    "return one value per example or one value for the split."
                )
        return tuple(name for name, shape in seven.items() if shape == ())

    def variables_of(self, state: dict) -> Any:
        """The trained and the frozen variables of a state, as the module takes them."""
        return self.recipe.model.variables(*self.recipe.weights.merge(state["params"], state["other"]))

    def model_of(self, state: dict, hparams: dict) -> Any:
        """The module with concrete hyperparameters at the end of a training; an nnx module holds its variables."""
        variables = self.recipe.weights.merge(state["params"], state["other"])
        return self.recipe.model.model(hparams, *variables, step=1, total_steps=1)

    def check_data(self, task: Task, hp: dict) -> None:
        """Refuses data that no training can use, before anything compiles; `hp` are Python values."""
        for name in ("train", "validation", "test"):
            data = getattr(task, name)
            if data is not None:
                checks.check_finite(data, name)
                self._check_labels(name, task.train, data, hp)

    def _check_labels(self, name: str, train: Any, data: Any, hp: dict) -> None:
        """Integer targets with one axis less than the outputs are classes 0 ... C - 1."""
        inputs, targets = self._as_seen(train, data)
        if not isinstance(targets, (np.ndarray, jax.Array)) or isinstance(targets, jax.core.Tracer):
            return
        if not jnp.issubdtype(targets.dtype, jnp.integer):
            return
        values = tuple((name, type(value), value) for name, value in hp.items())
        *examples, classes = _output_shape(self.recipe, values, inputs) or (1,)
        low, high = int(targets.min()), int(targets.max())
        if tuple(examples) != targets.shape[1:] or classes < 2:  # no classes
            return
        if low < 0 or high >= classes:
            raise ValueError(
                f"The targets of {name} lie in {low} ... {high}, but the model has {classes} outputs: "
                f"labels must lie in 0 ... {classes - 1}; make them float if they are quantities."
            )

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


def _metric(name: str, metric: Callable, outputs: Any, targets: Any) -> Any:
    value = compiled(f"metric {name!r}", metric, outputs, targets)
    checks.check_real(value, f"metric {name!r}")
    return value


def _over_batches(function: Callable, data: Any, batch_size: int) -> tuple[Any, Any]:
    """Sums of a function's first result, and the concatenation of its second, over batches of true size."""
    count = jax.tree.leaves(data)[0].shape[0]
    full = count - count % batch_size
    totals, outputs = [], []
    if full:
        batches = jax.tree.map(lambda x: x[:full].reshape(-1, batch_size, *x.shape[1:]), data)
        zero = jax.tree.map(
            lambda s: jnp.zeros(s.shape, s.dtype),
            jax.eval_shape(function, jax.tree.map(lambda x: x[0], batches))[0],
        )

        def add(total: Any, batch: Any) -> tuple[Any, Any]:
            sums, out = function(batch)
            return jax.tree.map(jnp.add, total, sums), out

        total, out = jax.lax.scan(add, zero, batches)
        totals.append(total)
        outputs.append(jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), out))
    if full < count:
        total, out = function(jax.tree.map(lambda x: x[full:], data))
        totals.append(total)
        outputs.append(out)
    return (
        jax.tree.map(lambda *parts: sum(parts), *totals),
        jax.tree.map(lambda *parts: jnp.concatenate(parts), *outputs),
    )
