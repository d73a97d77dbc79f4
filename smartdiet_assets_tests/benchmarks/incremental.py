"""Incremental runs: 0.1, 1 and 10 % of the documents changed, in a collection and in one of eight times its size.

Against a full load of the same collection, against reading the same changes alone, and against as many changes in the
smaller collection: what grows with the changes and not with the table is 1 there, and so is the source's part of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from smartdiet_assets_tests.benchmarks.changing import ChangingLogbooks, open_changing
from smartdiet_assets_tests.benchmarks.measuring import Comparison, Contestant, Rounds, measure
from smartdiet_assets_tests.benchmarks.results import Listing, Result
from smartdiet_assets_tests.benchmarks.servers import Servers
from smartdiet_assets_tests.benchmarks.settings import Settings

SHARES = (0.001, 0.01, 0.1)
TIMES = 8
FULL = "a full load of it"
READING = "the same changes read and decoded alone"
SMALLER = "as many in the table 1x"
#: One percent in a tenth of the time; more or fewer changes have no aim of their own.
AIM_OF_ONE_PERCENT = 0.1


@dataclass(frozen=True)
class Changes:
    """A number of changes in one of the collections, and what its contestants are called."""

    side: str
    logbooks: ChangingLogbooks
    count: int

    @property
    def run(self) -> str:
        return f"{self.side}: run after {self.count}"

    @property
    def read(self) -> str:
        return f"{self.side}: reading {self.count}"

    def enter(self) -> list[Contestant]:
        return self.logbooks.enter_change(self.run, self.read, self.count)


def run_incremental(servers: Servers, settings: Settings) -> Iterator[Result]:
    """Compare incremental runs with full ones, with reading, and with those of a smaller table."""
    size = max(100, settings.documents // 4)
    with open_changing(servers, size, TIMES * size) as (small, large):
        in_small = {share: Changes("1x", small, _count(small, share)) for share in SHARES}
        in_large = {share: Changes("8x", large, _count(large, share)) for share in SHARES}
        as_many = {share: Changes("8x", large, in_small[share].count) for share in SHARES}
        entered = {changes.run: changes for group in (in_small, in_large, as_many) for changes in group.values()}
        contestants = [contestant for changes in entered.values() for contestant in changes.enter()]
        contestants += [small.enter_full(_full("1x")), large.enter_full(_full("8x"))]
        rounds = measure("incremental", "1x and 8x", contestants, settings.pairs, settings.on_round)
        for group in (in_small, in_large):
            for share, changes in group.items():
                yield from _compare(rounds, changes, share)
        for share in SHARES:
            yield from _compare_sizes(rounds, as_many[share], in_small[share])
        yield _list_shares_of_the_source(rounds, [*in_small.items(), *in_large.items()])


def _compare(rounds: Rounds, changes: Changes, share: float) -> Iterator[Comparison]:
    case = f"{share:.1%} changed, table {changes.side}"
    work = {"rows": changes.logbooks.documents, "changed": changes.count}
    aim = AIM_OF_ONE_PERCENT if share == 0.01 else None
    obstacle = "what a run costs whatever it reads weighs most in a small table; see the same at 8 times the size."
    yield rounds.compare(
        changes.run, _full(changes.side), against=FULL, work=work, at_most=aim, case=case, obstacle=obstacle
    )
    yield rounds.compare(changes.run, changes.read, against=READING, work=work, case=case)


def _compare_sizes(rounds: Rounds, large: Changes, small: Changes) -> Iterator[Comparison]:
    work = {"changed": large.count, "rows": large.logbooks.documents, "rows of 1x": small.logbooks.documents}
    case = f"{large.count:,} changes, table 8x"
    yield rounds.compare(large.run, small.run, against=SMALLER, work=work, case=case)
    yield rounds.compare(large.read, small.read, against=SMALLER, work=work, case=f"{case}, reading alone")


def _list_shares_of_the_source(rounds: Rounds, groups: list[tuple[float, Changes]]) -> Listing:
    rows = []
    for share, changes in groups:
        reads, runs = rounds.seconds[changes.read], rounds.seconds[changes.run]
        part = median(read / run for read, run in zip(reads, runs, strict=True))
        rows.append([f"{share:.1%} changed, table {changes.side}", f"{min(part, 1.0):.0%}"])
    return Listing("The source's share of an incremental run's time", ["case", "reading and decoding"], rows)


def _count(logbooks: ChangingLogbooks, share: float) -> int:
    return max(1, round(logbooks.documents * share))


def _full(side: str) -> str:
    return f"{side}: full"
