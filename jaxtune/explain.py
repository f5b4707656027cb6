"""What to do about a traced number that some code needs as a Python value."""

import traceback

import optax

from jaxtune import schedules

_SCHEDULES = tuple(name for name in dir(optax.schedules) if name.endswith(("_schedule", "_decay")))


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
    used = [f.name for path, f in places if "/optax/" in path and f.name in _SCHEDULES]
    if used and used[0] in schedules.__all__:
        return f"optax.{used[0]}", f"use jt.schedules.{used[0]}, which accepts traced arguments"
    if used:
        known = " and ".join(schedules.__all__)
        return f"optax.{used[0]}", f"take one of jt.schedules ({known}), which accept traced arguments"
    if any("/flax/" in path and "rate" in (f.line or "") for path, f in places):
        return "a Flax dropout layer", f"use jt.rate({read})"
    if num_options is not None:
        return "the task", f"declare it static (static=True in its domain), or keep {read} out of it"
    if name == read:
        return "the task", f"keep {read} out of it, jnp.where decides between traced values"
    return "the task", f"declare it static, as in jt.Choice([...], static=True), or keep {read} out of it"
