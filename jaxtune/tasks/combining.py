"""What is averaged of outputs, and back: a user's pair of functions inside of programs, and what may be averaged."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Both = tuple[Callable[[Any], Any], Callable[[Any], Any]]


def are_floats(tree: Any) -> bool:
    """Whether all arrays, or shapes of such, are of floats, of which there are means."""
    return all(jnp.issubdtype(x.dtype, jnp.inexact) for x in jax.tree.leaves(tree))


def prepared(outputs: Any, combine: Both | None) -> Any:
    """What is averaged of outputs.

    Raises:
        TypeError: The first function of the pair can't be compiled, or gives no floats.
    """
    if combine is None:
        return outputs
    made = jax.tree.map(jnp.asarray, _traced(combine[0], outputs))
    if not are_floats(made):
        raise TypeError("combine must make floats of outputs, because only these can be averaged.")
    return made


def restored(averaged: Any, like: Any, combine: Both | None) -> Any:
    """Outputs of what was averaged, with their own dtypes.

    Args:
        averaged: A mean of what `prepared` gives.
        like: Shapes and dtypes of outputs of as many examples.
        combine: See there.

    Raises:
        TypeError: The second function of the pair can't be compiled, or gives something else than outputs.
    """
    outputs = averaged if combine is None else jax.tree.map(jnp.asarray, _traced(combine[1], averaged))
    wanted, got = ((str(jax.tree.structure(t)), [x.shape for x in jax.tree.leaves(t)]) for t in (like, outputs))
    if wanted != got:
        count = jax.tree.leaves(like)[0].shape[0]
        raise TypeError(
            f"combine must give back what is like the outputs, {shapes(like, count)}, got {shapes(outputs, count)}."
        )
    return jax.tree.map(lambda x, y: x.astype(y.dtype), outputs, like)


def shapes(tree: Any, count: int) -> str:
    """Shapes, with N for the number of examples, which may be one of those that are tried."""

    def one(x: Any) -> str:
        return f"[{', '.join('N' if n == 0 and size == count else str(size) for n, size in enumerate(x.shape))}]"

    return str(jax.tree.map(one, tree)).replace("'", "")


def _traced(function: Callable[[Any], Any], outputs: Any) -> Any:
    """What a user's function makes of outputs inside a program."""
    try:
        return function(outputs)
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError) as error:
        raise TypeError(
            "combine needs the values of its arguments, but it is compiled: write it with jax.numpy."
        ) from error
