"""Why a loss or metric can't take outputs with targets: found by trying what would make it work.

Labels of shape [N, 1], one-hot, bool or float labels, a model that returns a tuple: each fails somewhere inside Optax.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

_Cure = tuple[str, Any]  # how it is written, and what it gives


def called(role: str, function: Callable[[Any, Any], Any], outputs: Any, targets: Any) -> Any:
    """What a loss or metric returns; if it fails, and would not with another form of what it gets, the error says so.

    Args:
        role: What the function is, for the error: "loss" or "metric 'accuracy'".
        function: From outputs and targets.
        outputs: Arrays, traced or not.
        targets: Likewise.

    Raises:
        TypeError: It can't take these outputs and targets, but others made of them.
        Exception: Any other error of the function, as it is.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> from jaxtune.training.mismatch import called
        >>> try:
        ...     called("loss", optax.softmax_cross_entropy_with_integer_labels, jnp.zeros([8, 3]), jnp.zeros([8]))
        ... except TypeError as error:
        ...     print(str(error).partition(" (The error")[0])
        loss can't take outputs float32[N, 3] with targets float32[N]; it can take targets.astype(int).
    """
    try:
        return function(outputs, targets)
    except Exception as error:
        if not (wanted := _wanted(function, outputs, targets)):
            if not _works(function, targets, outputs):
                raise
            raise TypeError(
                f"{role} is called with (outputs, targets), in this order, and works the other way round."
            ) from error
        cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TypeError(
            f"{role} can't take outputs {_text(outputs)} with targets {_text(targets)}; it can take {wanted}. "
            f"(The error was: {cause})"
        ) from error


def _wanted(function: Callable[[Any, Any], Any], outputs: Any, targets: Any) -> str:
    """What a function can take instead; nothing if none of what is tried helps."""
    for given, output in _outputs(outputs):
        for asked, target in _targets(output, targets):
            if _works(function, output, target):
                changed = (text for text, plain in ((given, "outputs"), (asked, "targets")) if text != plain)
                return " and ".join(changed)
    return ""


def _outputs(outputs: Any) -> Iterator[_Cure]:
    """The outputs, the arrays that they consist of, and these without an axis of length one."""
    yield from _parts("outputs", outputs)
    for text, leaf in _parts("outputs", outputs):
        if leaf.shape[1:] == (1,):
            yield f"{text}[..., 0]", leaf[..., 0]
        if leaf.ndim == 0:  # of a batch of one
            yield f"{text}[None] (squeeze() takes the axis of a single example too, squeeze(-1) the last)", leaf[None]


def _targets(outputs: Any, targets: Any) -> Iterator[_Cure]:
    """The targets, the arrays that they consist of, and these in the other forms that labels have."""
    for text, leaf in _parts("targets", targets):
        yield text, leaf
        if not isinstance(leaf, jax.Array) or not isinstance(outputs, jax.Array):
            continue
        if leaf.ndim > 1 and leaf.shape == outputs.shape:
            yield f"{text}.argmax(-1)", jnp.argmax(leaf, axis=-1)
        forms = [(text, leaf)]
        if leaf.ndim > 1 and leaf.shape[-1] == 1:
            forms.append((f"{text}[..., 0]", leaf[..., 0]))
        for form, values in forms:
            yield form, values
            yield f"{form}.astype(int)", values.astype(jnp.int32)
            if values.shape == outputs.shape[:-1] and (classes := outputs.shape[-1]) > 1:
                yield f"jax.nn.one_hot({form}, {classes})", jax.nn.one_hot(values, classes)


def _parts(name: str, tree: Any) -> Iterator[_Cure]:
    yield name, tree
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if path:
            yield name + jax.tree_util.keystr(path), leaf


def _works(function: Callable[[Any, Any], Any], outputs: Any, targets: Any) -> bool:
    """Whether the function gives one number, or one per example."""
    try:
        shape = jax.eval_shape(lambda o, t: function(o, t), outputs, targets).shape
    except Exception:
        return False
    return bool(shape == outputs.shape[: len(shape)])


def _text(tree: Any) -> str:
    """Dtype and shape, with N for the number of examples."""
    if isinstance(tree, jax.Array):
        return f"{tree.dtype}[{', '.join(['N', *map(str, tree.shape[1:])]) if tree.shape else ''}]"
    kind = f"a {type(tree).__name__} of" if isinstance(tree, (tuple, list, dict)) else ""
    return f"{kind} {', '.join(_text(leaf) for leaf in jax.tree.leaves(tree))}".strip()
