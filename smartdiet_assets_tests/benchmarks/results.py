"""What a benchmark can find out beside comparisons: a short table of its own, and how time grows with size.

Here: the records, the fit of an exponent, and a file that keeps what was measured, so that a run that is cut loses no
finished part and one part can be measured again. Not here: how results are shown (`report`, `plot`).
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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
_KINDS: Mapping[str, type[Result]] = {kind.__name__: kind for kind in (Comparison, Listing, Growth)}


@dataclass(frozen=True)
class Part:
    """What one part of the suite found out.

    Attributes:
        name: of the part.
        sizes: of what it worked with, and how often, in words.
        machine: what it ran on, in words.
        results: in the order they came.
    """

    name: str
    sizes: str
    machine: str
    results: Sequence[Result]


def write_parts(parts: Sequence[Part], path: Path) -> None:
    """Keep what was measured in a JSON file."""
    content = [
        {**asdict(part), "results": [{"kind": type(result).__name__, **asdict(result)} for result in part.results]}
        for part in parts
    ]
    # In one step: a run that is killed must not take along what others measured.
    new = path.with_suffix(".new")
    new.write_text(json.dumps(content, indent=1) + "\n")
    new.replace(path)


def read_parts(path: Path) -> list[Part]:
    """Read what was kept; nothing where there is no such file."""
    content = json.loads(path.read_text()) if path.exists() else []
    return [Part(**{**part, "results": [_build_result(**result) for result in part["results"]]}) for part in content]


def _build_result(kind: str, **fields: Any) -> Result:
    return _KINDS[kind](**fields)


def fit_exponent(sizes: Sequence[float], times: Sequence[float]) -> float:
    """Fit time = a * size ** exponent by least squares on the logarithms; at least two different sizes."""
    x, y = [math.log(size) for size in sizes], [math.log(time) for time in times]
    middle_x, middle_y = sum(x) / len(x), sum(y) / len(y)
    above = sum((a - middle_x) * (b - middle_y) for a, b in zip(x, y, strict=True))
    return above / sum((a - middle_x) ** 2 for a in x)
