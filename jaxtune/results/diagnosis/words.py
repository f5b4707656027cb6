"""Numbers and names as findings say them."""

import math
from collections.abc import Iterable, Sequence

from jaxtune.results.text import short


def percent(share: float) -> str:
    """A share as people say it.

    Example:
        >>> percent(0.853), percent(0.001), percent(0.0)
        ('85 %', 'under 1 %', '0 %')
    """
    return "under 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def counted(part: int, whole: int) -> str:
    """So many of so many, with their share.

    Example:
        >>> counted(34, 40)
        '34 of 40 (85 %)'
    """
    return f"{part} of {whole} ({percent(part / whole)})"


def of_best(part: int, whole: int) -> str:
    """How many of the best trials, the winner among them, share something with it.

    Example:
        >>> of_best(4, 5), of_best(1, 1)
        (', as 4 of the best 5 trials', '')
    """
    return f", as {part} of the best {whole} trials" if whole > 1 else ""


def rounded(value: float) -> str:
    """A number that is only meant about so, with one or two digits.

    Example:
        >>> rounded(0.00123), rounded(1234.0), rounded(15.0)
        ('0.0012', '1200', '15')
    """
    near = float(f"{value:.1e}")
    return f"{near:.0f}" if 10 <= abs(near) < 1e6 else short(near)


def outward(value: float, upper: bool, scale: float) -> float:
    """An end of a range, rounded away from its inside, to the second digit of a scale.

    Example:
        >>> outward(0.3271, True, 0.5), outward(0.003742, False, 0.003742), outward(-1.5, True, 50.0)
        (0.33, 0.0037, -1.0)
    """
    unit = 10.0 ** (math.floor(math.log10(scale)) - 1)
    steps = float(f"{value / unit:.6g}")  # 33.0000004 is 33
    return (math.ceil(steps) if upper else math.floor(steps)) * unit


def enumerated(names: Sequence[str]) -> str:
    """Names in a sentence.

    Example:
        >>> enumerated(["lr", "b1", "act"]), enumerated(["lr"])
        ('lr, b1 and act', 'lr')
    """
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), names[-1]])


def ids(trials: Iterable[int]) -> tuple[int, ...]:
    """Trial ids as plain numbers."""
    return tuple(int(one) for one in trials)
