"""How time grows with the rows, over three decades: a first load from the wire, and a run after a few changes.

Times are relative to the smallest first load. The exponent is that of the straight line through the logarithms: 1 is in
proportion, 0 does not grow. What a run costs whatever it loads weighs most where there are few rows, so the exponent of
the last tenfold is given beside that of all sizes.
"""

from collections.abc import Iterator
from statistics import median

from smartdiet_assets_tests.benchmarks.changing import open_changing
from smartdiet_assets_tests.benchmarks.measuring import Contestant, measure
from smartdiet_assets_tests.benchmarks.results import Growth
from smartdiet_assets_tests.benchmarks.servers import Servers
from smartdiet_assets_tests.benchmarks.settings import Settings

#: Of the largest collection: three decades.
STEPS = (1000, 100, 10, 1)
TIMES = 4
CHANGES = 10
FULL, INCREMENTAL = "a first load", f"a run after {CHANGES} changes"
READING = f"reading {CHANGES} changes alone"


def run_growth(servers: Servers, settings: Settings) -> Iterator[Growth]:
    """Measure both at four sizes, each round all of them."""
    largest = max(STEPS[0] * CHANGES, TIMES * settings.documents)
    sizes = [largest // step for step in STEPS]
    with open_changing(servers, *sizes) as collections:
        contestants: list[Contestant] = []
        for logbooks in collections:
            size = logbooks.documents
            contestants += logbooks.enter_change(f"{INCREMENTAL}, {size}", f"{READING}, {size}", CHANGES)
            contestants.append(logbooks.enter_full(f"{FULL}, {size}"))
        rounds = measure(
            "growth", f"{sizes[0]:,} to {sizes[-1]:,} rows", contestants, settings.pairs, settings.on_round
        )
    smallest = median(rounds.seconds[f"{FULL}, {sizes[0]}"])
    for name in (FULL, INCREMENTAL, READING):
        times = [median(rounds.seconds[f"{name}, {size}"]) / smallest for size in sizes]
        yield Growth(name, tuple(sizes), tuple(times))
