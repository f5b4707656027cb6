"""What to do about a traced number that some code needs as a Python value."""

import traceback

import optax

_SCHEDULES = tuple(name for name in dir(optax.schedules) if name.endswith(("_schedule", "_decay")))
OURS = (  # those of `training/schedules`, of which tasks know nothing
    "constant_schedule cosine_decay_schedule cosine_onecycle_schedule cosine_restarts_schedule "
    "cyclic_schedule exponential_decay join_schedules linear_onecycle_schedule linear_schedule "
    "piecewise_constant_schedule piecewise_interpolate_schedule polynomial_schedule sgdr_schedule "
    "warmup_constant_schedule warmup_cosine_decay_schedule warmup_exponential_decay_schedule"
)


def explain(name: str, read: str, num_options: int | None, error: BaseException) -> TypeError:
    """What to do about a traced number that some code needs as a Python value; told by where it failed.

    Args:
        name: Of the number.
        read: How user code reads it.
        num_options: Of its domain; None if it is no hyperparameter or a continuous one.
        error: What happened.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    where, advice = _advice(traceback.extract_tb(error.__traceback__), name, read, num_options)
    message = str(error).strip().splitlines()
    cause = message[0] if message else type(error).__name__
    return TypeError(
        f"{name!r} is a traced number, but {where} needs a Python value: {advice}. (The error was: {cause})"
    )


def _advice(frames: traceback.StackSummary, name: str, read: str, num_options: int | None) -> tuple[str, str]:
    """Which code it is that needs a Python value, and what to write instead."""
    places = [(frame.filename.replace("\\", "/"), frame) for frame in frames]
    if (optax_s := _optax_advice(places, read)) is not None:
        return optax_s
    if any("/flax/" in path and "rate" in (f.line or "") for path, f in places):
        return "a Flax dropout layer", f"use jt.rate({read})"
    if num_options is not None:
        return "the task", f"declare it static (static=True in its domain), or keep {read} out of it"
    if name == read:
        return "the task", f"keep {read} out of it, jnp.where decides between traced values"
    return "the task", f"declare it static, as in jt.Choice([...], static=True), or keep {read} out of it"


def _optax_advice(places: list[tuple[str, traceback.FrameSummary]], read: str) -> tuple[str, str] | None:
    """What jaxtune has in place of the part of Optax that failed."""
    accepts = "which accepts traced numbers"
    for path, frame in places:
        if "/optax/" in path and frame.name in _SCHEDULES:
            # A newer Optax may have schedules that we lack.
            found = f"use jt.schedules.{frame.name}" if frame.name in OURS.split() else "take one of jt.schedules"
            return f"optax.{frame.name}", f"{found}, {accepts}"
        if path.endswith("/optax/contrib/_reduce_on_plateau.py"):
            found = "chain jt.reduce_on_plateau after the optimizer"
            return "optax.contrib.reduce_on_plateau", f"{found}, {accepts} and follows the validation score"
        if path.endswith("/optax/transforms/_accumulation.py") and "every_k_schedule" in (frame.line or ""):
            return "optax.MultiSteps", f"use jt.accumulate(optimizer, {read}), {accepts}"
    return None
