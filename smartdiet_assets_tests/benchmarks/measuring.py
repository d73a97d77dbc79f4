"""Measuring pairs: contestants do the same work one after the other, again and again, and only ratios come out.

Here: the clock, the alternation, the check that the work was equal, the median. Not here: what the contestants do, or
how results are shown. Seconds stay inside: on another machine, or a busy one, they mean nothing.
"""

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

#: What a contestant did, in numbers that prove it: rows, checksum. What two contestants both state must be equal.
Work = Mapping[str, int | str]
#: Told before each round of a benchmark: its name, the round from 1, the number of rounds.
ProgressListener = Callable[[str, int, int], None]


class UnequalWorkError(Exception):
    """Two contestants did not do the same work, so their times must not be compared."""


@dataclass(frozen=True)
class Contestant:
    """One way of doing the work. Only `run` is timed; `prepare` and `check` are called before and after it."""

    name: str
    run: Callable[[], None]
    check: Callable[[], Work]
    prepare: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Comparison:
    """How long the subject took as a multiple of what it is compared with, in pairs measured side by side."""

    benchmark: str
    case: str
    against: str
    ratios: tuple[float, ...]
    work: Work = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        return median(self.ratios)


@dataclass(frozen=True)
class Rounds:
    """The rounds of one measurement, each with every contestant once; ask `compare` for ratios."""

    benchmark: str
    case: str
    _seconds: Mapping[str, Sequence[float]]
    work: Work

    def compare(self, subject: str, *others: str, against: str = "", work: Work | None = None) -> Comparison:
        """Divide a contestant's time by that of another, of several by the slowest of them in each round."""
        floors = [max(times) for times in zip(*(self._seconds[other] for other in others), strict=True)]
        ratios = tuple(mine / floor for mine, floor in zip(self._seconds[subject], floors, strict=True))
        name = against or (others[0] if len(others) == 1 else f"max({', '.join(others)})")
        return Comparison(self.benchmark, self.case, name, ratios, self.work if work is None else work)


def measure(
    benchmark: str, case: str, contestants: Sequence[Contestant], pairs: int, on_round: ProgressListener
) -> Rounds:
    """Let the contestants work in turn, `pairs` times.

    Raises:
        UnequalWorkError: two of them state a different number for the same thing, or one changes its mind.
    """
    seconds: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    work: dict[str, int | str] = {}
    for number in range(1, pairs + 1):
        on_round(f"{benchmark}, {case}", number, pairs)
        for contestant in contestants:
            contestant.prepare()
            # Nobody pays for the garbage of the one before.
            gc.collect()
            started = time.perf_counter()
            contestant.run()
            seconds[contestant.name].append(time.perf_counter() - started)
            for what, value in contestant.check().items():
                if work.setdefault(what, value) != value:
                    raise UnequalWorkError(
                        f"{benchmark}, {case}: {contestant.name} has {what} {value}, others have {work[what]}"
                    )
    return Rounds(benchmark, case, seconds, work)
