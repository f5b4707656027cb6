"""Tracebacks of mistakes show the user's own frames, and jaxtune's sentence."""

import inspect
import traceback

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toys import DESCENT, DESCENT_SPACE

import jaxtune as jt
from jaxtune.tasks import problem


def careless(x):
    return x @ jnp.ones((9, 1))


def step(key, state, batch, hp):
    return careless(state["x"]), {}


def branching(key, state, batch, hp):
    return ({**state} if hp["lr"] > 1 else state), {}


def called_back(result):
    return undefined  # noqa: F821


ENTRIES = {
    "tune": lambda task, **options: jt.tune(task, DESCENT_SPACE, scheduler=jt.FullBudget(2, 5), **options),
    "plan": lambda task: jt.plan(task, DESCENT_SPACE, scheduler=jt.FullBudget(2, 5)),
    "search": lambda task: jt.search(jax.random.key(0), task, DESCENT_SPACE, scheduler=jt.FullBudget(2, 5)),
    "staged": lambda task: jt.staged(task, DESCENT_SPACE, scheduler=jt.FullBudget(2, 5)),
    "nested": lambda task: jt.nested(
        task.replace(train=(np.zeros(8),) * 2, batch_size=2),
        DESCENT_SPACE,
        splits=2,
        scheduler=jt.FullBudget(2, 5),
    ),
}


def frames(error):
    """(file, function) of each frame."""
    return [(frame.filename.split("/")[-1], frame.name) for frame in traceback.extract_tb(error.__traceback__)]


def caught(name, task, **options):
    with pytest.raises(Exception) as error:  # noqa: PT011 - whatever the user's mistake makes
        ENTRIES[name](task, **options)
    return error.value


@pytest.mark.parametrize("name", ENTRIES)
def test_the_users_frames_are_shown_and_no_others(name):
    shown = frames(caught(name, DESCENT.replace(step=step)))
    assert ("test_entry.py", "step") in shown
    assert shown[-1] == ("test_entry.py", "careless")
    assert {file for file, _ in shown} == {"test_entry.py", "entry.py"}
    assert sum(file == "entry.py" for file, _ in shown) == 1


def test_a_sentence_of_ours_needs_no_frames_and_its_cause_shows_where():
    error = caught("tune", DESCENT.replace(step=branching))
    assert "declare it static" in str(error)
    assert {file for file, _ in frames(error)} == {"test_entry.py", "entry.py"}
    assert frames(error.__cause__) == [("test_entry.py", "branching")]


def test_a_name_that_the_space_lacks_shows_who_reads_it():
    shown = frames(caught("tune", DESCENT.replace(step=lambda key, state, batch, hp: (state, {"a": hp["lrr"]}))))
    assert shown[-1] == ("test_entry.py", "<lambda>")


def test_a_failure_in_a_library_needs_no_frames_of_it():
    task = supervised(loss=lambda outputs, targets: optax.squared_error(outputs, targets))
    shown = frames(caught("tune", task.replace(evaluate=lambda *args: {"loss": jnp.zeros(3).reshape(2)})))
    assert {file for file, _ in shown} == {"test_entry.py", "entry.py"}


@pytest.mark.parametrize(
    "mistake",
    [
        lambda result: result.best.predict(np.zeros((3, 2), np.float32)),
        lambda result: result.refit().predict(np.zeros((3, 2), np.float32)),
        lambda result: result.best.predict(np.zeros((3, 1), np.float32), combine=lambda outputs: outputs["no"]),
        lambda result: result.with_task(DESCENT, DESCENT_SPACE),
        lambda result: result.test(),
    ],
)
def test_what_is_done_with_a_result_fails_in_a_few_lines(mistake, result):
    with pytest.raises(Exception) as error:  # noqa: PT011
        mistake(result)
    text = traceback.format_exception(error.value)
    assert {file for file, _ in frames(error.value)} == {"test_entry.py", "entry.py"}
    assert len("".join(text).splitlines()) < 30


def supervised(**parts):
    x = np.linspace(-1, 1, 16, dtype=np.float32)[:, None]
    parts = {"loss": optax.squared_error, "optimizer": lambda hp: optax.sgd(hp["lr"])} | parts
    return jt.supervised(nn.Dense(1), train=(x, x), validation=(x, x), batch_size=8, **parts)


@pytest.fixture(scope="module")
def result():
    return jt.tune(supervised(), DESCENT_SPACE, scheduler=jt.FullBudget(2, 5), progress=False)


def test_a_callback_shows_its_own_frames():
    shown = frames(caught("tune", DESCENT, callback=called_back, progress=False))
    assert shown[-1] == ("test_entry.py", "called_back")
    assert {file for file, _ in shown} == {"test_entry.py", "entry.py"}


def test_a_failure_that_nobody_thought_of_shows_all(monkeypatch):
    def broken(*args):
        return {}["internal"]

    broken.__code__ = broken.__code__.replace(co_filename=problem.__file__)
    monkeypatch.setattr(problem, "_pinned", broken)
    assert [file for file, _ in frames(caught("tune", DESCENT))][-2:] == ["problem.py", "problem.py"]


def test_all_is_shown_on_request():
    before = jax.config.jax_traceback_filtering
    try:
        jax.config.update("jax_traceback_filtering", "off")
        shown = frames(caught("tune", DESCENT.replace(step=step)))
    finally:
        jax.config.update("jax_traceback_filtering", before)
    assert ("functions.py", "call") in shown
    assert len(shown) > 20


def test_signatures_and_docstrings_stay():
    assert list(inspect.signature(jt.tune).parameters)[:3] == ["task", "space", "scheduler"]
    assert jt.tune.__doc__.startswith("Searches a space")
