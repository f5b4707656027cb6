"""Warnings point at the user's line."""

import contextlib
import functools
import warnings

import pytest

from jaxtune.interface import warning
from jaxtune.schedulers import PopulationBasedTraining


def test_the_line_is_the_first_one_outside():
    with pytest.warns(UserWarning, match="instead of steps=25") as caught:
        PopulationBasedTraining(4, 25, 10)
    assert caught[0].filename == __file__


def test_decorators_of_the_standard_library_are_passed_by():
    @contextlib.contextmanager
    def context():
        yield

    code = "def inside(): warn('here')"
    inside = {"warn": warning.warn}
    exec(compile(code, warning.OWN + "somewhere.py", "exec"), inside)
    decorated = context()(functools.partial(inside["inside"]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decorated()
    assert [one.filename for one in caught] == [__file__]
