"""Practice: what to find out before, while and after a search, each built on `jaxtune.tune`."""

from jaxtune.practice.overfit import OverfitCheck, overfit_check
from jaxtune.practice.range_test import RangeTest, lr_range_test
from jaxtune.practice.sensitivity import Sensitivity, sensitivity
from jaxtune.practice.staged import Staged, staged

__all__ = [
    "OverfitCheck",
    "RangeTest",
    "Sensitivity",
    "Staged",
    "lr_range_test",
    "overfit_check",
    "sensitivity",
    "staged",
]
