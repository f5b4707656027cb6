"""What pictures are drawn from, without a browser."""

import math

import numpy as np
import pytest
from histories import make_history
from reports import halving

import jaxtune as jt
from jaxtune.results.report.contents import contents
from jaxtune.results.report.figures import contour, frame, isolation, parallel, slices
from jaxtune.results.report.figures.rows import make_rows
from jaxtune.results.result import Result
from jaxtune.spaces.space import Space
from jaxtune.spaces.written import space_written

BRANCHES = {"opt": jt.Choice({"sgd": {"momentum": jt.Uniform(0.0, 1.0), "k": 5}, "adam": {}})}


def branched():
    rows = tuple({"opt": "sgd", "momentum": t / 20, "k": 5} if t % 2 else {"opt": "adam"} for t in range(20))
    history = make_history(np.arange(1.0, 21.0)[None], [10], hparams=rows, metric="loss")
    return Result(history, metric="loss", mode="min", seed=0, ended=True, space=space_written(Space.of(BRANCHES)))


def test_who_lacks_a_hyperparameter_is_drawn_nowhere():
    found = contents(branched())
    rows = make_rows(found)
    names = [one["name"] for one in found["hyperparameters"]]
    slices.panel(found, rows, names.index("momentum"))
    x = rows.source.data[f"x{names.index('momentum')}"]
    lacking = [value is None for value in found["trials"]["hyperparameters"]["momentum"]]
    assert [math.isnan(place) for place in x] == lacking
    if found["contour"]:
        contour.figure(found, rows)
        assert [math.isnan(a + b) for a, b in zip(rows.source.data["across"], rows.source.data["up"], strict=True)]


def test_a_constant_of_one_branch_lies_on_its_axis():
    found = contents(branched())
    rows = make_rows(found)
    parallel.figure(found, rows)
    axis = [one["name"] for one in found["hyperparameters"]].index("k")
    places = {line[axis] for line in rows.source.data["places"]}
    assert places == {0.5, parallel._NOTHING}
    assert parallel.ticks_of(found["hyperparameters"][axis]) == {0.5: "5"}


def test_parts_of_a_range_in_which_all_diverged_lie_at_the_worse_edge():
    found = contents(halving(64, lost=60))
    rows = make_rows(found)
    made = isolation.panel(found, rows, 0)
    source = made.renderers[0].data_source
    for told, value, mark in zip(*(source.data[name] for name in ("told", "value", "mark")), strict=True):
        assert (mark == "x") == (told == "none") == (value == pytest.approx(rows.values.high, rel=1e-4))
    assert "x" in source.data["mark"]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_scales_leave_out_what_lies_far_out_and_nothing_else(mode):
    sign = 1 if mode == "min" else -1
    even = [sign * v for v in range(1, 41)]
    scale = frame.value_scale(even, mode)
    assert scale.low < min(even)
    assert scale.high > max(even)
    far = frame.value_scale([*even, sign * 1e6, None], mode)
    assert max(abs(far.low), abs(far.high)) < 100
    assert frame.value_scale([*even, sign * 1e6], mode, whole=True).place([sign * 1e6])[0] in (
        pytest.approx(1, abs=0.1),
        pytest.approx(0, abs=0.1),
    )


def test_values_over_many_decades_are_on_a_logarithmic_scale():
    scale = frame.value_scale([1e-4, 1e-3, 1e-2, 0.1, 1.0], "min")
    assert scale.log
    np.testing.assert_allclose(scale.place([1e-4, 1e-2, 1.0])[1], 0.5, atol=1e-9)


def test_names_of_users_change_no_ticks():
    rows = tuple({"warmup_steps": t / 100, "trials": t / 50} for t in range(12))
    history = make_history(np.arange(1.0, 13.0)[None], [10], hparams=rows, metric="loss")
    found = contents(Result(history, metric="loss", mode="min", seed=0, ended=True))
    for number in (0, 1):
        made = slices.panel(found, make_rows(found), number)
        assert type(made.xaxis.formatter).__name__ == "BasicTickFormatter"
