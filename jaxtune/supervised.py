"""A task from a Flax module, an Optax optimizer and a loss."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxtune import checks
from jaxtune.functions import asks_for, call, structs
from jaxtune.modules import LinenModel, NnxModel, flax_model
from jaxtune.task import Task


def supervised(
    model: Any,
    *,
    optimizer: Any,
    loss: Callable,
    train: tuple[Any, Any],
    validation: tuple[Any, Any] | None = None,
    test: tuple[Any, Any] | None = None,
    batch_size: int,
    metrics: Mapping[str, Callable] | None = None,
    augment: Callable | None = None,
) -> Task:
    """A task that trains a Flax model on pairs of inputs and targets.

    Functions get their arguments by position and may ask for the extras in brackets by naming a parameter so.
    Calling it again with the same functions and shapes gives an equal task, for which nothing is traced or
    compiled.

    Args:
        model: A linen module; a function `hp -> linen module`; or a function `(hp, rngs) -> nnx module`, for
            which an nnx class will do. Its `__call__` takes the inputs, and `train`, `training`,
            `is_training` or `deterministic` where it has such a parameter. Variables besides parameters
            (BatchNorm) are kept per trial.
        optimizer: An Optax optimizer or a function `(hp[, step, total_steps])` that makes one. `total_steps`
            comes from the scheduler. `update` also gets `value=loss`.
        loss: `(outputs, targets[, hp, step, total_steps])` -> array or scalar; its mean is minimised. If it
            asks for `hp`, its value can't be the metric of a search.
        train: (inputs, targets), pytrees of arrays whose leading axis counts examples.
        validation: Likewise; what trials are selected on.
        test: Likewise; read by `Result.test()` alone.
        batch_size: Examples in a training step, and in a batch of evaluation.
        metrics: name -> function of `(outputs, targets)`. One that returns `[N, ...]`, values per example, is
            averaged over all examples; one that returns a scalar is called once on the whole split.
        augment: `(key, (inputs, targets), hp[, step, total_steps])` -> the same structure; training batches
            only.

    Returns:
        A task whose state is a dict of `params`, `other` (variables that are no parameters) and `optimizer`.

    Raises:
        TypeError: The model is a linen class or an nnx instance, the data are no arrays, or a function does
            not take its arguments.
        ValueError: Lengths differ, there is no example, or the batch size doesn't fit.

    Example:
        >>> import flax.linen as nn, numpy as np, optax
        >>> import jaxtune as jt
        >>> x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
        >>> task = jt.supervised(
        ...     nn.Dense(1),
        ...     optimizer=lambda hp: optax.sgd(hp["lr"]),
        ...     loss=optax.squared_error,
        ...     train=(x, 3 * x), validation=(x, 3 * x), batch_size=16,
        ... )
        >>> scheduler = jt.SuccessiveHalving(trials=8, min_steps=10, max_steps=90)
        >>> result = jt.tune(task, {"lr": jt.LogUniform(1e-4, 0.5)}, scheduler=scheduler, progress=False)
        >>> bool(result.best.metrics["loss"] < 0.01)
        True
    """
    metrics = _checked_metrics({} if metrics is None else metrics)
    _check_optimizer(optimizer)
    checks.check_function("loss", loss, ("outputs", "targets"))
    if augment is not None:
        checks.check_function("augment", augment, ("key", "batch", "hp"))
    splits = _checked_splits(train=train, validation=validation, test=test)
    checks.check_batch_size(batch_size, checks.num_examples(splits["train"], "train"))
    recipe = Recipe(
        model=flax_model(model),
        optimizer=optimizer,
        loss=loss,
        metrics=tuple(metrics.items()),
        augment=augment,
        batch_size=batch_size,
        inputs=_Shapes.of(train[0]),
    )
    return Task(
        init=Init(recipe),
        step=Step(recipe),
        evaluate=Evaluate(recipe),
        batch_size=batch_size,
        **splits,
    )


def _checked_metrics(metrics: Mapping[str, Callable]) -> Mapping[str, Callable]:
    if not isinstance(metrics, Mapping):
        raise TypeError(f"metrics must be a dict of name -> function, got {type(metrics).__name__}.")
    for name, metric in metrics.items():
        checks.check_function(f"metrics[{name!r}]", metric, ("outputs", "targets"))
    if "loss" in metrics:
        raise ValueError("metrics has 'loss', which is the name of the loss itself; choose another name.")
    return metrics


def _check_optimizer(optimizer: Any) -> None:
    if isinstance(optimizer, optax.GradientTransformation):
        return
    module = getattr(optimizer, "__module__", None) or ""
    if module.startswith("optax."):  # it would take hp for the learning rate
        name = getattr(optimizer, "__name__", "adam")
        raise TypeError(
            f"optimizer is Optax's function {name} itself: call it, as in lambda hp: optax.{name}(hp['lr'])."
        )
    checks.check_function("optimizer", optimizer, ("hp",))


def _checked_splits(**splits: Any) -> dict[str, Any]:
    for name, data in splits.items():
        if name == "train" or data is not None:
            checks.check_pair(data, name)
            checks.num_examples(tuple(data), name)
    return {name: None if data is None else tuple(data) for name, data in splits.items()}


@dataclass(frozen=True)
class _Shapes:
    """Shapes of one example's inputs, as a value that compares equal."""

    tree: Any
    leaves: tuple[tuple[tuple[int, ...], Any], ...]

    @classmethod
    def of(cls, inputs: Any) -> "_Shapes":
        leaves, tree = jax.tree.flatten(structs(inputs))
        return cls(tree, tuple((leaf.shape[1:], leaf.dtype) for leaf in leaves))

    def __str__(self) -> str:
        return str(jax.tree.unflatten(self.tree, [shape for shape, _ in self.leaves]))

    def batch(self, size: int) -> Any:
        return jax.tree.unflatten(self.tree, [jnp.zeros((size, *shape), dtype) for shape, dtype in self.leaves])


@dataclass(frozen=True)
class Recipe:
    """The parts of a supervised task, compared by value (functions by identity)."""

    model: LinenModel | NnxModel
    optimizer: Any
    loss: Callable
    metrics: tuple[tuple[str, Callable], ...]
    augment: Callable | None
    batch_size: int
    inputs: _Shapes

    def transformation(self, hp: dict, **extras: Any) -> optax.GradientTransformationExtraArgs:
        """The optimizer of one trial, built from its (traced) hyperparameters."""
        made = self.optimizer
        if not isinstance(made, optax.GradientTransformation):
            made = call("optimizer", self.optimizer, hp, **extras)
        if not isinstance(made, optax.GradientTransformation):
            raise TypeError(f"optimizer must return an Optax GradientTransformation, got {type(made).__name__}.")
        return optax.with_extra_args_support(made)

    def predict(self, key: jax.Array, hp: dict, params: Any, other: Any, inputs: Any) -> Any:
        """Outputs in evaluation mode.

        Raises:
            ValueError: The model can't take these inputs, and they are unlike those of the training data.
        """
        try:
            return self.model.predict(key, hp, params, other, inputs)
        except Exception as error:
            here = _Shapes.of(inputs)
            if here == self.inputs:
                raise
            raise ValueError(
                "The model accepts the inputs of train, but not those of validation or test: "
                f"the shape of an example is {here} there and {self.inputs} in train."
            ) from error

    def mean_loss(self, outputs: Any, targets: Any, hp: dict, **extras: Any) -> jax.Array:
        """The loss of a batch, a float scalar."""
        value = _compiled("loss", call, "loss", self.loss, outputs, targets, hp=hp, **extras)
        checks.check_real(value, "loss")
        _check_not_broadcast(value, outputs, targets)
        return jnp.mean(value).astype(jnp.result_type(float))


def _check_not_broadcast(value: Any, outputs: Any, targets: Any) -> None:
    """Refuses a loss of every output against every target: [B, 1] - [B] is [B, B] and trains to the mean."""
    shapes = jnp.shape(value), getattr(outputs, "shape", ()), getattr(targets, "shape", ())
    size = shapes[1][0] if shapes[1] else 0
    if size > 1 and shapes[0][:2] == (size, size) and {shapes[1], shapes[2]} == {(size, 1), (size,)}:
        raise TypeError(
            f"loss returned shape {shapes[0]} for outputs {shapes[1]} and targets {shapes[2]}: "
            "give both the same shape."
        )


@dataclass(frozen=True)
class Init:
    """Fresh weights and optimizer state."""

    recipe: Recipe

    def __call__(self, key: jax.Array, hp: dict, *, step: Any, total_steps: Any) -> dict[str, Any]:
        """See `Task.init`."""
        inputs = self.recipe.inputs.batch(self.recipe.batch_size)
        params, other = self.recipe.model.init(key, hp, inputs)
        optimizer = self.recipe.transformation(hp, step=step, total_steps=total_steps)
        return {"params": params, "other": other, "optimizer": optimizer.init(params)}


@dataclass(frozen=True)
class Step:
    """One optimizer update."""

    recipe: Recipe

    def __call__(
        self, key: jax.Array, state: dict, batch: Any, hp: dict, *, step: Any, total_steps: Any
    ) -> tuple[dict[str, Any], dict[str, jax.Array]]:
        """See `Task.step`."""
        recipe, extras = self.recipe, {"step": step, "total_steps": total_steps}
        model_key, augment_key = jax.random.split(key)
        if recipe.augment is not None:
            batch = self._augmented(recipe.augment, augment_key, batch, hp, extras)
        inputs, targets = batch

        def objective(params: Any) -> tuple[jax.Array, Any]:
            outputs, other = recipe.model.train(model_key, hp, params, state["other"], inputs)
            return recipe.mean_loss(outputs, targets, hp, **extras), other

        (loss, other), grads = jax.value_and_grad(objective, has_aux=True)(state["params"])
        optimizer = recipe.transformation(hp, **extras)
        updates, opt_state = optimizer.update(grads, state["optimizer"], state["params"], value=loss)
        params = optax.apply_updates(state["params"], updates)
        return {"params": params, "other": other, "optimizer": opt_state}, {"loss": loss}

    def _augmented(self, augment: Callable, key: jax.Array, batch: Any, hp: dict, extras: dict) -> Any:
        changed = call("augment", augment, key, batch, hp, **extras)
        before, after = (jax.tree.map(lambda x: (jnp.shape(x), jnp.result_type(x)), b) for b in (batch, changed))
        if before != after:
            raise TypeError(f"augment must keep structure, shapes and dtypes of a batch: got {after} for {before}.")
        return changed


@dataclass(frozen=True)
class Evaluate:
    """Exact loss and metrics over all examples of a split: full batches, then one of the rest."""

    recipe: Recipe

    @property
    def loss_takes_hp(self) -> bool:
        """Whether the loss asks for hyperparameters, so that its values can't be compared between trials."""
        return asks_for(self.recipe.loss, "hp")

    def __call__(
        self, key: jax.Array, state: dict, data: Any, hp: dict, *, step: Any = 0, total_steps: Any = 1
    ) -> dict[str, jax.Array]:
        """See `Task.evaluate`."""
        recipe = self.recipe
        metrics = dict(recipe.metrics)
        whole = self._whole_split(key, state, data, hp)

        def batch_sums(batch: Any) -> tuple[dict[str, jax.Array], Any]:
            inputs, targets = batch
            outputs = recipe.predict(key, hp, state["params"], state["other"], inputs)
            size = jax.tree.leaves(inputs)[0].shape[0]
            means = {"loss": recipe.mean_loss(outputs, targets, hp, step=step, total_steps=total_steps)}
            for name in metrics.keys() - set(whole):
                means[name] = jnp.mean(jnp.asarray(metrics[name](outputs, targets), jnp.result_type(float)))
            return {name: mean * size for name, mean in means.items()}, outputs if whole else None

        total, outputs = _over_batches(batch_sums, data, recipe.batch_size)
        count = jax.tree.leaves(data)[0].shape[0]
        results = {name: value / count for name, value in total.items()}
        return results | {name: metrics[name](outputs, data[1]) for name in whole}

    def _whole_split(self, key: jax.Array, state: dict, data: Any, hp: dict) -> tuple[str, ...]:
        """Names of the metrics that return one value for the whole split; wrong shapes are refused.

        Two numbers of examples tell `[N, ...]` from a fixed shape.
        """

        def shapes(size: int) -> dict[str, tuple[int, ...]]:
            few = jax.tree.map(lambda x: jax.ShapeDtypeStruct((size, *x.shape[1:]), x.dtype), data)

            def results(batch: Any) -> dict[str, Any]:
                outputs = self.recipe.predict(key, hp, state["params"], state["other"], batch[0])
                return {name: _metric(name, metric, outputs, batch[1]) for name, metric in self.recipe.metrics}

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
        """The trained variables of a state, as the module takes them."""
        return self.recipe.model.variables(state["params"], state["other"])

    def model_of(self, state: dict, hparams: dict) -> Any:
        """The module with concrete hyperparameters; an nnx module holds its trained variables."""
        return self.recipe.model.model(hparams, state["params"], state["other"])

    def check_data(self, task: Task, hp: dict) -> None:
        """Refuses data that no training can use, before anything compiles; `hp` are Python values."""
        for name in ("train", "validation", "test"):
            data = getattr(task, name)
            if data is not None:
                checks.check_finite(data, name)
                self._check_labels(name, data, hp)

    def _check_labels(self, name: str, data: Any, hp: dict) -> None:
        """Integer targets with one axis less than the outputs are classes 0 ... C - 1."""
        inputs, targets = data
        if not isinstance(targets, (np.ndarray, jax.Array)) or isinstance(targets, jax.core.Tracer):
            return
        if not jnp.issubdtype(targets.dtype, jnp.integer):
            return
        values = tuple((name, type(value), value) for name, value in hp.items())
        *examples, classes = _output_shape(self.recipe, values, _Shapes.of(inputs)) or (1,)
        low, high = int(targets.min()), int(targets.max())
        if tuple(examples) != targets.shape[1:] or classes < 2:  # no classes
            return
        if low < 0 or high >= classes:
            raise ValueError(
                f"The targets of {name} lie in {low} ... {high}, but the model has {classes} outputs: "
                f"labels must lie in 0 ... {classes - 1}; make them float if they are quantities."
            )


@functools.lru_cache(maxsize=256)
def _output_shape(recipe: Recipe, hparams: tuple, inputs: _Shapes) -> tuple[int, ...] | None:
    """Shape of the outputs for one example, or None if they are no single array."""
    hp = {name: value for name, _, value in hparams}

    def outputs(key: jax.Array) -> Any:
        params, other = recipe.model.init(key, hp, recipe.inputs.batch(2))
        return recipe.predict(key, hp, params, other, inputs.batch(2))

    made = jax.eval_shape(outputs, jax.eval_shape(lambda: jax.random.key(0)))
    return made.shape[1:] if isinstance(made, jax.ShapeDtypeStruct) else None


def _metric(name: str, metric: Callable, outputs: Any, targets: Any) -> Any:
    value = _compiled(f"metric {name!r}", metric, outputs, targets)
    checks.check_real(value, f"metric {name!r}")
    return value


def _compiled(role: str, function: Callable, *args: Any, **kwargs: Any) -> Any:
    """Calls a user function; one that JAX can't compile is reported by its role."""
    try:
        return function(*args, **kwargs)
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError) as error:
        raise TypeError(
            f"{role} needs the values of its arguments, but it is compiled: write it with jax.numpy "
            "(jt.metrics has common metrics; those of scikit-learn can't be compiled)."
        ) from error


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
