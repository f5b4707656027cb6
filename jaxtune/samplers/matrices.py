"""Inverses and square roots of positive definite matrices, block by block.

LAPACK takes all cores for matrices of some hundred rows, whose threads wait for one another: where other programs run
too, that was measured to be thirty times slower. Products of matrices, of which these functions consist, don't suffer
from it, and their blocks are too small to be shared.

Shapes: N rows.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve, solve_triangular

_BLOCK = 32


def inverse(matrix: jax.Array) -> jax.Array:
    """The inverse [N, N] of a positive definite matrix, by Gauss-Jordan elimination in place.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxtune.samplers.matrices import inverse
        >>> bool(jnp.allclose(inverse(jnp.array([[2.0, 0.0], [0.0, 4.0]])), jnp.array([[0.5, 0.0], [0.0, 0.25]])))
        True
    """

    def eliminate(number: jax.Array, a: jax.Array) -> jax.Array:
        begin = number * _BLOCK
        columns, pivot = _columns_and_pivot(a, begin)
        inverted = cho_solve((jnp.linalg.cholesky(pivot), True), jnp.eye(_BLOCK, dtype=a.dtype))
        # Of what was eliminated the rows have the other sign than the columns.
        sign = jnp.where(jnp.arange(len(a)) < begin, -1, 1).astype(a.dtype)
        scaled = jnp.matmul(columns, inverted, precision="highest")
        a -= jnp.matmul(scaled, (columns * sign[:, None]).T, precision="highest")
        a = jax.lax.dynamic_update_slice(a, (scaled * sign[:, None]).T, (begin, 0))
        a = jax.lax.dynamic_update_slice(a, -scaled, (0, begin))
        return jax.lax.dynamic_update_slice(a, inverted, (begin, begin))

    padded = _padded(matrix)
    return jax.lax.fori_loop(0, len(padded) // _BLOCK, eliminate, padded)[: len(matrix), : len(matrix)]


def factor(matrix: jax.Array) -> jax.Array:
    """The lower triangular Cholesky factor [N, N] of a positive definite matrix.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxtune.samplers.matrices import factor
        >>> bool(jnp.allclose(factor(jnp.array([[4.0, 0.0], [0.0, 9.0]])), jnp.array([[2.0, 0.0], [0.0, 3.0]])))
        True
    """

    def eliminate(number: jax.Array, both: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        (rest, found), begin = both, number * _BLOCK
        columns, pivot = _columns_and_pivot(rest, begin)
        panel = solve_triangular(jnp.linalg.cholesky(pivot), jnp.eye(_BLOCK, dtype=rest.dtype), lower=True).T
        panel = jnp.matmul(columns, panel, precision="highest")
        panel = jnp.where((jnp.arange(len(rest)) >= begin)[:, None], panel, 0)
        rest -= jnp.matmul(panel, panel.T, precision="highest")
        return rest, jax.lax.dynamic_update_slice(found, panel, (0, begin))

    padded = _padded(matrix)
    found = jax.lax.fori_loop(0, len(padded) // _BLOCK, eliminate, (padded, jnp.zeros_like(padded)))[1]
    return jnp.tril(found[: len(matrix), : len(matrix)])


def _columns_and_pivot(a: jax.Array, begin: jax.Array) -> tuple[jax.Array, jax.Array]:
    columns = jax.lax.dynamic_slice(a, (0, begin), (len(a), _BLOCK))
    return columns, jax.lax.dynamic_slice(columns, (begin, 0), (_BLOCK, _BLOCK))


def _padded(matrix: jax.Array) -> jax.Array:
    """With rows of a unit matrix, up to a whole number of blocks."""
    more = -len(matrix) % _BLOCK
    unit = jnp.arange(len(matrix) + more) >= len(matrix)
    return jnp.pad(matrix, (0, more)) + jnp.diag(unit.astype(matrix.dtype))
