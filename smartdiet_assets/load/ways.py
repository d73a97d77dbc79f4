"""The ways of a run to write its rows, one of which is chosen for the whole run (`load.intake`)."""

from collections.abc import Sequence

from psycopg import sql

from smartdiet_assets.load import bulk
from smartdiet_assets.load.conflicts.rereads import Settlement, drop_duplicates
from smartdiet_assets.load.conflicts.settle import settle_compared, settle_filling
from smartdiet_assets.load.fragments import STAGING
from smartdiet_assets.load.merge import Differences, apply_merge, compare, fill_empty_table
from smartdiet_assets.load.opening import Load
from smartdiet_assets.load.strategies import DeltaCounts


class Merge:
    """The rows are staged, compared with what the table holds, and what differs is written."""

    #: Whether the table held no row before, so that how many it holds is known.
    fills = False
    #: What builds the keys around the table where they were taken away.
    keys: Sequence[sql.Composed] = ()

    def settle(self, load: Load, settlement: Settlement, written: int) -> int:
        """Settle the rows of a run, of which so many were written; return how many the table is to show."""
        return settle_compared(settlement, written, deletes=load.strategy.deletes)

    def compare(self, load: Load, shown: int) -> Differences:
        """Find what differs; nothing of the table is written yet."""
        return compare(load, load.strategy, shown)

    def write(self, load: Load, settlement: Settlement, differences: Differences) -> Differences:
        """Write what differs; return what it was in the end."""
        with load.clock.timed("merge"):
            apply_merge(load, load.strategy, differences)
        return differences


class FillNew:
    """The rows fill a table that the run created without keys, which are built once the rows are in.

    They are in the table already, but where they share keys: then they are staged to be ranked.
    """

    fills = True

    def __init__(self, keys: Sequence[sql.Composed] = ()) -> None:
        self.keys = keys
        self._built = False

    def settle(self, load: Load, settlement: Settlement, written: int) -> int:
        """Settle the rows of a run; see `Merge.settle`."""
        build_keys = None if settlement.rows is STAGING else lambda: self._try_build_keys(load, settlement)
        return settle_filling(settlement, written, build_keys)

    def compare(self, load: Load, shown: int) -> Differences:
        """Every row is new."""
        return Differences(DeltaCounts(inserted=shown, updated=0, deleted=0, unchanged=0), "bulk")

    def write(self, load: Load, settlement: Settlement, differences: Differences) -> Differences:
        """Put the rows into the table where they are not yet, and build its keys."""
        shown = differences.counts.inserted
        if settlement.rows is STAGING:
            with load.clock.timed("merge"):
                self._make_room(load)
                shown = fill_empty_table(load.connection, load.table)
        superseded = settlement.superseded
        if not self._built:
            with load.clock.timed("index"):
                bulk.build_keys(
                    load.connection, self.keys, lambda: drop_duplicates(settlement), distinct=settlement.distinct
                )
        return self.compare(load, shown - (settlement.superseded - superseded))

    def _make_room(self, load: Load) -> None:
        """Take the keys away that staged rows would be checked against one by one: a new table has none yet."""

    def _try_build_keys(self, load: Load, settlement: Settlement) -> bool:
        """Build the keys over the last read of each document; False where rows want the same unique value."""
        with load.clock.timed("index"):
            self._built = bulk.try_build_keys(load.connection, self.keys)
            if not self._built and drop_duplicates(settlement):
                self._built = bulk.try_build_keys(load.connection, self.keys)
        return self._built


class FillEmpty(FillNew):
    """The rows fill a table that was there and empty; its keys are taken away before they come, and built again.

    Where they share keys, that is once they were ranked; keys that somebody holds stay then.
    """

    def _make_room(self, load: Load) -> None:
        self.keys = bulk.drop_keys(load, load.bulk.pause) or []


Way = FillNew | FillEmpty | Merge
