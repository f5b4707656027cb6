"""jaxtune: a scheduler, a sampler, a number of generations."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from problems.problem import ETA, MAX_STEPS, MIN_STEPS, Problem

import jaxtune as jt
from methods.found import Found

LADDER = {"min_steps": MIN_STEPS, "max_steps": MAX_STEPS, "eta": ETA}
Plan = tuple[Any, int]  # scheduler, generations
FRESH = 10  # seeds that tell what a winner is worth
MANY = 100  # trainings, of which eight candidates get their share


@dataclass(frozen=True)
class Search:
    """Parts that make a search of a budget."""

    plan: Callable[[int], Plan]
    sampler: Any = jt.Sobol()  # noqa: RUF009 - a frozen value

    def outcomes(self, problem: Problem, budget: int, seeds: Sequence[int]) -> Iterator[tuple[int, Found]]:
        """Searches real data one seed after another, and a function with all seeds at once, as one program."""
        scheduler, generations = self.plan(budget)
        how = {"scheduler": scheduler, "sampler": self.sampler, "generations": generations, "mode": "min"}
        cost = scheduler.plan().trial_steps * generations / MAX_STEPS
        if problem.regret is not None:
            for seed, hp in zip(seeds, _at_once(problem, seeds, how), strict=True):
                yield seed, Found(problem.regret(hp), None, cost)
            return
        for seed in seeds:
            task = problem.task(seed)
            result = jt.tune(task, problem.space, metric=problem.metric, seed=seed, progress=False, **how)
            value, test = result.best.metrics[problem.metric], result.test()[problem.metric]
            yield seed, Found(float(value), float(test), cost)


@dataclass(frozen=True)
class Worth:
    """What the winner of such a search is worth: on fresh seeds, or by the function itself.

    With `confirmed` a quarter of the budget goes into training the best few again, and the winner is theirs.
    """

    search: Search
    confirmed: bool

    def outcomes(self, problem: Problem, budget: int, seeds: Sequence[int]) -> Iterator[tuple[int, Found]]:
        """Searches one seed after another."""
        spared, top = (budget // 4, 4 if budget < MANY else 8) if self.confirmed else (0, 0)
        confirm = jt.Confirm(top, max(1, spared // top)) if top else None
        scheduler, generations = self.search.plan(budget - spared)
        how = {"scheduler": scheduler, "sampler": self.search.sampler, "generations": generations, "confirm": confirm}
        cost = scheduler.plan().trial_steps * generations / MAX_STEPS + spared
        for seed in seeds:
            common = {"metric": problem.metric, "mode": "min", "progress": False}
            best = jt.tune(problem.task(seed), problem.space, seed=seed, **common, **how).best
            if problem.regret is not None:
                yield seed, Found(problem.regret(best.hparams), None, cost)
                continue
            known = {name: value for name, value in best.hparams.items() if name in problem.space}
            again = jt.tune(
                problem.task(seed), problem.space, scheduler=jt.FullBudget(1, MAX_STEPS), sampler=jt.Points([known]),
                replicates=FRESH, seed=2**31 + seed, **common,
            )  # fmt: skip
            value, test = again.best.metrics[problem.metric], again.test()[problem.metric]
            yield seed, Found(float(value), float(test), cost)


def _at_once(problem: Problem, seeds: Sequence[int], how: dict) -> list[dict[str, Any]]:
    """The winner's hyperparameters for each seed."""

    @jax.jit
    @jax.vmap
    def winners(key: jax.Array) -> dict[str, jax.Array]:
        outcome = jt.search(key, problem.task(0), problem.space, metric=problem.metric, **how)
        return {name: values[outcome.best] for name, values in outcome.hparams.items()}

    found = jax.device_get(winners(jax.vmap(jax.random.key)(jax.numpy.array(seeds))))
    return [{name: values[i] for name, values in found.items()} for i in range(len(seeds))]


def full(budget: int) -> Plan:
    """All of it for full trainings."""
    return jt.FullBudget(budget, MAX_STEPS), 1


def halving(budget: int) -> Plan:
    """One halving: on this ladder nine configurations cost as much as a full training."""
    return jt.SuccessiveHalving(9 * budget, **LADDER), 1


def halvings(budget: int) -> Plan:
    """Generations of halving: 4 of small budgets, 8 of others, fewer where they would have less than 27 trials."""
    generations = max(1, min(4 if budget < 48 else 8, budget // 3))
    return jt.SuccessiveHalving(9 * budget // generations, **LADDER), generations


def hyperband(budget: int) -> Plan:
    """As many Hyperbands as the budget pays for, one after another; at least one."""
    scheduler = jt.Hyperband(**LADDER)
    return scheduler, max(1, budget * MAX_STEPS // scheduler.plan().trial_steps)


def pbt(budget: int) -> Plan:
    """A population that exploits and explores nine times."""
    return jt.PopulationBasedTraining(max(2, budget), MAX_STEPS, interval=3 * MIN_STEPS), 1
