"""Operations of a relationship sync, counted by the server: the replaced tool's own table of them, with ours beside it.

A parent has 50 items. Replacing them all is 100 operations (50 rows deleted, 50 inserted), whatever changed. Nothing
here is timed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from smartdiet_assets_tests.benchmarks.baskets import TABLE, Baskets
from smartdiet_assets_tests.benchmarks.loading import load_batches
from smartdiet_assets_tests.benchmarks.measuring import Comparison, Work
from smartdiet_assets_tests.benchmarks.servers import Servers, count_writes
from smartdiet_assets_tests.benchmarks.settings import Settings
from smartdiet_assets_tests.benchmarks.smart_diff import fill

ITEMS = 50
REPLACEMENT = 2 * ITEMS


@dataclass(frozen=True)
class Change:
    """How many of a parent's items are replaced by others and how many get a new rank, and what that has to cost."""

    replaced: int
    ranked: int
    operations: int
    mode: str

    @property
    def label(self) -> str:
        return f"{self.replaced} of {ITEMS} items replaced, {self.ranked} changed in place"


#: The threshold of 0.3 is on changed items over items, as in the replaced tool's table: 2 % of the items cost 2 % of a
#: replacement's operations, 30 % cost 30 %, and above that the rows are replaced.
CHANGES = (
    Change(0, 0, 0, "delta"),
    Change(1, 0, 2, "delta"),
    Change(15, 0, 30, "delta"),
    Change(0, 15, 15, "delta"),
    Change(16, 0, REPLACEMENT, "replace"),
    Change(50, 0, REPLACEMENT, "replace"),
)


def run_operations(servers: Servers, settings: Settings) -> Iterator[Comparison]:
    """Count the operations of each change as a share of a replacement's."""
    for number, change in enumerate(CHANGES, 1):
        settings.on_round("operations", number, len(CHANGES))
        operations, mode = count_operations(servers, change)
        assert (operations, mode) == (change.operations, change.mode), (change.label, operations, mode)
        work: Work = {"operations": operations, "mode": mode}
        share = operations / REPLACEMENT
        yield Comparison("operations", change.label, f"{REPLACEMENT} of a replacement", (share,), work)


def count_operations(servers: Servers, change: Change) -> tuple[int, str]:
    """Synchronise one changed parent; return how many rows the server wrote, and the mode that was chosen."""
    baskets = Baskets(1, ITEMS, change.replaced, change.ranked)
    with servers.open_postgres() as connection:
        fill(connection, baskets)
        before = count_writes(connection, TABLE)
        table = baskets.schema.tables[TABLE]
        result = load_batches(connection, baskets.schema, table, baskets.encode(edition=1))
        return count_writes(connection, TABLE) - before, result.mode
