"""What a load writes beside its rows: rejects, rows that go, what others wait for, the state."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from smartdiet_assets.load.counting import compose_count, count_rows
from smartdiet_assets.load.execution import fetch_all
from smartdiet_assets.load.fragments import WINNERS
from smartdiet_assets.load.intake import Taken
from smartdiet_assets.load.merge import Differences
from smartdiet_assets.load.opening import Load
from smartdiet_assets.load.records import rejects
from smartdiet_assets.load.records.last_state import SyncState
from smartdiet_assets.load.records.retries import compose_is_concerned, note_arrivals, note_asked
from smartdiet_assets.load.reject_limit import check_max_rejects
from smartdiet_assets.load.removal.cascade import Removal, list_references, lock_reach
from smartdiet_assets.load.removal.gone import remove_absent, remove_unowned
from smartdiet_assets.load.structure.creation import apply_not_null
from smartdiet_assets.schema.document_id import IdBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """What is known once all is read.

    Attributes:
        watermark: the largest source date seen; the stored one never goes back. None leaves it where it is.
        full: whether every document was read, so that added columns are filled and all rejects were seen.
        change_position: where the next run goes on in the change stream; None leaves it where it is.
        read_from: the date from which on every document was read by now; None leaves what is known of it.
        source_keys: all keys the source has, in chunks: rows with another key are removed. None keeps them.
        little_left_out: whether the fields the table needs are most of the documents; None leaves what is known.
        deletions: what became of documents a change stream named as deleted, before any row came; None where it named
            none.
    """

    watermark: datetime | None
    full: bool
    change_position: str | None = None
    read_from: datetime | None = None
    source_keys: Iterable[IdBatch] | None = None
    deletions: Removal | None = None
    little_left_out: bool | None = None


def lock_children(load: Load, end: Conclusion) -> None:
    """Lock the children where the end may delete rows or change the table's form, before any row is written."""
    shares = load.table.shape.shares_keys and list_references(load.schema, load.table.name)
    if end.source_keys is not None or (end.full and (load.not_null_pending or shares)):
        lock_reach(load.connection, load.schema, load.table.name, load.beside)


def has_records(load: Load, end: Conclusion) -> bool:
    """Tell whether there can be rejects or waits from before: the table's lock keeps others from adding any."""
    return end.deletions is not None or load.last_state.has_rejects or load.last_state.awaits


def store_rejects(load: Load, taken: Taken, shown: int, differences: Differences, end: Conclusion) -> int:
    """Store the run's rejects; return how many documents they are.

    Raises:
        TooManyRejectsError: the table allows fewer.
    """
    table, connection, counts = load.table, load.connection, differences.counts
    before = rejects.count_rejected(connection, table) if table.max_rejects else 0
    rejected = rejects.store_rejects(
        taken.settlement,
        load.schema,
        load.run_id,
        everything_read=end.full,
        retries_read=taken.retries_read,
        recorded=has_records(load, end),
    )
    if rejected and table.max_rejects:
        rows = shown if taken.empty else count_rows(connection, table) + counts.inserted - counts.deleted
        check_max_rejects(connection, table, before=before, rows=rows, documents_read=taken.documents_read)
    return rejected


def remove_gone(load: Load, taken: Taken, end: Conclusion) -> Removal:
    """Remove the rows whose document is not at the source, where that is known; with them the children's."""
    if end.source_keys is not None:
        with load.clock.timed("remove"):
            return remove_absent(load, end.source_keys)
    if end.full and load.table.shape.shares_keys and not taken.way.fills:
        with load.clock.timed("remove"):
            return remove_unowned(load)
    return Removal()


def finish_table(load: Load, taken: Taken, written: Differences, end: Conclusion) -> int:
    """Check columns that waited for all documents, and tell the tables that wait; return how many rows there are."""
    if end.full and load.not_null_pending:
        apply_not_null(load.connection, load.table)
    known = sql.Literal(written.counts.inserted) if taken.way.fills else compose_count(load.table)
    query = sql.SQL("SELECT {}, {}").format(known, compose_is_concerned(load.table))
    [(rows, concerned)] = fetch_all(load.connection, query)
    if concerned:
        # At the very end: the tables that wait are held up by it.
        shown = WINNERS if load.table.shape.shares_keys else taken.settlement.rows
        note_arrivals(load, shown)
        if end.full or taken.retries_read:
            note_asked(load, everything=end.full)
    return int(rows)


def build_state(load: Load, taken: Taken, end: Conclusion) -> SyncState:
    """Build the state the load leaves behind."""
    known = [None if taken.emptied else load.state.watermark, end.watermark]
    return SyncState(
        watermark=max(filter(None, known), default=None),
        reimport=None if end.full else load.state.reimport,
        change_position=end.change_position or load.state.change_position,
        read_from=end.read_from or load.state.read_from,
        little_left_out=load.state.little_left_out if end.little_left_out is None else end.little_left_out,
    )
