"""Full budget: one row."""

import pytest

from jaxtune import FullBudget
from jaxtune.schedulers import Plan, Row


def test_table():
    assert FullBudget(trials=7, steps=30).plan() == Plan(brackets=(7,), rows=(Row(30, (7,)),))


@pytest.mark.parametrize("name", ["trials", "steps"])
@pytest.mark.parametrize("value", [0, -3, 2.0, True, "4", None])
def test_needs_whole_numbers(name, value):
    with pytest.raises(ValueError, match=f"FullBudget needs {name} to be a whole number >= 1, got {name}={value!r}"):
        FullBudget(**{"trials": 4, "steps": 10, name: value})
