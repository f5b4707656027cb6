"""What a search found."""

from typing import NamedTuple


class Found(NamedTuple):
    """The winner of a search.

    Attributes:
        value: On validation data, as it was selected; of a function its regret.
        test: On test data; None for a function.
        cost: Lane-steps spent, in full trainings.
    """

    value: float
    test: float | None
    cost: float
