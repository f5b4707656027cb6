"""What happens at a rung: who goes on, who copies whom, and which hyperparameters change.

Everything here works on tables with one entry per trial, T of them, whatever their lanes and groups.
"""

import functools
import zlib
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxtune.engine.standing import Decision, Standing, scores
from jaxtune.schedulers.plan import Exploit
from jaxtune.spaces.domains.numeric import draw_units
from jaxtune.spaces.space import Space
from jaxtune.tasks.executables import Jitted


@functools.lru_cache(maxsize=32)
def deciding(space: Space, mode: str, exploit: Exploit | None, dead: tuple[str, ...]) -> Jitted:
    """`decide` for these settings, compiled."""
    return Jitted(functools.partial(decide, space=space, mode=mode, exploit=exploit, dead=dead))


def decide(
    key: jax.Array,
    number: jax.Array,
    attempt: jax.Array,
    keep: jax.Array,
    standing: Standing,
    *,
    space: Space,
    mode: str,
    exploit: Exploit | None,
    dead: tuple[str, ...] = (),
) -> Decision:
    """Ranks each bracket and applies a row of the plan.

    Args:
        key: Key of the study's exploration.
        number: Number of the row, int32.
        attempt: Other numbers explore otherwise, from the same donors; int32, 0 at first.
        keep: [B] int32, trials of each bracket that go on.
        standing: Where the trials stand.
        space: The space with static hyperparameters pinned.
        mode: "min" or "max".
        exploit: Settings of truncation selection, or None.
        dead: Keys of hyperparameters that can't be explored.
    """
    bracket, training, points = standing.bracket, standing.competing, standing.points
    score = scores(jnp, standing.values, standing.lost, mode)
    trial = jnp.arange(score.shape[0], dtype=jnp.int32)
    *_, ranked = lax.sort((bracket, ~training, score, trial), num_keys=4)  # ties: the lower id
    sizes = jnp.zeros(keep.shape, jnp.int32).at[bracket].add(1)
    first = (jnp.cumsum(sizes) - sizes)[bracket]  # where each one's bracket begins in the ranking
    rank = jnp.zeros_like(trial).at[ranked].set(trial) - first
    goes_on = training & (rank < keep[bracket])
    if exploit is None:
        return Decision(goes_on, trial, points)
    # The lowest quantile, and what diverged, copies a random one of the highest.
    healthy = training & jnp.isfinite(score)
    num_healthy = jnp.zeros_like(sizes).at[bracket].add(healthy.astype(jnp.int32))
    copied = jnp.clip((sizes * exploit.quantile).astype(jnp.int32), 1, sizes // 2)
    donors = jnp.minimum(copied, num_healthy)[bracket]
    losers = (rank >= (sizes - copied)[bracket]) | ~healthy
    draw = draw_units(_noise_key(key, number, "exploit"), rank.shape)
    pick = jnp.minimum((draw * donors).astype(jnp.int32), donors - 1)
    donor = ranked[jnp.maximum(first + pick, 0)]
    source = jnp.where(losers & (rank >= donors) & (donors > 0), donor, trial)
    explored = _explore(jax.random.fold_in(key, attempt), number, exploit, space, dead, points[source])
    return Decision(goes_on, source, jnp.where((source != trial)[:, None], explored, points))


def _explore(
    key: jax.Array, number: jax.Array, exploit: Exploit, space: Space, dead: tuple[str, ...], points: jax.Array
) -> jax.Array:
    """New places [T, D] in the unit cube for the traced hyperparameters, each with noise of its own."""
    columns = []
    for i, (name, domain) in enumerate(space.domains):
        at = points[:, i]
        if name in space.static or name in dead:
            columns.append(at)
            continue
        noise = draw_units(_noise_key(key, number, name), (3, at.shape[0]))
        size = max(exploit.perturbation, 1.0 / domain.num_options if domain.num_options else 0.0)
        # Options without an order have no neighbours: another one is as good as any.
        moved = _bounce(at, jnp.where(noise[0] < 0.5, -size, size)) if domain.ordered else noise[2]
        columns.append(jnp.where(noise[1] < exploit.resample_probability, noise[2], moved))
    return _ensure_change(key, number, space, dead, points, jnp.stack(columns, axis=1) if columns else points)


def _bounce(at: jax.Array, move: jax.Array) -> jax.Array:
    """`at + move`, or `at - move` where that would leave the unit interval, so that a move is never lost."""
    there = at + move
    return jnp.where((there >= 0.0) & (there < 1.0), there, at - move)


def _ensure_change(
    key: jax.Array, number: jax.Array, space: Space, dead: tuple[str, ...], before: jax.Array, after: jax.Array
) -> jax.Array:
    """Puts one discrete hyperparameter on another option in rows where no decoded value has changed.

    A copy that changes nothing would stay a twin of its donor, since their randomness is shared.
    """
    live = set(space.traced).difference(dead)
    traced = [(i, name, domain) for i, (name, domain) in enumerate(space.domains) if name in live]
    discrete = [(i, name, domain) for i, name, domain in traced if domain.num_options and domain.num_options > 1]
    if not discrete or any(domain.num_options is None for _, _, domain in traced):
        return after  # a continuous value always moves
    old, new = space.decode(before), space.decode(after)
    stuck = jnp.all(jnp.stack([old[name] == new[name] for _, name, _ in traced]), axis=0)
    draw = draw_units(_noise_key(key, number, "change"), (2, before.shape[0]))
    chosen = jnp.minimum((draw[0] * len(discrete)).astype(jnp.int32), len(discrete) - 1)
    for place, (i, _, domain) in enumerate(discrete):
        n = domain.num_options or 0
        shift = 1 + jnp.minimum((draw[1] * (n - 1)).astype(jnp.int32), n - 2)
        centres = jnp.asarray(domain.grid_units(n), after.dtype)
        other = centres[(domain.decode_index(before[:, i]) + shift) % n]
        after = after.at[:, i].set(jnp.where(stuck & (chosen == place), other, after[:, i]))
    return after


def _noise_key(key: jax.Array, number: jax.Array, name: str) -> jax.Array:
    # A hash that is the same in every process; entry t of a draw belongs to trial t.
    return jax.random.fold_in(jax.random.fold_in(key, number), zlib.crc32(name.encode()))


def survivors(xp: Any, lanes: Any, training: Any, source: Any, slots: int) -> tuple[Any, Any]:
    """Where the lanes of one group go after a decision.

    Args:
        xp: `numpy` or `jax.numpy`: the host and the compiled search share this function.
        lanes: [S] int32, the trial in each slot, or T for a free one.
        training: [T] bool, trials that go on.
        source: [T] int32, the trial whose weights each goes on with.
        slots: Number of slots afterwards.

    Returns:
        The trial in each slot [slots], and the slot each takes its lane from [slots]. Survivors keep their order.
    """
    num_trials = training.shape[0]
    kept = xp.concatenate([training, xp.zeros(1, bool)])[lanes]
    order = xp.argsort(~kept, stable=True)
    order = xp.concatenate([order, xp.zeros(slots, order.dtype)])[:slots]
    used = xp.arange(slots) < xp.sum(kept)
    lanes_after = xp.where(used, lanes[order], num_trials).astype(xp.int32)
    by_trial = xp.argsort(lanes, stable=True)
    wanted = source[xp.minimum(lanes_after, num_trials - 1)]
    slot = by_trial[xp.minimum(xp.searchsorted(lanes[by_trial], wanted), lanes.shape[0] - 1)]
    return lanes_after, xp.where(used, slot, 0).astype(xp.int32)
