"""Incremental runs: 0.1, 1 and 10 % of the documents changed, in a collection and in one of eight times its size.

Against a full load of the same collection, against reading the same changes alone, and against the same run in the
smaller collection, by changed document: what grows with the changes and not with the table is 1 there.
"""

from collections.abc import Iterator

from smartdiet_assets_tests.benchmarks.changing import ChangingLogbooks, open_changing
from smartdiet_assets_tests.benchmarks.measuring import Comparison, Contestant, Rounds, divide, measure
from smartdiet_assets_tests.benchmarks.servers import Servers
from smartdiet_assets_tests.benchmarks.settings import Settings

SHARES = (0.001, 0.01, 0.1)
TIMES = 8
FULL = "a full load of it"
READING = "the same changes read and decoded alone"
#: One percent in a tenth of the time; more or fewer changes have no aim of their own.
AIM_OF_ONE_PERCENT = 0.1


def run_incremental(servers: Servers, settings: Settings) -> Iterator[Comparison]:
    """Compare incremental runs with full ones, with reading, and with those of a smaller table."""
    size = max(100, settings.documents // 4)
    with open_changing(servers, size, TIMES * size) as (small, large):
        sides = {"1x": small, "8x": large}
        contestants: list[Contestant] = []
        for side, logbooks in sides.items():
            for share in SHARES:
                contestants += logbooks.enter_change(_run(side, share), _read(side, share), _count(logbooks, share))
            contestants.append(logbooks.enter_full(_full(side)))
        rounds = measure("incremental", "1x and 8x", contestants, settings.pairs, settings.on_round)
        for side, logbooks in sides.items():
            for share in SHARES:
                yield from _compare(rounds, side, logbooks, share)
        for share in SHARES:
            yield _compare_sizes(rounds, small, large, share)


def _compare(rounds: Rounds, side: str, logbooks: ChangingLogbooks, share: float) -> Iterator[Comparison]:
    case = f"{share:.1%} changed, table {side}"
    work = {"rows": logbooks.documents, "changed": _count(logbooks, share)}
    aim = AIM_OF_ONE_PERCENT if share == 0.01 else None
    run, read = _run(side, share), _read(side, share)
    yield rounds.compare(run, _full(side), against=FULL, work=work, at_most=aim, case=case)
    yield rounds.compare(run, read, against=READING, work=work, case=case)


def _compare_sizes(rounds: Rounds, small: ChangingLogbooks, large: ChangingLogbooks, share: float) -> Comparison:
    """Compare what a changed document costs beyond being read, in the large table and in the small one."""

    def cost(side: str, logbooks: ChangingLogbooks) -> list[float]:
        runs, reads = rounds.seconds[_run(side, share)], rounds.seconds[_read(side, share)]
        count = _count(logbooks, share)
        return [max(run - read, 0.0) / count for run, read in zip(runs, reads, strict=True)]

    work = {"changed": _count(large, share), "in the smaller": _count(small, share)}
    ratios = divide(cost("8x", large), cost("1x", small), least=1e-9)
    return Comparison(
        "incremental", f"{share:.1%} changed, a changed document beyond reading it, 8x", "1x", ratios, work
    )


def _count(logbooks: ChangingLogbooks, share: float) -> int:
    return max(1, round(logbooks.documents * share))


def _run(side: str, share: float) -> str:
    return f"{side}: run after {share:.1%}"


def _read(side: str, share: float) -> str:
    return f"{side}: reading {share:.1%}"


def _full(side: str) -> str:
    return f"{side}: full"
