"""From the trials of a search that keep their weights to an ensemble."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from jaxtune.interface.counts import check_whole
from jaxtune.interface.entry import entry
from jaxtune.results.averaging.averages import Combine, both_ways
from jaxtune.results.averaging.ensemble import Ensemble
from jaxtune.results.averaging.kept import kept_ensemble
from jaxtune.results.averaging.outputs import Outputs, digest_of
from jaxtune.results.averaging.selection import bagged
from jaxtune.results.trained import without_task
from jaxtune.tasks.combining import Both
from jaxtune.tasks.fingerprints import array_digest


class Ensembling:
    """What can be made of several trials of a `Result`."""

    @entry
    def ensemble(
        self: Any,
        size: int = 5,
        *,
        bags: int = 20,
        combine: Any = None,
        directory: str | os.PathLike[str] | None = None,
    ) -> Ensemble:
        """Average the trials that go together best on the validation data: greedy ensemble selection.

        Candidates are the trials that keep their weights, so search with `tune(keep_weights=20)`, say. Starting from
        none, the trial is added whose outputs improve the metric of the averaged outputs most, again and again and the
        same one as often as it helps; the best beginning of that course is kept. This is done in `bags` random halves
        of the candidates (of few candidates in all of them, once), and the selections are averaged: Caruana et al.,
        "Ensemble selection from libraries of models", ICML 2004, whose method without bags is that of auto-sklearn
        (Feurer et al., "Efficient and robust automated machine learning", NeurIPS 2015).

        Selecting on validation data overfits them: the value that an ensemble has there is optimistic, and more so
        than that of the best trial, because it is the best of many more averages. Bags, small sizes and large
        validation splits make it less so. Only `Ensemble.test` tells, once, what the ensemble is worth.

        In a cross-validation each fold's examples are predicted by the models that were not trained on them, and the
        mean over folds of the metric selects, as everywhere else. The validation outputs of all candidates are held
        in memory.

        Args:
            size: how many trials are selected in each bag, at least 1; one may be selected several times.
            bags: random halves of the candidates, of which there are at least `size` in each where there are so many;
                1 is one selection from all of them, and gives at most `size` different trials. The seed of the search
                draws them.
            combine: what is averaged instead of outputs, a pair of functions from outputs to that and back, such as
                `(jax.nn.softmax, jnp.log)` for the mean probabilities of classifiers. They are compiled.
            directory: a folder for the selection (`ensemble.json`) and the weights of its trials; the same call again
                finds them.

        Returns:
            The trials with their weights; its text, and `beats_best`, say where it is no better than the best trial.

        Raises:
            ValueError: fewer than two trials keep their weights, the task has no outputs (it is none of `supervised`)
                or is not at hand, outputs differ in shape, a number is below 1, or the folder holds something else.
            TypeError: outputs are no floats, so that there is no average, or `combine` is no pair of functions.

        Example:
            >>> import flax.linen as nn, numpy as np, optax
            >>> import jaxtune as jt
            >>> x = np.linspace(-1, 1, 60, dtype=np.float32)[:, None]
            >>> task = jt.supervised(
            ...     nn.Sequential([nn.Dense(8), nn.tanh, nn.Dense(1)]), optimizer=lambda hp: optax.adam(hp["lr"]),
            ...     loss=optax.squared_error, batch_size=10, train=(x[::3], x[::3] ** 2),
            ...     validation=(x[1::3], x[1::3] ** 2), test=(x[2::3], x[2::3] ** 2),
            ... )
            >>> space, scheduler = {"lr": jt.LogUniform(1e-3, 0.1)}, jt.FullBudget(8, 50)
            >>> result = jt.tune(task, space, scheduler=scheduler, keep_weights=6, progress=False)
            >>> ensemble = result.ensemble(size=3, bags=1)
            >>> 1 <= len(ensemble.members) <= 3, ensemble.metrics["loss"] <= ensemble.best_metrics["loss"]
            (True, True)
            >>> tested = ensemble.test()
            >>> sorted(tested), result.num_tests
            (['loss'], 1)
        """
        size, bags, both = check_whole("size", size), check_whole("bags", bags), both_ways("ensemble()", combine)
        kept = _candidates(self)
        first = next(iter(kept.values()))

        def select() -> dict[str, Any]:
            return _selected(self, kept, size, bags, both)

        if directory is None:
            found = select()
        else:
            found = kept_ensemble(directory, _asked(self, kept, size, bags, both), kept, select)
        members = {trial: kept[trial] for trial, _ in found["members"]}

        def test() -> dict[str, np.ndarray]:
            if first.task.test is None:
                raise ValueError("test() needs test data: give the task test=.")
            weights = np.array([weight for _, weight in found["members"]])
            tested = Outputs.of(members, "test", both).metrics(weights)
            self._count_test()
            return tested

        return Ensemble(
            members=[(self.trials[trial], weight) for trial, weight in found["members"]],
            metrics=found["metrics"],
            best=self.trials[found["best"]],
            best_metrics=found["best_metrics"],
            beats_best=_sign(self) * found["metrics"][self.metric] < _sign(self) * found["best_metrics"][self.metric],
            metric=self.metric,
            mode=self.mode,
            num_folds=self.num_folds,
            _combine=Combine.of(both),
            _test=test,
        )


def _candidates(result: Any) -> dict[int, Any]:
    """Id -> weights of trials that keep them, best first.

    Raises:
        ValueError: There are fewer than two, or they have no outputs.
    """
    kept = {trial: result.weights[trial] for trial in result._order if trial in result.weights}
    if any(not hasattr(one, "task") for one in kept.values()):
        raise without_task("ensemble()")
    if kept and not next(iter(kept.values())).task.evaluation.has_model:
        raise ValueError("ensemble() needs a task made by jt.supervised: this one has no outputs to average.")
    if len(kept) < 2:
        count = "only one trial keeps its" if kept else "no trial keeps its"
        raise ValueError(
            f"ensemble() averages trials that keep their weights, and {count}: search with tune(keep_weights=20), say; "
            "pruned and diverged ones keep none."
        )
    return kept


def _sign(result: Any) -> float:
    return 1.0 if result.mode == "min" else -1.0


def _asked(result: Any, kept: dict[int, Any], size: int, bags: int, both: Both | None) -> dict[str, Any]:
    """What decides who is selected, as JSON."""
    first = next(iter(kept.values()))
    return {
        "candidates": {str(trial): array_digest(winner.states) for trial, winner in kept.items()},
        **{name: getattr(result, name) for name in ("metric", "mode", "seed", "conditions")},
        "size": size,
        "bags": bags,
        "combine": digest_of(first.trained, first._data("validation", 0), both),
    }


def _selected(result: Any, kept: dict[int, Any], size: int, bags: int, both: Both | None) -> dict[str, Any]:
    """The ensemble as plain values."""
    ids, outputs = list(kept), Outputs.of(kept, "validation", both)
    values = outputs.costs_of(result.metric)
    weights = bagged(lambda counts: _sign(result) * values(counts), len(ids), size, bags, result.seed)
    alone = _sign(result) * values(np.zeros(len(ids), int))
    best = int(np.argmin(np.where(np.isnan(alone), np.inf, alone)))

    def metrics(weights: np.ndarray) -> dict[str, float]:
        return {name: float(np.mean(x)) for name, x in outputs.metrics(weights).items()}

    order = [int(k) for k in np.argsort(-weights, kind="stable") if weights[k] > 0]
    return {
        "members": [(ids[k], float(weights[k])) for k in order],
        "metrics": metrics(weights),
        "best": ids[best],
        "best_metrics": metrics(np.eye(len(ids))[best]),
    }
