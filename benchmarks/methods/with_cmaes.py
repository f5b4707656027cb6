"""CMA-ES by the package `cmaes`: populations of its default size, all trained to the end."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from cmaes import CMA
from problems.problem import MAX_STEPS, Problem

import jaxtune as jt
from methods.found import Found
from methods.training import Trainer


class Search:
    """CMA-ES in the unit cube."""

    def outcomes(self, problem: Problem, budget: int, seeds: Sequence[int]) -> Iterator[tuple[int, Found]]:
        """Searches one seed after another; the last population may be cut off."""
        space = jt.Space.of(problem.space)
        bounds = np.tile([0.0, 1.0], (space.num_dims, 1))
        for seed in seeds:
            trainer, best = Trainer(problem, seed), (math.inf, None, None)
            optimizer = CMA(mean=np.full(space.num_dims, 0.5), sigma=0.3, bounds=bounds, seed=seed)
            told = []
            for _ in range(budget):
                point = optimizer.ask()
                hp = space.row(space.decode(point[None].astype(np.float32)), 0)
                state, value = trainer.train(hp, None, 0, MAX_STEPS)
                best = min(best, (value, hp, state), key=lambda found: found[0])
                told.append((point, min(value, 1e9)))
                if len(told) == optimizer.population_size:
                    optimizer.tell(told)
                    told = []
            value, hp, state = best
            yield seed, Found(*trainer.outcome(hp, state, value), trainer.steps / MAX_STEPS)
