"""A task from a Flax module, an Optax optimizer and a loss."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxtune.interface.habits import hinted
from jaxtune.tasks import checks
from jaxtune.tasks.arrays import as_arrays
from jaxtune.tasks.task import Task
from jaxtune.training import plateau
from jaxtune.training.evaluation import Evaluate
from jaxtune.training.models import Model, flax_model
from jaxtune.training.models.precision import InPrecision, checked_dtype
from jaxtune.training.preprocess import Preprocess
from jaxtune.training.recipe import Init, Recipe, Shapes, Step, compiled
from jaxtune.training.weights import Weights


@hinted
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
    penalty: Callable | None = None,
    preprocess: Preprocess | None = None,
    variables: Any = None,
    trainable: Callable | None = None,
    moving_statistics: bool = False,
    compute_dtype: Any = None,
    flags: Mapping[str, Any] | None = None,
    divergence: str = "loss",
) -> Task:
    """A task that trains a Flax model on pairs of inputs and targets.

    Functions get their arguments by position and may ask for the extras in brackets by naming a parameter so.
    Calling it again with the same functions and shapes gives an equal task, for which nothing is compiled.

    Args:
        model: A linen module; a function `(hp[, step, total_steps]) -> linen module`; or a function
            `(hp, rngs[, step, total_steps]) -> nnx module`, for which an nnx class will do. Step counts change
            what is no shape, such as a dropout rate that fades; the model of a result is that of the last step,
            with `step = total_steps = 1`. Its `__call__` takes the inputs, and the parameters of `flags` that it has.
            Variables besides parameters (BatchNorm) are kept per trial. Random streams of any name work,
            `self.make_rng("noise")` as well as `rngs.noise()`: they are drawn anew in each step, alike for all trials,
            and the same in every evaluation. (`has_rng` of linen knows none of them: have a flag instead.)
        optimizer: An Optax optimizer or a function `(hp[, step, total_steps])` that makes one. `total_steps`
            comes from the scheduler. `update` also gets `value=`, the loss with its penalty.
        loss: `(outputs, targets[, hp, step, total_steps])` -> array or scalar; its mean is minimised. If it
            asks for `hp`, its value can't be the metric of a search.
        train: (inputs, targets), pytrees of arrays whose leading axis counts examples. Frames, series and tensors of
            other libraries and lists of numbers become arrays.
        validation: Likewise; what trials are selected on.
        test: Likewise; read by `Result.test()` alone.
        batch_size: Examples in a training step, and in a batch of evaluation.
        metrics: name -> function of `(outputs, targets)`. One that returns `[N, ...]`, values per example, is
            averaged over all examples; one that returns a scalar is called once on the whole split.
        augment: `(key, (inputs, targets), hp[, step, total_steps])` -> the same structure, or a
            `jt.augment.Mixed`; training batches only. `jt.augment` has noise and mixup.
        penalty: `(params, hp[, step, total_steps])` -> scalar, added to the loss of training steps and logged as
            `penalty`; the losses that are logged and validated stay without it. `params` are those that are
            trained. `jt.penalties` has l1 and l2.
        preprocess: `jt.standardize(...)` or a `jt.Preprocess`, fitted on the training part of each split or fold.
            Model, loss, augment see transformed data; metrics see inverted outputs and original targets.
        variables: Values that replace fresh ones where given: for linen `{"params": {...}, "batch_stats": {...}}`
            as `module.init` returns it, for nnx an `nnx.State` or a nested dict of parameters, for both the
            `variables` of a trial.
        trainable: `(path, value) -> bool`, path a tuple of names below `params`, value with shape and dtype. The
            other parameters are frozen at their `variables`: kept once for all trials, without gradients and
            optimizer state. So are the other variables (averages of BatchNorm) of a module all of whose parameters are
            frozen, which `variables` then has to give.
        moving_statistics: Whether the other variables of frozen modules go on following the training data instead.
        compute_dtype: Floating-point type of the model's computations, such as `jnp.bfloat16` (mixed precision,
            Micikevicius et al. 2018). Parameters and inputs are converted for each call, outputs back to float32;
            parameters, optimizer, loss and metrics keep their own type. None: as the model does.
        flags: Parameters of the model's `__call__` that tell it whether it is training: name -> value in training
            (True or False), or a pair of values in training and in evaluation, `{"mode": ("train", "eval")}`.
            None: train, training, is_training, is_train, train_mode, or the contrary: deterministic, inference,
            use_running_average, eval, eval_mode, is_eval; and a model that leaves all its dropout and BatchNorm
            off in training is warned of.
        divergence: What ends a trial: "loss", the first loss that is not finite, or "parameters", the first parameter
            that is not, for optimizers that handle such losses themselves (`optax.apply_if_finite`, loss scaling).

    Returns:
        A task whose state is a dict of `params`, `other` (variables that are no parameters) and `optimizer`,
        without what is frozen. Of its steps the record has `train_loss`, and `train_penalty` where there is one: means
        over the batches since the evaluation before, with dropout and augmentation, of weights that were changing
        meanwhile; so they are no losses of a split, and may lie above the validation loss.

    Raises:
        TypeError: The model is a linen class or an nnx instance, the data are nothing that arrays can be made of
            (sparse, masked, text, times), a function does not take its arguments, or `compute_dtype` is no
            floating-point type.
        ValueError: Lengths differ, there is no example, the batch size doesn't fit, nothing is given to freeze, or
            `divergence` is neither of the two.

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
    if divergence not in ("loss", "parameters"):
        raise ValueError(f"divergence must be 'loss' or 'parameters', got {divergence!r}.")
    metrics = _checked_metrics({} if metrics is None else metrics)
    _check_optimizer(optimizer)
    checks.check_function("loss", loss, ("outputs", "targets"))
    if augment is not None:
        checks.check_function("augment", augment, ("key", "batch", "hp"))
    if penalty is not None:
        checks.check_function("penalty", penalty, ("params", "hp"))
    splits = _checked_splits(train=train, validation=validation, test=test)
    batch_size = checks.check_batch_size(batch_size, checks.num_examples(splits["train"], "train"))
    view = flax_model(model, flags)
    if compute_dtype is not None:
        view = InPrecision(view, checked_dtype(compute_dtype))
    recipe = Recipe(
        model=view,
        optimizer=optimizer,
        loss=loss,
        metrics=tuple(metrics.items()),
        augment=augment,
        penalty=penalty,
        preprocess=preprocess,
        weights=_checked_weights(view, variables, trainable, bool(moving_statistics)),
        batch_size=batch_size,
        inputs=_input_shapes(preprocess, splits["train"]),
    )
    return Task(
        init=Init(recipe),
        step=Step(recipe),
        evaluate=Evaluate(recipe),
        batch_size=batch_size,
        prepare=None if preprocess is None else preprocess.fit,
        observe=_observe,
        healthy=None if divergence == "loss" else _has_finite_parameters,
        **splits,
    )


def _observe(state: dict[str, Any], score: Any, hp: dict) -> dict[str, Any]:
    """See `Task.observe`: `jt.reduce_on_plateau` follows the score of the search."""
    del hp
    return {**state, "optimizer": plateau.observe(state["optimizer"], score)}


def _has_finite_parameters(state: dict[str, Any]) -> jax.Array:
    """See `Task.healthy`."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(state["params"])]))


def _checked_metrics(metrics: Mapping[str, Callable]) -> Mapping[str, Callable]:
    if not isinstance(metrics, Mapping):
        raise TypeError(f"metrics must be a dict of name -> function, got {type(metrics).__name__}.")
    for name, metric in metrics.items():
        checks.check_function(f"metrics[{name!r}]", metric, ("outputs", "targets"))
    if "loss" in metrics:
        raise ValueError("metrics has 'loss', which is the name of the loss itself; choose another name.")
    return metrics


def _check_optimizer(optimizer: Any) -> None:
    if isinstance(optimizer, (optax.GradientTransformation, optax.MultiSteps)):
        return
    module = getattr(optimizer, "__module__", None) or ""
    if module.startswith("optax."):  # it would take hp for the learning rate
        name = getattr(optimizer, "__name__", "adam")
        raise TypeError(
            f"optimizer is Optax's function {name} itself: call it, as in lambda hp: optax.{name}(hp['lr'])."
        )
    checks.check_function("optimizer", optimizer, ("hp",))


def _checked_splits(**splits: Any) -> dict[str, Any]:
    pairs = dict.fromkeys(splits)
    for name, data in splits.items():
        if name == "train" or data is not None:
            checks.check_pair(data, name)
            pairs[name] = as_arrays(tuple(data), name)
            checks.num_examples(pairs[name], name)
    return pairs


def _checked_weights(model: Model, variables: Any, trainable: Callable | None, moving: bool) -> Weights:
    if trainable is not None:
        checks.check_function("trainable", trainable, ("path", "value"))
    params, other = ({}, {}) if variables is None else model.split(variables)
    weights = Weights.of(params, other, trainable, moving)
    for name, given in (("params", params), ("other", other)):
        checks.check_fits(given, f"variables[{name!r}]")
    return weights


def _input_shapes(preprocess: Preprocess | None, train: Any) -> Shapes:
    """Shapes of inputs as the model sees them; a preprocess that doesn't fit the data is refused."""
    if preprocess is None:
        return Shapes.of(train[0])
    if not isinstance(preprocess, Preprocess):
        kind = type(preprocess).__name__
        raise TypeError(f"preprocess must be jt.standardize() or a jt.Preprocess(...), got a value of type {kind}.")
    for name, arguments in (("fit", ("train",)), ("apply", ("stats", "pair")), ("invert", ("stats", "outputs"))):
        checks.check_function(f"preprocess.{name}", getattr(preprocess, name), arguments)

    def applied(train: Any) -> Any:
        stats = compiled("preprocess.fit", preprocess.fit, train)
        return compiled("preprocess.apply", preprocess.apply, stats, train)

    result = jax.eval_shape(applied, train)
    checks.check_pair(result, "What preprocess.apply returns")
    count = checks.num_examples(train, "train")
    for path, leaf in jax.tree_util.tree_leaves_with_path(tuple(result)):
        if leaf.shape[:1] != (count,):
            raise ValueError(
                f"preprocess.apply must return as many examples as it gets: result{jax.tree_util.keystr(path)} has "
                f"shape {leaf.shape} for {count} examples."
            )
    return Shapes.of(result[0])
