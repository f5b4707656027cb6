"""The stream of events: what a search tells, and that no listener can end it."""

import warnings

import numpy as np
import pytest
from toys import DESCENT, DESCENT_SPACE, ONE

import jaxtune as jt
from jaxtune.drivers.generations import Generations
from jaxtune.drivers.setup import set_up
from jaxtune.drivers.study import Study
from jaxtune.engine.host import Host
from jaxtune.monitoring.events import Decided, Evaluated, Finished, Interrupted, Progressed, Reached, Started, Stream

HALVING = jt.SuccessiveHalving(trials=9, min_steps=10, max_steps=90)


def searched(*listeners, callback=None):
    search = set_up(DESCENT, DESCENT_SPACE, HALVING, jt.Sobol(), "loss", None, 1, 0, ONE)
    return Generations(search, Host(), Stream(listeners)).run(callback)


def test_a_search_tells_what_happens_in_order():
    heard = []
    result = searched(heard.append)
    kinds = [type(event) for event in heard if not isinstance(event, Progressed)]
    rung = [Evaluated, Decided, Reached]
    assert kinds == [Started, *rung, *rung, Evaluated, Reached, Finished]
    assert heard[-1].result is result
    evaluated = [event for event in heard if isinstance(event, Evaluated)]
    assert [event.step for event in evaluated] == [10, 30, 90]
    np.testing.assert_array_equal(evaluated[0].metrics["loss"], result.history.metrics["loss"][0])
    decided = [event for event in heard if isinstance(event, Decided)]
    assert [int(event.training.sum()) for event in decided] == [3, 1]
    progressed = [event for event in heard if isinstance(event, Progressed)]
    assert progressed[-1].lane_steps == result.history.lane_steps[-1] == heard[0].lane_steps
    assert progressed[-1].best == pytest.approx(result.best.metrics["loss"])


def test_a_listener_that_fails_is_reported_once_and_hears_nothing_more():
    calls, heard = [], []

    def broken(event):
        calls.append(event)
        raise OSError("disk full")

    with pytest.warns(UserWarning, match=r"broken failed .* OSError\('disk full'\)") as caught:
        result = searched(broken, heard.append)
    assert len(calls) == len(caught) == 1
    assert isinstance(heard[-1], Finished)
    assert result.best.status == "finished"


def test_the_users_callback_is_no_listener():
    """It ends the search, and what is known by then is told."""
    heard = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = searched(heard.append, callback=lambda result: True)
    assert result.interrupted
    assert [event.step for event in heard if isinstance(event, Interrupted)] == [10]


def test_the_record_has_the_widths():
    search = set_up(DESCENT, DESCENT_SPACE, HALVING, jt.Sobol(), "loss", None, 1, 0, ONE)
    study = Study(search, Host(), Stream(), begin=0.0)
    (group,) = study.groups.groups
    assert study.record.widths == [(0, group.layout.width)]
    study._narrowed(group)
    assert study.record.widths == [(0, group.layout.width)] * 2
