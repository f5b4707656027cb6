"""`help`: the entry points first, what results offer, types as people read them, examples as users write them."""

import inspect
import pydoc
import re

import pytest

import jaxtune as jt
from jaxtune.interface.entry import given_back
from jaxtune.interface.signatures import make_readable
from jaxtune.practice.overfit import OverfitCheck
from jaxtune.practice.range_test import RangeTest
from jaxtune.practice.sensitivity import Sensitivity
from jaxtune.practice.staged import Staged
from jaxtune.results.confirming.confirmation import Confirmation

MODULES = [getattr(jt, name) for name in jt.__all__ if inspect.ismodule(getattr(jt, name))]
PUBLIC = {name: getattr(jt, name) for name in jt.__all__ if getattr(jt, name) not in MODULES}
INSIDE = {f"{module.__name__}.{name}": getattr(module, name) for module in MODULES for name in module.__all__}
GIVEN_BACK = [
    jt.Result,
    jt.Trial,
    jt.Ensemble,
    jt.Outcome,
    jt.Nested,
    jt.SearchPlan,
    Confirmation,
    OverfitCheck,
    RangeTest,
    Sensitivity,
    Staged,
]


def shown(value):
    return pydoc.plain(pydoc.render_doc(value))


def test_the_package_opens_with_its_entry_points():
    opening = jt.__doc__.split("\n\n")[0] + shown(jt).partition("PACKAGE CONTENTS")[0]
    missing = [name for name in jt.__all__ if not re.search(rf"\b{name}\b", opening)]
    # what comes back is told by the functions that give it
    assert set(missing) <= {"Trial", "Ensemble", "Outcome", "Nested", "SearchPlan", "Space"}
    assert opening.index("tune ") < opening.index("supervised") < opening.index("Uniform") < opening.index("Sobol")


@pytest.mark.parametrize("value", GIVEN_BACK, ids=lambda value: value.__name__)
def test_what_is_given_back_starts_with_what_it_offers(value):
    _, _, title, first, *_ = shown(value).splitlines()
    assert title.startswith(f"class {value.__name__}(")
    assert first.removeprefix(" |  ") == value.__doc__.splitlines()[0]


def test_a_result_names_its_methods_first():
    methods = {name for name, value in vars(jt.Result).items() if inspect.isfunction(value) and name[0] != "_"}
    offered = jt.Result.__doc__.partition("Attributes:")[0]
    assert all(f"`{name}()`" in offered for name in methods)


@pytest.mark.parametrize("name", [*PUBLIC, *INSIDE])
def test_types_are_readable(name):
    lines = [line for line in shown((PUBLIC | INSIDE)[name]).splitlines() if "(" in line and ": " in line]
    text = "\n".join(line for line in lines if re.match(r"[ |]*\w+\(.*\)( -> .*)?$", line))
    assert not re.search(r": '|-> '|_jax|collections\.abc|typing\.|Union\[|jaxtune\.", text), text


@pytest.mark.parametrize("name", [*PUBLIC, *INSIDE])
def test_examples_are_what_users_write(name):
    value = (PUBLIC | INSIDE)[name]
    own = [x for x in vars(value).values() if inspect.isfunction(x)] if inspect.isclass(value) else []
    for doc in (one.__doc__ for one in [value, *own] if one.__doc__ and ">>>" in one.__doc__):
        assert ">>> import jaxtune as jt" in doc
        assert not set(jt.__all__).intersection(
            re.findall(r"\w+", " ".join(re.findall(r"from jaxtune.* import (.*)", doc)))
        )
        bare = [n for n in PUBLIC if re.search(rf"^ *(>>>|\.\.\.).*(?<![\w.\"'=]){n}\(", doc, re.MULTILINE)]
        assert not bare


def test_signatures_keep_their_meaning():
    """Types that were written out, quoted, or behind a decorator; defaults and kinds stay."""

    def function(a: "list[int]", *, b: jt.Task | None = None) -> "jt.Result": ...

    make_readable(function)
    assert str(inspect.signature(function)) == "(a: list[int], *, b: Task | None = None) -> Result"
    assert function.__annotations__["a"] == "list[int]"
    make_readable(function)
    assert inspect.signature(function).parameters["b"].default is None


def test_what_is_given_back_can_be_made_all_the_same():
    @given_back
    class Point:
        def __init__(self, x):
            self.x = x

    make_readable(Point)
    assert Point(3).x == 3
    assert str(inspect.signature(Point)) == "()"
