"""Cross-validation: which examples train and which validate, in each fold."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxtune.interface.counts import check_whole, is_whole
from jaxtune.tasks.task import Task


class Fold(NamedTuple):
    """Indices into the examples of a task."""

    train: np.ndarray  # [n] int
    validation: np.ndarray  # [V] int


def make_folds(task: Task, folds: Any, seed: int) -> tuple[Fold, ...]:
    """The folds of a cross-validation.

    Args:
        task: What is trained; its `train` is divided, and it has no `validation` of its own.
        folds: A number of folds, at least 2: examples are shuffled and dealt out, class by class if the targets are
            labels: whole numbers (also as floats), bools, one-hot. Or pairs (train indices, validation indices), as
            from a splitter of scikit-learn.
        seed: Of the shuffling.

    Returns:
        Folds whose validation parts are equally large, because they share one program. Where the number of folds
        does not divide that of the examples, some folds validate one example that another fold validates too; pairs
        with one example more than the others lose it.

    Raises:
        ValueError: There is nothing to divide, or the folds don't fit the data.
        TypeError: `folds` is neither a number nor pairs of indices.
    """
    num_examples = task.num_examples
    if num_examples is None:
        raise ValueError("folds divides the training data, but the task has none: pass train=.")
    if task.validation is not None:
        raise ValueError("Pass folds= or validation data, not both: with folds each part of train validates once.")
    if is_whole(folds):
        folds = check_whole("folds", folds, low=2, high=num_examples)
        made = _dealt(_order(task, num_examples, seed), folds)
    else:
        made = _given(folds, num_examples)
    fewest = min(len(fold.train) for fold in made)
    if task.batch_size is not None and fewest < task.batch_size:
        raise ValueError(f"A fold has {fewest} training examples, fewer than batch_size={task.batch_size}.")
    if task.batch_size is None and len({len(fold.train) for fold in made}) > 1:
        raise ValueError("Without batch_size all folds need equally many training examples; give the task one.")
    return made


def _order(task: Task, num_examples: int, seed: int) -> np.ndarray:
    """Examples in the order in which they are dealt out: shuffled, and sorted by class where there are classes."""
    order = np.random.default_rng(seed).permutation(num_examples)
    classes = _classes(task)
    return order if classes is None else order[np.argsort(classes[order], kind="stable")]


def _classes(task: Task) -> np.ndarray | None:
    """The class of each example, if targets are labels: whole numbers or bools [N] or [N, 1], or one-hot [N, C]."""
    if not isinstance(task.train, tuple) or len(task.train) != 2:
        return None
    targets = task.train[1]
    if not isinstance(targets, (np.ndarray, jax.Array)) or targets.ndim not in (1, 2):
        return None
    labels = np.asarray(targets)
    if labels.ndim == 2 and labels.shape[1] > 1:
        is_one_hot = bool(np.all((labels == 0) | (labels == 1)) and np.all(labels.sum(axis=1) == 1))
        return labels.argmax(axis=1) if is_one_hot else None
    labels = labels.reshape(-1)
    return labels if labels.dtype.kind in "biu" or _are_float_labels(labels) else None


def _are_float_labels(values: np.ndarray) -> bool:
    """Whole numbers, most of which occur more than once: not quantities that happen to be whole."""
    return bool(np.array_equal(values, np.round(values)) and 2 * len(np.unique(values)) <= len(values))


def _dealt(order: np.ndarray, folds: int) -> tuple[Fold, ...]:
    """Fold f validates on every `folds`-th example from f on; in shorter folds the list starts again."""
    size = -(-len(order) // folds)
    made = []
    for number in range(folds):
        validation = order[(number + folds * np.arange(size)) % len(order)]
        made.append(Fold(np.setdiff1d(order, validation), np.sort(validation)))
    return tuple(made)


def _given(folds: Any, num_examples: int) -> tuple[Fold, ...]:
    rule = "folds must be a number or a list of pairs (train indices, validation indices)"
    if isinstance(folds, (str, bool, float)) or not isinstance(folds, Sequence):
        raise TypeError(f"{rule}, got {folds!r}: a splitter's generator becomes a list by list(...).")
    if not folds or not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in folds):
        raise TypeError(f"{rule}, got {folds!r}.")
    made = [_checked(number, pair, num_examples) for number, pair in enumerate(folds)]
    sizes = [len(fold.validation) for fold in made]
    if max(sizes) - min(sizes) > 1:
        raise ValueError(
            f"All folds share one program, so their validation parts need the same size (one example more is cut), "
            f"got sizes from {min(sizes)} to {max(sizes)}."
        )
    return tuple(Fold(fold.train, fold.validation[: min(sizes)]) for fold in made)


def _checked(number: int, pair: Any, num_examples: int) -> Fold:
    train, validation = (checked_indices(f"fold {number}", part, num_examples) for part in pair)
    both = np.intersect1d(train, validation)
    if len(both):
        raise ValueError(f"fold {number} has {len(both)} examples in both parts, example {both[0]} among them.")
    return Fold(train, validation)


def checked_indices(owner: str, part: Any, num_examples: int) -> np.ndarray:
    """Indices of different examples, from a list, an array, or a mask over all examples.

    Raises:
        ValueError: They are no such indices.
    """
    indices = np.asarray(part)
    if indices.dtype == bool and indices.shape == (num_examples,):
        indices = np.flatnonzero(indices)
    if indices.ndim != 1 or not len(indices) or not np.issubdtype(indices.dtype, np.integer):
        raise ValueError(
            f"{owner} needs lists of example numbers, or masks over all {num_examples} examples; got an array of "
            f"dtype {indices.dtype} and shape {indices.shape}."
        )
    outside = indices[(indices < 0) | (indices >= num_examples)]
    if len(outside):
        raise ValueError(f"{owner} names example {outside[0]}, but there are {num_examples} (from 0).")
    if len(np.unique(indices)) < len(indices):
        raise ValueError(f"{owner} names an example twice.")
    return indices
