"""Population-based training (Jaderberg et al., 2017, "Population based training of neural networks")."""

from dataclasses import dataclass

from jaxtune.interface.counts import set_counts
from jaxtune.interface.habits import hinted
from jaxtune.schedulers.plan import Exploit, Plan, Row, round_to, warn_of_rounding


@hinted
@dataclass(frozen=True)
class PopulationBasedTraining:
    """Trains a population; every `interval` steps the worst copy the best and vary their hyperparameters.

    *Exploit* is truncation selection: each trial of the lowest quantile takes the weights and hyperparameters
    of a random one of the highest. *Explore* then draws each hyperparameter anew with `resample_probability`,
    or moves it by `perturbation` up or down in the unit cube (hence on a log scale where the domain is
    logarithmic); at least one value always changes. Trials with different static hyperparameters (other
    shapes) never copy each other.

    Args:
        trials: Size of the population, at least 2.
        steps: Training steps in all, at least `interval`; rounded to a multiple of `interval`.
        interval: Steps between exploits, at least 1.
        quantile: Share that copies and share that is copied from, in (0, 0.5]; at least one trial.
        resample_probability: In [0, 1].
        perturbation: In (0, 0.5], as a share of each domain.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> import jaxtune as jt
        >>> len(jt.PopulationBasedTraining(trials=16, steps=1000, interval=100).plan().rows)
        10
    """

    trials: int
    steps: int
    interval: int
    quantile: float = 0.25
    resample_probability: float = 0.25
    perturbation: float = 0.1

    def __post_init__(self) -> None:
        owner = "PopulationBasedTraining"
        set_counts(self, "trials", "steps", "interval")
        if self.trials < 2:
            raise ValueError(f"{owner} needs trials >= 2, got trials={self.trials}.")
        if self.interval > self.steps:
            raise ValueError(f"{owner} needs interval <= steps, got interval={self.interval}, steps={self.steps}.")
        for name, value in (("quantile", self.quantile), ("perturbation", self.perturbation)):
            if not 0 < value <= 0.5:
                raise ValueError(f"{owner} needs 0 < {name} <= 0.5, got {name}={value!r}.")
        if not 0 <= self.resample_probability <= 1:
            raise ValueError(f"{owner} needs 0 <= resample_probability <= 1, got {self.resample_probability!r}.")
        warn_of_rounding(self, "steps", "interval")

    def plan(self) -> Plan:
        """The table of evaluations; every row but the last is followed by exploit and explore."""
        stops = range(self.interval, round_to(self.steps, self.interval) + 1, self.interval)
        exploit = Exploit(self.quantile, self.resample_probability, self.perturbation)
        return Plan((self.trials,), tuple(Row(stop, (self.trials,)) for stop in stops), exploit, self.interval)
