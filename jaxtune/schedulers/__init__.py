"""Schedulers: how many trials, and at which step counts who goes on. One file each; all write a `Plan`.

May import `interface`. Begin with `plan.py`.
"""

from jaxtune.schedulers.full import FullBudget
from jaxtune.schedulers.halving import SuccessiveHalving
from jaxtune.schedulers.hyperband import Hyperband
from jaxtune.schedulers.pbt import PopulationBasedTraining
from jaxtune.schedulers.plan import Exploit, Plan, Row

__all__ = ["Exploit", "FullBudget", "Hyperband", "Plan", "PopulationBasedTraining", "Row", "SuccessiveHalving"]
