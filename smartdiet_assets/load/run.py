"""The order of a load, from the batches to the COMMIT; `open_load` and `Intake` come before.

Here: the order, in which each step relies on those above it. Not here: the steps (`load.ways`, `load.write`).
"""

from smartdiet_assets.load.conflicts.rereads import Settlement
from smartdiet_assets.load.intake import Intake, Taken
from smartdiet_assets.load.merge import Differences
from smartdiet_assets.load.opening import Load
from smartdiet_assets.load.records import rejects
from smartdiet_assets.load.records.retries import note_asked
from smartdiet_assets.load.records.sync_state import SyncState, plan_state
from smartdiet_assets.load.removal.gone import Removal
from smartdiet_assets.load.result import LoadResult
from smartdiet_assets.load.same_again import repeat_result
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
    settlement = Settlement(
        load.connection,
        load.table,
        taken.rows,
        order=taken.order,
        has_rejects=taken.has_rejects,
        typed=taken.has_typed,
        known=load.standing.has_typed and not load.created,
    )
    lock_children(load, end)
    with clock.timed("settle"):
        shown = way.settle(load, settlement, taken.rows_written)
    clock.tell("settled")
    with clock.timed("compare"):
        differences = way.compare(load, shown)
    clock.tell("compared")
    with clock.timed("state"):
        # Before the rows, whose cascade adds to them.
        rejected = store_rejects(load, taken, settlement, shown, differences, end)
    clock.tell("rejected")
    written = way.write(load, settlement, differences)
    clock.tell("merged")
    removal = remove_gone(load, taken, end)
    with clock.timed("state"):
        rows = finish_table(load, taken, settlement, written, end)
        state = build_state(load, taken, end)
        result = _build_result(load, taken, settlement, written, removal, end, state, rejected=rejected, rows=rows)
    compared = load.not_null_pending or bool(way.keys) or not load.standing.same_structure
    load.last.append(
        plan_state(load.table, state, result, run_id=load.run_id, window_digest=taken.digest, compared=compared)
    )
    clock.tell("stored")
    return result


def conclude_unchanged(load: Load, intake: Intake, end: Conclusion, documents_read: int) -> LoadResult:
    """End a load that read what the last one had read (`Intake.is_same_again`): only the state is stored."""
    with load.clock.timed("state"):
        if intake.retries_read:
            note_asked(load.connection, load.schema, load.table, everything=False)
        result, stored = repeat_result(
            load.connection,
            load.table,
            load.standing,
            run_id=load.run_id,
            watermark=end.watermark,
            documents_read=documents_read,
            change_position=end.change_position,
            seconds=load.clock.seconds,
        )
    load.last.append(stored)
    load.clock.tell("stored")
    return result


def _build_result(
    load: Load,
    taken: Taken,
    settlement: Settlement,
    written: Differences,
    removal: Removal,
    end: Conclusion,
    state: SyncState,
    *,
    rejected: int,
    rows: int,
) -> LoadResult:
    gone = Removal(removed=written.counts.deleted, cascaded=dict(written.cascaded))
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
        cascaded=gone.cascaded,
        rows=rows,
        documents_read=taken.documents_read,
        watermark=state.watermark,
        seconds=load.clock.seconds,
        refused=taken.refused,
    )
