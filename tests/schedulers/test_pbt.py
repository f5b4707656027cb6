"""Population-based training: its table and its arguments."""

import pytest

from jaxtune import PopulationBasedTraining
from jaxtune.schedulers import Exploit, Plan, Row


def test_table():
    plan = PopulationBasedTraining(4, 30, 10, quantile=0.5, resample_probability=0.1, perturbation=0.2).plan()
    rows = (Row(10, (4,)), Row(20, (4,)), Row(30, (4,)))
    assert plan == Plan(brackets=(4,), rows=rows, exploit=Exploit(0.5, 0.1, 0.2), multiple=plan.rows[0].stop)
    assert plan.trial_steps == 120


@pytest.mark.filterwarnings("ignore:.* steps instead of")
@pytest.mark.parametrize(("steps", "stops"), [(14, [10]), (16, [10, 20]), (39, [10, 20, 30, 40])])
def test_steps_are_rounded_to_multiples_of_the_interval(steps, stops):
    assert [row.stop for row in PopulationBasedTraining(2, steps, 10).plan().rows] == stops


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trials": 1}, "needs trials >= 2, got trials=1"),
        ({"trials": 0}, "needs trials to be a whole number >= 1, got trials=0"),
        ({"steps": 2.5}, "needs steps to be a whole number >= 1, got steps=2.5"),
        ({"interval": True}, "needs interval to be a whole number >= 1, got interval=True"),
        ({"interval": 31}, "needs interval <= steps, got interval=31, steps=30"),
        ({"quantile": 0}, "needs 0 < quantile <= 0.5, got quantile=0"),
        ({"quantile": 0.51}, "needs 0 < quantile <= 0.5, got quantile=0.51"),
        ({"perturbation": float("nan")}, "needs 0 < perturbation <= 0.5, got perturbation=nan"),
        ({"perturbation": -0.1}, "needs 0 < perturbation <= 0.5, got perturbation=-0.1"),
        ({"resample_probability": 1.1}, "needs 0 <= resample_probability <= 1, got 1.1"),
        ({"resample_probability": float("nan")}, "needs 0 <= resample_probability <= 1, got nan"),
    ],
)
def test_bad_arguments(change, message):
    with pytest.raises(ValueError, match=f"PopulationBasedTraining {message}"):
        PopulationBasedTraining(**{"trials": 4, "steps": 30, "interval": 10} | change)


@pytest.mark.parametrize("change", [{"quantile": 0.5}, {"perturbation": 0.5}, {"resample_probability": 0}])
def test_bounds_are_allowed(change):
    assert PopulationBasedTraining(4, 30, 10, **change).plan().exploit is not None
