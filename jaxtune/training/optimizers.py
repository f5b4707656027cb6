"""The choice of an optimizer as a hyperparameter, and what optimizers lack where settings are traced."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
import optax.contrib
from jax.typing import ArrayLike

from jaxtune.interface.habits import did_you_mean, hinted
from jaxtune.spaces.domains import Choice, LogUniform, Uniform
from jaxtune.spaces.domains.numeric import set_fields
from jaxtune.tasks.functions import call
from jaxtune.training.schedules.phases import check

__all__ = ["OptimizerChoice", "accumulate", "kernels_only"]


def _rate(low: float, high: float) -> dict[str, Any]:
    return {"learning_rate": LogUniform(low, high)}


_DECAY = {"weight_decay": LogUniform(1e-5, 1.0)}
_ADAM = {"b1": Uniform(0.8, 0.99), "b2": Uniform(0.9, 0.9999)}
_SGD = _rate(1e-3, 1.0) | {"momentum": Uniform(0.0, 0.99)}

# name -> Optax's factory and the arguments that are searched
KNOWN: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "sgd": (optax.sgd, _SGD | {"nesterov": False}),
    "nesterov": (optax.sgd, _SGD | {"nesterov": True}),
    "adagrad": (optax.adagrad, _rate(1e-4, 1.0)),
    "rmsprop": (optax.rmsprop, _rate(1e-5, 1e-1) | {"decay": Uniform(0.8, 0.999)}),
    "adam": (optax.adam, _rate(1e-5, 1e-1) | _ADAM),
    "nadam": (optax.nadam, _rate(1e-5, 1e-1) | _ADAM),
    "adamw": (optax.adamw, _rate(1e-5, 1e-1) | _ADAM | _DECAY),
    "lion": (optax.lion, _rate(1e-6, 1e-2) | {"b1": Uniform(0.8, 0.99), "b2": Uniform(0.9, 0.999)} | _DECAY),
    "lamb": (optax.lamb, _rate(1e-4, 1e-1) | _ADAM | _DECAY),
    "muon": (optax.contrib.muon, _rate(1e-4, 1e-1) | {"beta": Uniform(0.8, 0.99)} | _DECAY),
}


class _Option(NamedTuple):
    """One optimizer among others."""

    name: str
    factory: Callable[..., Any]
    arguments: tuple[tuple[str, Any], ...]  # (argument of the factory, domain or constant)


@hinted
@dataclass(frozen=True, init=False)
class OptimizerChoice:
    """A search over optimizers, each with its own constants; takes the place of the function `optimizer`.

    One program per optimizer; within it all constants are traced. Equal by value, functions by identity.

    Args:
        options: names of known optimizers (sgd, nesterov, adagrad, rmsprop, adam, nadam, adamw, lion, lamb, muon),
            which bring ranges of their own, and dicts `{name: (factory, {argument: domain or constant})}`.
        schedule: `(learning_rate, total_steps[, hp]) -> schedule`, what makes a schedule of the learning rate; None
            for a constant one.
        name: of the hyperparameter that says which one: the space must hold `{name: self.domain}`.

    Attributes:
        domain: `Choice({"sgd": {"learning_rate": ..., "momentum": ...}, ...})`; within a trial `hp[name]` is the
            option and its constants are in `hp` under the names of the factory's arguments.

    Raises:
        TypeError: an option is neither a name nor such a dict, or `schedule` is no function.
        ValueError: there is no option, a name is unknown or given twice, an argument is not one of the factory or
            one is missing, or there is a schedule but an option without a learning rate.

    Example:
        >>> import jaxtune as jt
        >>> import optax
        >>> sgd = {"sgd": (optax.sgd, {"learning_rate": jt.LogUniform(1e-3, 1.0), "momentum": jt.Uniform(0.0, 0.9)})}
        >>> optimizer = jt.OptimizerChoice("adamw", sgd, schedule=jt.schedules.cosine_decay_schedule)
        >>> space = {"optimizer": optimizer.domain, "width": 64}
        >>> made = optimizer({"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "width": 64}, 1000)
        >>> isinstance(made, optax.GradientTransformation)
        True
    """

    options: tuple[_Option, ...]
    schedule: Callable[..., optax.Schedule] | None
    name: str

    def __init__(
        self,
        *options: str | Mapping[str, tuple[Callable[..., Any], Mapping[str, Any]]],
        schedule: Callable[..., optax.Schedule] | None = None,
        name: str = "optimizer",
    ):
        listed = tuple(part for option in options for part in _listed(option))
        set_fields(self, options=listed, schedule=schedule, name=name)
        names = [option.name for option in self.options]
        if not names:
            raise ValueError("OptimizerChoice needs at least one option, got none.")
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"OptimizerChoice has {twice.pop()!r} more than once.")
        if not (self.schedule is None or callable(self.schedule)):
            raise TypeError(f"schedule must be a function of (learning_rate, total_steps), got {self.schedule!r}.")
        for option in self.options:
            _check_arguments(option)
            if self.schedule is not None and "learning_rate" not in dict(option.arguments):
                raise ValueError(f"OptimizerChoice has a schedule, but {option.name!r} has no learning_rate.")

    @property
    def domain(self) -> Choice:
        """The conditional choice to put into the space."""
        return Choice(cast(Any, {option.name: dict(option.arguments) for option in self.options}))

    def __call__(self, hp: Mapping[str, Any], total_steps: Any) -> optax.GradientTransformation:
        """The optimizer of one trial.

        Args:
            hp: hyperparameters of the trial: the option's name, and its arguments, which may be traced.
            total_steps: shape `[]`, steps of the whole training, for the schedule.

        Raises:
            ValueError: `hp` lacks the choice, one of its arguments, or has an unknown one.
        """
        options = {option.name: option for option in self.options}
        if self.name not in hp or hp[self.name] not in options:
            got = f"hp[{self.name!r}] is {hp[self.name]!r}" if self.name in hp else f"hp has no {self.name!r}"
            raise ValueError(f"{got}: the space of an OptimizerChoice needs {{{self.name!r}: optimizer.domain}}.")
        _, factory, arguments = options[hp[self.name]]
        missing = [argument for argument, _ in arguments if argument not in hp]
        if missing:
            raise ValueError(f"hp has no {missing[0]!r}, which {hp[self.name]!r} needs.")
        values = {argument: hp[argument] for argument, _ in arguments}
        if self.schedule is not None:
            values["learning_rate"] = call("schedule", self.schedule, values["learning_rate"], total_steps, hp=hp)
        return factory(**values)


def _listed(option: Any) -> list[_Option]:
    """The optimizers that one argument of `OptimizerChoice` stands for."""
    if isinstance(option, str):
        if option not in KNOWN:
            raise ValueError(
                f"OptimizerChoice knows no optimizer {option!r}{did_you_mean(option, KNOWN)}; it knows "
                f"{', '.join(KNOWN)}; others are given as {{name: (factory, {{argument: domain}})}}."
            )
        option = {option: KNOWN[option]}
    if not isinstance(option, Mapping):
        raise TypeError(
            f"OptimizerChoice needs names or dicts {{name: (factory, {{argument: domain}})}}, got {option!r}."
        )
    for name, entry in option.items():
        pair = isinstance(entry, tuple) and len(entry) == 2
        if not (pair and callable(entry[0]) and isinstance(entry[1], Mapping)):
            raise TypeError(f"OptimizerChoice needs (factory, {{argument: domain}}) for {name!r}, got {entry!r}.")
    return [_Option(name, factory, tuple(arguments.items())) for name, (factory, arguments) in option.items()]


def _check_arguments(option: _Option) -> None:
    """The factory can be called with the option's arguments."""
    try:
        inspect.signature(option.factory).bind(**dict(option.arguments))
    except TypeError as error:
        given = ", ".join(name for name, _ in option.arguments) or "nothing"
        raise ValueError(
            f"The factory of {option.name!r} can't be called with {given}: {error}; the names in an option's dict are "
            "arguments of its factory."
        ) from None


@hinted
def accumulate(optimizer: optax.GradientTransformation, every: ArrayLike) -> optax.GradientTransformationExtraArgs:
    """Updates parameters once in `every` steps, with the mean of the gradients since the last update.

    So a trial sees batches `every` times as large as the task's, at the memory of one. Schedules of the optimizer
    count its updates: their steps are `total_steps / every`.

    Args:
        optimizer: what gets the mean gradients.
        every: shape `[]`, >= 1, the number of micro-batches; may be traced. A traced value is cut to a whole number,
            and below 1 counts as 1.

    Returns:
        A transformation; its updates are zero in between. `optax.MultiSteps` takes no traced number.

    Raises:
        ValueError: `every` is known and no whole number >= 1.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import optax
        >>> import jaxtune as jt
        >>> @jax.jit
        ... def after_six_steps(every):
        ...     optimizer = jt.accumulate(optax.sgd(1.0), every)
        ...     state, x = optimizer.init(jnp.zeros(())), jnp.zeros(())
        ...     for _ in range(6):
        ...         update, state = optimizer.update(jnp.ones(()), state, x)
        ...         x += update
        ...     return x
        >>> [float(after_six_steps(every)) for every in (1, 2, 3, 4)]
        [-6.0, -3.0, -2.0, -1.0]
    """
    wanted = "a whole number of micro-batches >= 1 as every"
    check("accumulate", every, wanted, lambda number: number >= 1 and number.is_integer())
    steps = optax.MultiSteps(optimizer, lambda update: jnp.maximum(jnp.asarray(every).astype(jnp.int32), 1))
    return steps.gradient_transformation()


def kernels_only(params: Any) -> Any:
    """A mask for weight decay: True for matrices and filters, False for biases and the scales of norms.

    True are leaves of two or more dimensions, except those called "bias" (attention layers have biases of two).

    Args:
        params: parameters of a linen or nnx model, or any pytree of arrays.

    Returns:
        A pytree of bools like `params`.

    Example:
        >>> import jax.numpy as jnp
        >>> import optax
        >>> import jaxtune as jt
        >>> params = {"dense": {"kernel": jnp.ones((4, 8)), "bias": jnp.ones(8)}, "norm": {"scale": jnp.ones(8)}}
        >>> jt.kernels_only(params)
        {'dense': {'bias': False, 'kernel': True}, 'norm': {'scale': False}}
        >>> optimizer = lambda hp: optax.adamw(hp["lr"], weight_decay=hp["wd"], mask=jt.kernels_only)
    """

    def is_kernel(path: tuple, leaf: Any) -> bool:
        names = [jax.tree_util.keystr((key,), simple=True) for key in path]
        return jnp.ndim(leaf) >= 2 and "bias" not in names

    return jax.tree_util.tree_map_with_path(is_kernel, params)
