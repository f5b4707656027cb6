"""The parts of a supervised task, and how they make a start and a training step."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxtune.tasks import checks
from jaxtune.tasks.functions import call, structs
from jaxtune.training import updating
from jaxtune.training.augment import Mixed
from jaxtune.training.mismatch import called
from jaxtune.training.models import Model
from jaxtune.training.models.common import check_awake
from jaxtune.training.preprocess import Preprocess
from jaxtune.training.weights import Weights


@dataclass(frozen=True)
class Shapes:
    """Shapes of one example's inputs, as a value that compares equal."""

    tree: Any
    leaves: tuple[tuple[tuple[int, ...], Any], ...]

    @classmethod
    def of(cls, inputs: Any) -> "Shapes":
        """From arrays whose leading axis counts examples."""
        leaves, tree = jax.tree.flatten(structs(inputs))
        return cls(tree, tuple((leaf.shape[1:], leaf.dtype) for leaf in leaves))

    def __str__(self) -> str:
        return str(jax.tree.unflatten(self.tree, [shape for shape, _ in self.leaves]))

    def batch(self, size: int) -> Any:
        """Zeros for so many examples."""
        return jax.tree.unflatten(self.tree, [jnp.zeros((size, *shape), dtype) for shape, dtype in self.leaves])


@dataclass(frozen=True)
class Recipe:
    """The parts of a supervised task, compared by value (functions by identity)."""

    model: Model
    optimizer: Any
    loss: Callable
    metrics: tuple[tuple[str, Callable], ...]
    augment: Callable | None
    penalty: Callable | None
    preprocess: Preprocess | None
    weights: Weights
    batch_size: int
    inputs: Shapes  # as the model sees them

    def transformation(self, hp: dict, **extras: Any) -> optax.GradientTransformationExtraArgs:
        """The optimizer of one trial, built from its (traced) hyperparameters."""
        made = self.optimizer
        if not isinstance(made, (optax.GradientTransformation, optax.MultiSteps)):
            made = call("optimizer", self.optimizer, hp, **extras)
        if isinstance(made, optax.MultiSteps):
            made = made.gradient_transformation()
        if not isinstance(made, optax.GradientTransformation):
            raise TypeError(f"optimizer must return an Optax GradientTransformation, got {type(made).__name__}.")
        return optax.with_extra_args_support(made)

    def seen(self, stats: Any, pair: Any) -> tuple[Any, Any]:
        """Inputs and targets as the model and the loss see them."""
        if self.preprocess is None:
            return pair
        inputs, targets = compiled("preprocess.apply", self.preprocess.apply, stats, pair)
        return inputs, targets

    def original(self, stats: Any, outputs: Any) -> Any:
        """Outputs in the unit of the original targets, as metrics see them."""
        if self.preprocess is None:
            return outputs
        return compiled("preprocess.invert", self.preprocess.invert, stats, outputs)

    def variables(self, key: jax.Array, hp: dict, **extras: Any) -> dict[str, Any]:
        """Those variables at the start of a training that belong to the state."""
        inputs = self.inputs.batch(self.batch_size)
        params, other = self.weights.replace(*self.model.init(key, hp, inputs, **extras))

        def after(other: Any) -> Any:
            return self.model.train(key, hp, params, other, inputs, **extras)[1]

        return {"params": self.weights.trained(params), "other": self.weights.changing(params, other, after)}

    def predict(self, key: jax.Array, hp: dict, state: dict, inputs: Any, **extras: Any) -> Any:
        """Outputs in evaluation mode.

        Raises:
            ValueError: The model can't take these inputs, and they are unlike those of the training data.
        """
        try:
            return self.model.predict(key, hp, *self.weights.merge(state["params"], state["other"]), inputs, **extras)
        except Exception as error:
            here = Shapes.of(inputs)
            if here == self.inputs:
                raise
            raise ValueError(
                "The model accepts the inputs of train, but not those of validation or test: "
                f"the shape of an example is {here} there and {self.inputs} in train."
            ) from error

    def check_awake(self, hp: dict) -> None:
        """Warns of a model that is trained in evaluation mode, unless the user named its flags."""
        asleep: list[str] = []

        def look(key: jax.Array, step: jax.Array) -> None:
            extras = {"step": step, "total_steps": step}
            variables = self.weights.merge(**self.variables(key, hp, **extras))
            asleep.extend(self.model.asleep(key, hp, *variables, self.inputs.batch(self.batch_size), **extras))

        if self.model.flags is None:
            jax.eval_shape(look, *jax.eval_shape(lambda: (jax.random.key(0), jnp.int32(0))))
            check_awake(asleep)

    def losses(self, outputs: Any, targets: Any, hp: dict, **extras: Any) -> Any:
        """What the loss function returns for some examples: an array of real numbers, or a number.

        Raises:
            TypeError: It takes outputs or targets of another form.
        """
        loss = functools.partial(compiled, "loss", call, "loss", self.loss, hp=hp, **extras)
        value = called("loss", loss, outputs, targets)
        checks.check_real(value, "loss")
        return value

    def mean_loss(self, outputs: Any, targets: Any, hp: dict, **extras: Any) -> jax.Array:
        """The loss of a batch, a float scalar."""
        return mean(self.losses(outputs, targets, hp, **extras))

    def penalties(self, params: Any, hp: dict, **extras: Any) -> dict[str, jax.Array]:
        """What is added to the loss in training, by name: a float scalar or nothing."""
        if self.penalty is None:
            return {}
        value = compiled("penalty", call, "penalty", self.penalty, params, hp, **extras)
        checks.check_real(value, "penalty")
        if jnp.shape(value) != ():
            raise TypeError(f"penalty must return a scalar, got shape {jnp.shape(value)}; sum over the parameters.")
        return {"penalty": jnp.asarray(value, jnp.result_type(float))}


def compiled(role: str, function: Callable, *args: Any, **kwargs: Any) -> Any:
    """Calls a user function; one that JAX can't compile is reported by its role."""
    try:
        return function(*args, **kwargs)
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError) as error:
        raise TypeError(
            f"{role} needs the values of its arguments, but it is compiled: write it with jax.numpy "
            "(jt.metrics has common metrics; those of scikit-learn can't be compiled)."
        ) from error


def mean(values: Any) -> jax.Array:
    """The mean of what a loss or metric returned, a float scalar; sums need more digits than a bfloat16 has."""
    return jnp.mean(jnp.asarray(values).astype(jnp.result_type(float)))


@dataclass(frozen=True)
class Init:
    """Fresh weights, or given ones, and optimizer state."""

    recipe: Recipe

    def __call__(self, key: jax.Array, hp: dict, *, step: Any, total_steps: Any) -> dict[str, Any]:
        """See `Task.init`."""
        extras = {"step": step, "total_steps": total_steps}
        variables = self.recipe.variables(key, hp, **extras)
        optimizer = self.recipe.transformation(hp, **extras)
        return {**variables, "optimizer": updating.init(optimizer, variables["params"])}


@dataclass(frozen=True)
class Step:
    """One optimizer update."""

    recipe: Recipe

    def __call__(
        self, key: jax.Array, state: dict, batch: Any, hp: dict, *, step: Any, total_steps: Any, stats: Any = None
    ) -> tuple[dict[str, Any], dict[str, jax.Array]]:
        """See `Task.step`."""
        recipe, extras = self.recipe, {"step": step, "total_steps": total_steps}
        model_key, augment_key = jax.random.split(key)
        batch = recipe.seen(stats, batch)
        if recipe.augment is not None:
            batch = _augmented(recipe.augment, augment_key, batch, hp, extras)

        def objective(params: Any) -> tuple[jax.Array, Any]:
            variables = recipe.weights.merge(params, state["other"])
            outputs, other = recipe.model.train(model_key, hp, *variables, batch[0], **extras)
            info = {"loss": _batch_loss(recipe, outputs, batch, hp, extras), **recipe.penalties(params, hp, **extras)}
            return functools.reduce(jnp.add, info.values()), (info, recipe.weights.select(other, state["other"]))

        params, opt_state = state["params"], state["optimizer"]
        trained = updating.trained(params, opt_state)
        (total, (info, other)), grads = updating.gradient_of(objective, trained, has_aux=True)
        offered = updating.offer(lambda params: objective(params)[0], total, grads)
        params, opt_state = updating.update(recipe.transformation(hp, **extras), grads, opt_state, params, offered)
        return {"params": params, "other": other, "optimizer": opt_state}, info


def _batch_loss(recipe: Recipe, outputs: Any, batch: Any, hp: dict, extras: dict) -> jax.Array:
    if not isinstance(batch, Mixed):
        return recipe.mean_loss(outputs, batch[1], hp, **extras)
    first, second = (recipe.mean_loss(outputs, t, hp, **extras) for t in (batch.targets, batch.other_targets))
    return batch.weight * first + (1 - batch.weight) * second


def _augmented(augment: Callable, key: jax.Array, batch: Any, hp: dict, extras: dict) -> Any:
    changed = call("augment", augment, key, batch, hp, **extras)
    pairs = [changed]
    if isinstance(changed, Mixed):
        pairs = [(changed.inputs, changed.targets), (changed.inputs, changed.other_targets)]
        if jnp.shape(changed.weight) != ():
            raise TypeError(f"augment returned a Mixed whose weight has shape {jnp.shape(changed.weight)}, not ().")
    before, *after = (jax.tree.map(lambda x: (jnp.shape(x), jnp.result_type(x)), pair) for pair in (batch, *pairs))
    for pair in after:
        if before != pair:
            raise TypeError(f"augment must keep structure, shapes and dtypes of a batch: got {pair} for {before}.")
    return changed
