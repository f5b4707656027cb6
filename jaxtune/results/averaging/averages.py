"""Predictions of several models as one: what is averaged, and the metrics of the average.

The outputs of R replicates have a smaller squared error than one of them has on average, and with mean probabilities
a smaller cross-entropy, by the convexity of these losses (Krogh and Vedelsby, "Neural network ensembles, cross
validation, and active learning", NeurIPS 1994; Lakshminarayanan et al., "Simple and scalable predictive uncertainty
estimation using deep ensembles", NeurIPS 2017).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.engine.keys import EVALUATE, replicate_key
from jaxtune.interface.settings import own_settings
from jaxtune.tasks.combining import Both
from jaxtune.tasks.executables import Jitted
from jaxtune.tasks.functions import Extras


class Combine(NamedTuple):
    """What is averaged, and how that becomes outputs again; None for what needs nothing done."""

    there: Callable[[Any], Any] | None
    back: Callable[[Any], Any] | None

    @classmethod
    def of(cls, given: Any) -> "Combine":
        """From what users give as `combine`: None, a function of outputs, or a pair of functions.

        Raises:
            TypeError: It is none of these.
        """
        if given is None or callable(given):
            return cls(given, None)
        if not isinstance(given, (tuple, list)) or len(given) != 2 or not all(map(callable, given)):
            raise TypeError(
                "combine must be a function of outputs or a pair of functions (there, back), such as "
                f"(jax.nn.softmax, jax.numpy.log), got {given!r}."
            )
        return cls(*given)

    def average(self, results: Sequence[Any], weights: Sequence[float] | np.ndarray | None = None) -> Any:
        """Outputs of the mean of what `there` has made of several ones, as numpy arrays."""
        return self.outputs(mean(results, weights))

    def outputs(self, averaged: Any) -> Any:
        """Outputs of what was averaged."""
        return averaged if self.back is None else jax.tree.map(np.asarray, self.back(averaged))

    def prepared(self, outputs: Any) -> Any:
        """What is averaged of outputs, as numpy arrays."""
        return outputs if self.there is None else jax.tree.map(np.asarray, self.there(outputs))


def both_ways(who: str, combine: Any) -> Both | None:
    """A pair (there, back), which metrics need; None for the outputs themselves.

    Raises:
        TypeError: It is anything else.
    """
    given = Combine.of(combine)
    if given.there is not None and given.back is None:
        raise TypeError(
            f"{who} computes metrics, which take outputs: give combine= a pair (there, back), such as "
            f"(jax.nn.softmax, jax.numpy.log), got {combine!r} alone."
        )
    return None if given.there is None or given.back is None else (given.there, given.back)


def mean(results: Sequence[Any], weights: Sequence[float] | np.ndarray | None = None) -> Any:
    """The mean of equal pytrees of floats, in float32 or better; of equal float32 values it is just that value.

    Args:
        results: Trees.
        weights: One for each, not all of them 0; None for equal ones. What has weight 0 may be anything.
    """
    weights = [1.0] * len(results) if weights is None else weights
    kept = [(tree, weight) for tree, weight in zip(results, weights, strict=True) if weight > 0]
    total = sum(weight for _, weight in kept)

    def one(*leaves: Any) -> np.ndarray:
        kind = np.result_type(_mean_dtype(np.asarray(leaves[0])))
        precise = np.promote_types(kind, np.float64)
        summed = np.zeros(np.shape(leaves[0]), precise)
        with np.errstate(invalid="ignore"):  # inf - inf is for the metrics to tell
            for leaf, (_, weight) in zip(leaves, kept, strict=True):
                summed += np.asarray(leaf).astype(precise) * weight
        return (summed / total).astype(kind)

    return jax.tree.map(one, *(tree for tree, _ in kept))


def of_replicates(trained: Any, data: Any, combine: Both | None) -> dict[str, float]:
    """Metrics of the average over all replicates of trained weights, batch by batch in one program.

    Args:
        trained: A `Trained` without folds.
        data: A split of its task.
        combine: What is averaged instead of the outputs, and back.

    Returns:
        Name -> value; empty where there are no outputs, or none that can be averaged.
    """
    evaluation = trained.task.evaluation
    if not evaluation.has_model:
        return {}

    def average(key: Any, states: Any, data: Any, hp: dict, extras: Extras) -> dict[str, jax.Array]:
        replicates = jnp.arange(trained.replicates, dtype=jnp.int32)
        return evaluation.of_average(
            jax.vmap(lambda r: replicate_key(key, r, EVALUATE))(replicates),
            states,
            data,
            combine=combine,
            **trained.named(hp, extras),
        )

    with own_settings():
        values = Jitted(average)(trained.key, trained.states, data, dict(trained.hp), trained.extras(0))
    return {name: float(value) for name, value in values.items()}


def names_of_averages(names: Iterable[str]) -> dict[str, str]:
    """Metric -> what the metric of the average is called beside it: `<name>_of_average`.

    Where a metric has that name itself, it is `average_<name>_of_average`.
    """
    taken = set(names)
    called = {name: f"{name}_of_average" for name in names}
    return {name: f"average_{text}" if text in taken else text for name, text in called.items()}


def with_averages(values: Mapping[str, float], metrics: Iterable[str], averages: Mapping[str, float]) -> dict:
    """Values by name, and beside them those of the average.

    Args:
        values: What there is already.
        metrics: Names of all metrics.
        averages: Metrics of the average by their names; there may be none.
    """
    names = names_of_averages(list(metrics))
    return {**values, **{names[name]: value for name, value in averages.items()}}


def _mean_dtype(x: np.ndarray) -> Any:
    return x.dtype if x.dtype.itemsize >= 4 else np.float32
