"""`tune`: a search driven from the host, row by row of its plan."""

import os
from collections.abc import Callable, Mapping
from typing import Any

from jaxtune.drivers import arguments
from jaxtune.drivers.confirming import with_confirmation
from jaxtune.drivers.generations import Generations
from jaxtune.drivers.reporting import Reporting, report_end
from jaxtune.drivers.run import Run
from jaxtune.drivers.setup import set_up
from jaxtune.engine.host import Host, deadline, interrupts
from jaxtune.engine.placement import Placement
from jaxtune.engine.search import Search
from jaxtune.interface.cores import hint
from jaxtune.interface.counts import check_seconds
from jaxtune.interface.entry import entry
from jaxtune.monitoring.events import Stream
from jaxtune.monitoring.progress import Progress
from jaxtune.results.confirming.confirm import Confirm, check_confirm
from jaxtune.results.manifest import manifest
from jaxtune.results.result import Result
from jaxtune.samplers import Sobol
from jaxtune.samplers.sampler import Sampler
from jaxtune.schedulers.plan import Scheduler
from jaxtune.spaces.space import Space
from jaxtune.storage.directory import Writer
from jaxtune.tasks.task import Task


@entry
def tune(
    task: Task,
    space: Space | Mapping[str, Any],
    *,
    scheduler: Scheduler,
    sampler: Sampler = Sobol(),  # noqa: B008 - a frozen value
    generations: int = 1,
    metric: str = "loss",
    mode: str | None = None,
    replicates: int = 1,
    folds: Any = None,
    evaluate_every: int | None = None,
    patience: int | None = None,
    keep: str = "last",
    keep_weights: int = 1,
    confirm: Confirm | None = None,
    time_limit: float | None = None,
    directory: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    strict: bool = False,
    checkpoint_every: float | None = None,
    seed: int = 0,
    previous: Result | None = None,
    callback: Callable[[Result], Any] | None = None,
    progress: bool = True,
    placement: Placement = Placement(),  # noqa: B008 - a frozen value
) -> Result:
    """Searches a space for the hyperparameters that train a task best.

    All trials train side by side in one compiled program (one per combination of static hyperparameters); the
    scheduler's rungs decide who goes on. Equal arguments on equal devices give equal results, bit for bit, as long as
    equally many lanes are trained at once: before a long search that number is measured and kept in the user's cache
    folder; `Placement(lanes=...)` fixes it. `plan` tells beforehand what a search will take. When memory runs out the
    search goes on with fewer lanes at once.

    Args:
        task: What one trial is: from `supervised`, or a `Task`.
        space: dict name -> domain or constant. `batch_size` in it takes the place of the task's; the scheduler goes
            on counting steps of the task's batch size, that is examples, so that a trial with `batch_size=b` makes
            `steps * task.batch_size / b` updates, rounded up.
        scheduler: How many trials, and who goes on: `SuccessiveHalving`, `Hyperband`, `PopulationBasedTraining`,
            `FullBudget`.
        sampler: How trials are chosen: `Sobol`, `Random`, `Grid`, `Points`. No configuration is trained twice unless
            the space has fewer than there are trials; a warning says so.
        generations: How many times the scheduler's plan runs, each time with new configurations, which the sampler
            proposes from all that was seen by then. Each has fresh initial weights, batches and masks, so that nobody
            learns the luck of a seed: values of one generation are paired, those of several are not. With `directory`,
            more generations than before go on with a search that is over.
        metric: A name that the task reports; decides at rungs and ranks the result.
        mode: "min" or "max"; may be left out for the loss and for metrics of `jt.metrics`.
        replicates: Seeds per trial, at least 1, trained as further lanes; trials are ranked by the mean.
        folds: Cross-validation on `train`, as further lanes, ranked by the mean: a number of folds (stratified where
            targets are labels: whole numbers, bools, one-hot) or pairs (train indices, validation indices). The task
            then has no validation data. Where the number doesn't divide that of the examples, some validate in two
            folds, which have to be equally large.
        evaluate_every: Evaluate every so many steps besides, for curves, `patience` and `keep`; no more than there
            are. Small or odd numbers shorten the innermost loop of the program, which costs time.
        patience: A trial whose metric has not improved for so many evaluations stops training, and competes with the
            value it has. Rungs are the only evaluations without `evaluate_every`.
        keep: The weights and the value that count: "last", or "best", a checkpoint of each trial at its best
            evaluation, which doubles the memory of the states.
        keep_weights: How many of the best trials keep their weights, on the host: `result.ranking[i].predict(x)` for
            `i < keep_weights`. Those that were pruned have none, nor have those that ended in an earlier call (in
            `directory`, or `previous`) which kept fewer; a warning names these.
        confirm: A `Confirm`: train the best few again at the end, on seeds that the search never used, as
            `Result.confirm` does. Then `best`, `test`, `gap`, `refit` and the pictures are about the winner of that;
            `ranking` keeps what the search saw.
        time_limit: Seconds, compiling included, after which the search ends as by Ctrl-C, once the calls of programs
            that are running then are done and evaluated. There is always a result, and a search in `directory` comes
            further with each call, however short: by a call of a program, or by one seed of `confirm`.
        directory: A folder in which the search is kept, which may be new. The same call again goes on from its last
            checkpoint, to the same end, bit for bit; or returns the result, if the search is over. `jt.load` reads it
            without the task. With it, SIGTERM ends a search as Ctrl-C does, and then the process.
        overwrite: Delete the run that is in `directory`.
        strict: Refuse to go on with other versions of jax or jaxlib, or another kind of device, than the search began
            with, where last bits may differ; else a warning says so.
        checkpoint_every: Seconds between checkpoints, besides those at rungs; None for as often as costs at most 3 % of
            the time.
        seed: Of everything random.
        previous: An earlier result to go on from, of the same metric, replicates and folds. Trial ids continue, the
            sampler sees its trials, and the result is about both.
        callback: Called with the result so far after every evaluation; returning True ends the search.
        progress: Whether to show a progress bar (a line per rung where the output is no terminal).
        placement: Devices, and lanes trained at once.

    Returns:
        The result. After Ctrl-C, or when time or the callback ended the search, it holds what is known by then and
        `interrupted` is True; without weights where a device was still busy after some two seconds. An exception of
        the callback ends the search too, and has the result so far as its attribute `result`.

    Raises:
        TypeError: An argument or a result of a user function has the wrong type; before anything compiles.
        ValueError: An argument has a wrong value, or `directory` holds another search; before anything compiles.
        RuntimeError: Another process is searching in `directory`.
        KeyError: The task reads a hyperparameter that the space lacks; before anything compiles.
        MemoryError: The population can't fit, and says how many lanes would; or there is not even memory to train one
            lane at once up to the first evaluation.
        KeyboardInterrupt: Ctrl-C before the first evaluation, or pressed twice.
        Exception: What the callback raises, with the result so far as `error.result`.

    Example:
        >>> import flax.linen as nn, numpy as np, optax
        >>> import jaxtune as jt
        >>> x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
        >>> task = jt.supervised(
        ...     nn.Dense(1), optimizer=lambda hp: optax.sgd(hp["lr"]), loss=optax.squared_error,
        ...     train=(x, 3 * x), validation=(x, 3 * x), batch_size=16,
        ... )
        >>> result = jt.tune(task, {"lr": jt.LogUniform(1e-4, 0.5)}, scheduler=jt.FullBudget(8, 50), progress=False)
        >>> result.best.status
        'finished'
    """
    arguments.check_metric(metric)
    check_seconds("checkpoint_every", checkpoint_every)
    host = Host(deadline(time_limit))
    arguments.check_callback(callback)
    common = task, space, scheduler, sampler, metric, mode, replicates, seed, placement
    search = set_up(*common, folds, evaluate_every, keep, keep_weights, patience, generations)
    arguments.check_previous(previous, search)
    known = 0 if previous is None else len(previous.trials)
    check_confirm(confirm, known + search.plan.trials * search.generations)
    advice = hint(list(search.mesh.devices.flat))
    view = Progress(search.lane_steps, search.plan.steps, progress, compiling=lambda: host.compiling, hint=advice)
    if directory is None:
        with interrupts(host):
            with view:
                result = Generations(search, host, Stream([view]), previous).run(callback)
            return with_confirmation(result, search, confirm, host, progress)
    what = manifest(search, evaluate_every, previous)
    with Writer(directory, overwrite) as folder, interrupts(host, terminated=True):
        run = Run(folder, what, search, previous, checkpoint_every, strict)
        over = run.result() if run.is_over else None
        found = _run(run, search, host, view, previous, callback) if over is None else over
        result = with_confirmation(found, search, confirm, host, progress, folder)
        if result is not over:
            report_end(result, folder.path)
        return result


def _run(
    run: Run, search: Search, host: Host, view: Progress, previous: Result | None, callback: Callable | None
) -> Result:
    """Searches in a folder, from where it stands."""
    told = None if callback is None else lambda result: callback(run.counted(result))
    try:
        with view:
            stream = Stream([run.keeper, Reporting(run.folder.path), view])
            return run.counted(Generations(search, host, stream, previous, run.saved).run(told, run.begin))
    except BaseException as error:
        known = getattr(error, "result", None)
        if isinstance(known, Result):
            run.counted(known)
        raise
    finally:
        run.keeper.close()
