"""The useful share of lane-steps: those of trials in training, within their budget, against all rows computed.

A device trains whole chunks of `width` rows, so that some rows of the last chunk may be padding. Which layout a
population is in on its way to each row of the plan, and how many chunks each device then computes, is asked of the
engine (`Width.layouts`, `fitting`, `num_chunks`), without training anything. What diverged goes on being computed up
to the next rung: that depends on the data, and counts as useful here.
"""

import jax
import numpy as np
from architectures import MLP
from jax.sharding import PartitionSpec

import jaxtune as jt
from jaxtune.engine.lanes import AXIS, num_chunks
from jaxtune.engine.layouts import fitting
from jaxtune.engine.search import Search
from jaxtune.engine.width import Width
from jaxtune.spaces.space import Space
from jaxtune.tasks.problem import resolve
from limit.report import table, verdict
from limit.tasks import SPACE, task

TARGET = 0.95
WIDTHS = (64, 256)


def useful(quick):
    """Prints the useful share for each scheduler and some numbers of trials."""
    cases = [case for case in _schedulers() if not quick or case[1].plan().trials in (16, 64)]
    rows, missed = [], []
    for width in WIDTHS[:1] if quick else WIDTHS:
        problem = resolve(task(MLP(width)), Space.of(SPACE), "loss", "min")
        for name, scheduler in cases:
            share, layouts = of_plan(problem, scheduler.plan())
            path = " ".join(f"{layout.rows}/{layout.width}" for layout in dict.fromkeys(layouts))
            plan = scheduler.plan()
            population = "-".join(map(str, dict.fromkeys(plan.population)))
            rows.append((f"MLP {width}", name, population, f"{plan.trial_steps:,}", path, f"{share:.1%}"))
            if share < TARGET:
                missed.append(f"{name} on MLP {width} ({share:.1%})")
    header = ["model", "scheduler", "trials in training", "useful lane-steps"]
    header += ["rows / chunk per device", "useful share"]
    print(f"{len(jax.devices())} devices\n")
    print(table(header, rows))
    print(verdict("at least 95 % useful", missed))


def _schedulers():
    """Round and odd numbers of trials: an odd one pads the last chunk all the way."""
    full = [(f"FullBudget({n}, 3200)", jt.FullBudget(n, 3200)) for n in (16, 100, 512, 1000)]
    halving = [
        (f"SuccessiveHalving({n}, 50, 3200, eta={eta})", jt.SuccessiveHalving(n, 50, 3200, eta=eta))
        for n, eta in ((64, 4), (512, 4), (1000, 3), (4096, 4))
    ]
    hyperband = [
        (f"Hyperband(50, {steps}, eta={eta})", jt.Hyperband(50, steps, eta=eta))
        for steps, eta in ((3200, 4), (4050, 3))
    ]
    pbt = [
        (f"PopulationBasedTraining({n}, 3200, 200)", jt.PopulationBasedTraining(n, 3200, 200)) for n in (16, 32, 100)
    ]
    return full + halving + hyperband + pbt


def of_plan(problem, plan):
    """The share of the rows computed that train a trial, and the layout on the way to each row of the plan."""
    search = Search(problem.task, problem, plan, jt.Random(), 0, jt.Placement())
    layouts = Width(search, problem.first, plan.trials).layouts
    steps = np.diff([0, *(row.stop for row in plan.rows)])
    path = [layouts[0]]
    for count in plan.population[1:]:
        path.append(fitting(layouts, count))
    computed = sum(rows_computed(layout, n) * s for layout, n, s in zip(path, plan.population, steps, strict=True))
    return plan.trial_steps / computed, path


def rows_computed(layout, count):
    """Rows that all devices compute in a step to train so many trials, from the engine's own count of chunks."""
    chunks = jax.shard_map(
        lambda n: num_chunks(n, layout).reshape(1),
        mesh=layout.mesh,
        in_specs=PartitionSpec(),
        out_specs=PartitionSpec(AXIS),
        check_vma=False,
    )
    return int(np.sum(chunks(np.int32(count)))) * layout.width
