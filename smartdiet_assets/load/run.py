"""The order of a load, from the batches to the COMMIT, in which each step relies on those above it.

`open_load` and `Intake` come before it; `load.ways` and `load.write` are its steps.
"""

from datetime import datetime

from smartdiet_assets.load.intake import Taken
from smartdiet_assets.load.merge import Differences
from smartdiet_assets.load.opening import Load
from smartdiet_assets.load.records import rejects
from smartdiet_assets.load.records.sync_state import plan_state
from smartdiet_assets.load.removal.cascade import Removal
from smartdiet_assets.load.result import LoadResult
from smartdiet_assets.load.write import (
    Conclusion,
    build_state,
    finish_table,
    has_records,
    lock_children,
    remove_gone,
    store_rejects,
)


def conclude(load: Load, taken: Taken, end: Conclusion) -> LoadResult:
    """Settle the rows, write what differs, and store rejects and state; the end of the load's block commits it all.

    Raises:
        RowsLostError: the counts do not add up.
        TooManyRejectsError: more documents are rejected than the table allows.
        LoadConflictError: somebody else changed the table meanwhile.
    """
    clock, way = load.clock, taken.way
    lock_children(load, end)
    with clock.timed("settle", "settled"):
        shown = way.settle(load, taken.settlement, taken.rows_written)
    with clock.timed("compare", "compared"):
        differences = way.compare(load, shown)
    with clock.timed("state", "rejected"):
        # Before the rows, whose cascade adds to them.
        rejected = store_rejects(load, taken, shown, differences, end)
    written = way.write(load, taken.settlement, differences)
    clock.tell("merged")
    removal = remove_gone(load, taken, end)
    with clock.timed("state", "stored"):
        rows = finish_table(load, taken, written, end)
        state = build_state(load, taken, end)
        result = _build_result(load, taken, written, removal, end, rejected, rows, state.watermark)
        compared = load.not_null_pending or bool(way.keys) or not load.last_state.same_structure
        load.at_commit.append(
            plan_state(load.table, state, result, run_id=load.run_id, window_digest=taken.digest, compared=compared)
        )
    return result


def _build_result(
    load: Load,
    taken: Taken,
    written: Differences,
    removal: Removal,
    end: Conclusion,
    rejected: int,
    rows: int,
    watermark: datetime | None,
) -> LoadResult:
    settlement, gone = taken.settlement, Removal(removed=written.counts.deleted, cascaded=written.cascaded)
    for other in (removal, end.deletions or Removal()):
        gone.add(other)
    recorded = has_records(load, end) or settlement.has_rejects or gone.cascaded
    return LoadResult(
        mode=written.mode,
        inserted=written.counts.inserted,
        updated=written.counts.updated + gone.replaced,
        deleted=gone.removed,
        flagged=gone.flagged,
        unchanged=written.counts.unchanged,
        replaced=written.replaced,
        change_ratio=written.counts.change_ratio,
        rejected=rejected,
        rejected_total=rejects.count_rejected(load.connection, load.table) if recorded else 0,
        rejected_rows=settlement.rejected,
        superseded=settlement.superseded,
        missing_parents_null=settlement.missing_parents_null,
        cascaded=dict(gone.cascaded),
        rows=rows,
        documents_read=taken.documents_read,
        watermark=watermark,
        seconds=load.clock.seconds,
        refused=taken.refused,
    )
