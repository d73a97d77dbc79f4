"""What a benchmark can find out beside comparisons: a short table of its own, and how time grows with size.

Here: the records and the fit of an exponent. Not here: how they are shown (`report`, `plot`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from smartdiet_assets_tests.benchmarks.measuring import Comparison


@dataclass(frozen=True)
class Listing:
    """A short table of words, shares and counts."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Growth:
    """How the time of one way of working grows with the rows, relative to its time at the first size."""

    name: str
    rows: Sequence[int]
    times: Sequence[float]

    @property
    def exponent(self) -> float:
        """The slope of the straight line through the logarithms, by least squares: 1 is in proportion."""
        return fit_exponent(self.rows, self.times)

    @property
    def last_exponent(self) -> float:
        """The exponent between the two largest sizes, where what is paid once weighs least."""
        return fit_exponent(self.rows[-2:], self.times[-2:])


Result = Comparison | Listing | Growth


def fit_exponent(sizes: Sequence[float], times: Sequence[float]) -> float:
    """Fit time = a * size ** exponent by least squares on the logarithms; at least two different sizes."""
    x, y = [math.log(size) for size in sizes], [math.log(time) for time in times]
    middle_x, middle_y = sum(x) / len(x), sum(y) / len(y)
    above = sum((a - middle_x) * (b - middle_y) for a, b in zip(x, y, strict=True))
    return above / sum((a - middle_x) ** 2 for a in x)
