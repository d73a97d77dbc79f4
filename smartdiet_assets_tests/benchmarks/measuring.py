"""Measuring pairs: contestants do the same work one after the other, again and again, and only ratios come out.

Here: both clocks, the alternation, the check that the work was equal, the median. Not here: what the contestants do, or
how results are shown. Seconds stay inside: on another machine, or a busy one, they mean nothing.
"""

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median

import psutil

#: What a contestant did, in numbers that prove it: rows, checksum. What two contestants both state must be equal.
Work = Mapping[str, int | str]
#: Told before each round of a benchmark: its name, the round from 1, the number of rounds.
ProgressListener = Callable[[str, int, int], None]
#: The kernel counts CPU time in these; less cannot be told from nothing.
_TICK_SECONDS = 0.01


class UnequalWorkError(Exception):
    """Two contestants did not do the same work, so their times must not be compared."""


@dataclass(frozen=True)
class Contestant:
    """One way of doing the work. Only `run` is timed; `prepare` and `check` are called before and after it.

    `attempts` is how often it may try in a round when `run` raises something, only the last one timed. One that never
    succeeds, or does other work than the others, is left out of the other rounds too; but with a single attempt,
    what it raises ends the measurement.
    """

    name: str
    run: Callable[[], None]
    check: Callable[[], Work]
    prepare: Callable[[], None] = lambda: None
    attempts: int = 1


@dataclass(frozen=True)
class Comparison:
    """How long the subject took as a multiple of what it is compared with, in pairs measured side by side.

    Attributes:
        ratios: of wall time, one per pair; none where there was nothing to compare with, and `note` says why.
        cpu: of CPU time, of all processes concerned, the servers among them: hardly changed by a busy machine.
        at_most: the aim of the project for the ratio, None where it has none.
        note: why there is no ratio.
        obstacle: what stands in the way of the aim, said where it is missed.
    """

    benchmark: str
    case: str
    against: str
    ratios: tuple[float, ...]
    work: Work = field(default_factory=dict)
    cpu: tuple[float, ...] = ()
    at_most: float | None = None
    note: str = ""
    obstacle: str = ""

    @property
    def ratio(self) -> float:
        return median(self.ratios)

    @property
    def cpu_ratio(self) -> float:
        return median(self.cpu)

    @property
    def is_met(self) -> bool | None:
        """Whether the aim is reached; None where there is no aim, or no ratio."""
        return None if self.at_most is None or not self.ratios else self.ratio <= self.at_most


@dataclass(frozen=True)
class Rounds:
    """The rounds of one measurement, each with every contestant once; ask `compare` for ratios.

    `seconds` and `cpu_seconds` are for further ratios, never for showing.
    """

    benchmark: str
    case: str
    seconds: Mapping[str, Sequence[float]]
    work: Work
    cpu_seconds: Mapping[str, Sequence[float]] = field(default_factory=dict)
    #: Who was left out, with what it raised.
    failures: Mapping[str, Exception] = field(default_factory=dict)

    def compare(
        self,
        subject: str,
        *others: str,
        against: str = "",
        work: Work | None = None,
        at_most: float | None = None,
        case: str = "",
        obstacle: str = "",
    ) -> Comparison:
        """Divide a contestant's time by that of another, of several by the slowest of them in each round."""
        name = against or (others[0] if len(others) == 1 else f"max({', '.join(others)})")
        return Comparison(
            self.benchmark,
            case or self.case,
            name,
            divide(self.seconds[subject], *(self.seconds[other] for other in others)),
            self.work if work is None else work,
            divide(self.cpu_seconds[subject], *(self.cpu_seconds[other] for other in others), least=_TICK_SECONDS),
            at_most,
            obstacle=obstacle,
        )


def divide(mine: Sequence[float], *others: Sequence[float], least: float = 0.0) -> tuple[float, ...]:
    """Divide the times of one contestant by those of the slowest other one, round by round."""
    floors = [max(times) for times in zip(*others, strict=True)]
    return tuple(max(one, least) / max(floor, least) for one, floor in zip(mine, floors, strict=True))


def read_cpu_seconds() -> float:
    """Read the CPU time, user and system, of this process and of all it started, the servers among them."""
    this = psutil.Process()
    total = 0.0
    for process in (this, *this.children(recursive=True)):
        with suppress(psutil.Error):
            # Those of children are of the ones that ended; the others are listed.
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def measure(
    benchmark: str, case: str, contestants: Sequence[Contestant], pairs: int, on_round: ProgressListener
) -> Rounds:
    """Let the contestants work in turn, `pairs` times.

    Raises:
        UnequalWorkError: two of them state a different number for the same thing, or one changes its mind.
    """
    seconds: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    cpu_seconds: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    work: dict[str, int | str] = {}
    failures: dict[str, Exception] = {}
    for number in range(1, pairs + 1):
        on_round(f"{benchmark}, {case}", number, pairs)
        for contestant in contestants:
            if contestant.name in failures:
                continue
            try:
                wall, cpu = _time(contestant)
                _compare_work(work, contestant, f"{benchmark}, {case}")
            except Exception as error:
                if contestant.attempts == 1:
                    raise
                failures[contestant.name] = error
                continue
            seconds[contestant.name].append(wall)
            cpu_seconds[contestant.name].append(cpu)
    return Rounds(
        benchmark,
        case,
        {name: times for name, times in seconds.items() if name not in failures},
        work,
        cpu_seconds,
        failures,
    )


def _compare_work(work: dict[str, int | str], contestant: Contestant, what: str) -> None:
    """Compare what a contestant did with what is known of the others, and add what is not known yet."""
    for name, value in contestant.check().items():
        if work.setdefault(name, value) != value:
            raise UnequalWorkError(f"{what}: {contestant.name} has {name} {value}, others have {work[name]}")


def _time(contestant: Contestant) -> tuple[float, float]:
    """Let a contestant work once; return its wall time and the CPU time of all processes."""
    for attempt in range(1, contestant.attempts + 1):
        contestant.prepare()
        # Nobody pays for the garbage of the one before.
        gc.collect()
        cpu_started = read_cpu_seconds()
        started = time.perf_counter()
        try:
            contestant.run()
        except Exception:
            if attempt == contestant.attempts:
                raise
            continue
        wall = time.perf_counter() - started
        return wall, read_cpu_seconds() - cpu_started
    raise AssertionError("every attempt returns or raises")
