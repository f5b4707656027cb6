"""Batch order: epochs of shuffled examples, one after another, cut into batches.

The stream of examples is the concatenation of the epochs' permutations, and batch s is its s-th piece: a batch size
that does not divide the data loses nothing, a batch may hold the end of one epoch and the beginning of the next.

How many examples there are is traced: the folds of a cross-validation, and a last training on all data, share a
program whose arrays hold `capacity` examples.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

_PACKED = 2**12  # examples whose index shares a word with 20 random bits: ties are rare enough not to matter


class Window(NamedTuple):
    """Permutations of the epochs that a burst of steps touches, kept for the next burst."""

    epochs: jax.Array  # [W] int32: the epoch whose permutation each row holds; epoch e sits in row e % W
    orders: jax.Array  # [W, N] int32


def empty_window(capacity: int, fewest: int, batch_size: int, burst: int) -> Window:
    """A window that holds nothing yet, wide enough for all epochs that `burst` batches can touch.

    Args:
        capacity: Examples that an epoch may have.
        fewest: Examples that an epoch has at least.
        batch_size: Examples in a batch.
        burst: Number of batches.
    """
    width = (burst * batch_size - 1) // fewest + 2
    return Window(jnp.full(width, -1, jnp.int32), jnp.zeros((width, capacity), jnp.int32))


def batch_indices(
    window: Window, key: jax.Array, first: jax.Array, count: jax.Array, batch_size: int, burst: int
) -> tuple[jax.Array, Window]:
    """Indices of the batches `first` to `first + burst - 1`.

    Args:
        window: From the burst before, or empty.
        key: Key of the batch order; with an epoch's number it gives the epoch's permutation.
        first: int32, number of the first batch.
        count: int32, examples in an epoch; at most the window's capacity.
        batch_size: Examples in a batch.
        burst: Number of batches.

    Returns:
        Indices [burst, batch_size] int32, below `count`, and the window for the next call.
    """
    width, capacity = window.orders.shape
    epoch, offset = _position(first, batch_size, count, capacity)
    needed = epoch + (jnp.arange(width, dtype=jnp.int32) - epoch) % width

    def fill(row: jax.Array, window: Window) -> Window:
        return lax.cond(
            window.epochs[row] == needed[row], lambda w: w, lambda w: _draw(w, key, row, needed[row], count), window
        )

    window = lax.fori_loop(0, width, fill, window)
    position = offset + jnp.arange(burst * batch_size, dtype=jnp.int32)
    rows = (epoch + position // count) % width
    return window.orders[rows, position % count].reshape(burst, batch_size), window


def _draw(window: Window, key: jax.Array, row: jax.Array, epoch: jax.Array, count: jax.Array) -> Window:
    # Sorting random bits once is much faster than jax.random.permutation, which sorts several times. What lies beyond
    # `count` gets the largest number and ends up behind all examples.
    capacity = window.orders.shape[1]
    bits = jax.random.bits(jax.random.fold_in(key, epoch), (capacity,), jnp.uint32)
    indices = jnp.arange(capacity, dtype=jnp.uint32)
    used, largest = indices < count.astype(jnp.uint32), jnp.uint32(2**32 - 1)
    if capacity <= _PACKED:  # one array sorts in less than half the time of two
        mask = jnp.uint32(_PACKED - 1)
        order = lax.sort(jnp.where(used, (bits & ~mask) | indices, largest)) & mask
    else:
        _, order = lax.sort((jnp.where(used, bits, largest), indices), num_keys=1)
    return Window(window.epochs.at[row].set(epoch), window.orders.at[row].set(order.astype(jnp.int32)))


def _position(batch: jax.Array, batch_size: int, count: jax.Array, capacity: int) -> tuple[jax.Array, jax.Array]:
    """Epoch and offset in it at which a batch begins, without overflow for any number of batches."""
    epoch, offset = _scaled_divmod(batch % count, batch_size, count, capacity)
    return batch // count * batch_size + epoch, offset


def _scaled_divmod(x: jax.Array, factor: int, modulus: jax.Array, largest: int) -> tuple[jax.Array, jax.Array]:
    """divmod(x * factor, modulus) for x < modulus <= largest, digit by digit of the factor, so that int32 suffices."""
    bits = 31 - largest.bit_length()  # x, and any remainder, times one digit fits
    places = range(-(-factor.bit_length() // bits) - 1, -1, -1)
    quotient = remainder = jnp.zeros_like(x)
    for place in places:
        digit = factor >> bits * place & (1 << bits) - 1
        shifted, product = remainder << bits, x * digit
        remainder = shifted % modulus + product % modulus
        quotient = (quotient << bits) + shifted // modulus + product // modulus + remainder // modulus
        remainder = remainder % modulus
    return quotient, remainder
