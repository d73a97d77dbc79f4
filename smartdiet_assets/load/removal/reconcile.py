"""A reconcile pass over one table: the rows whose documents are gone are removed or marked, in one transaction."""

from dataclasses import dataclass, field
from datetime import datetime

import psycopg
from psycopg import sql

from smartdiet_assets.load.advisory import lock_tables
from smartdiet_assets.load.execution import Connection, fetch_value
from smartdiet_assets.load.fragments import target_of
from smartdiet_assets.load.hindrance import explain_hindrance
from smartdiet_assets.load.records.ddl import apply_bookkeeping
from smartdiet_assets.load.records.sync_state import note_reimport
from smartdiet_assets.load.removal.cascade import list_reach
from smartdiet_assets.load.removal.gone import apply_deletions, clear_marks
from smartdiet_assets.load.removal.source_ids import (
    BACK,
    AskAgain,
    SourceIds,
    collect_back,
    collect_gone,
    count_living,
    count_rows,
)
from smartdiet_assets.load.statistics import mend_statistics
from smartdiet_assets.load.structure.companion import place
from smartdiet_assets.load.structure.creation import apply_table
from smartdiet_assets.load.target import Target
from smartdiet_assets.load.transaction_settings import apply_settings
from smartdiet_assets.schema.model import Schema, Table


@dataclass(slots=True)
class Reconciliation:
    """What the comparison of a table with its source found, and what was done about it. Counts are rows.

    Attributes:
        documents: documents at the source.
        rows: rows of the table before, but for those marked as gone.
        gone: rows of documents that are gone, but for those marked before; with those that wait behind another.
        removed, flagged, replaced: see `Removal`.
        restored: rows whose mark was cleared, as their document is back.
        cascaded: see `Removal`.
        refused: why nothing was done; empty where it was.
        applied: whether the table's `on_delete` was applied.
    """

    documents: int = 0
    rows: int = 0
    gone: int = 0
    removed: int = 0
    flagged: int = 0
    replaced: int = 0
    restored: int = 0
    cascaded: dict[str, int] = field(default_factory=dict)
    refused: str = ""
    applied: bool = False


def table_exists(connection: Connection, table: Table) -> bool:
    """Tell whether a table was ever mirrored."""
    question = sql.SQL("SELECT to_regclass(format('%%I.%%I', current_schema(), %s::text)) IS NOT NULL")
    return bool(fetch_value(connection, question, [table.name]))


def reconcile_rows(
    connection: Connection,
    schema: Schema,
    table: Table,
    source_ids: SourceIds,
    ask_again: AskAgain,
    *,
    run_id: str,
    deleted_at: datetime,
    dry_run: bool = False,
    force: bool = False,
    lock_timeout: float = 60.0,
) -> Reconciliation:
    """Compare a table with the ids of its source, and apply its `on_delete` to what is gone, all of it or nothing.

    Args:
        connection: outside of a transaction; the one the ids were stored through.
        ask_again: asks the source about ids again.
        deleted_at: what `flag` stores: the source's clock, naive UTC.
        dry_run: do it all, and roll it back: the counts are those of the real pass.
        force: also where more is gone than `max_deletions` allows, and where the source is empty.
    """
    result = Reconciliation(documents=source_ids.documents)
    with explain_hindrance(connection, schema, table), connection.transaction():
        apply_settings(connection, lock_timeout)
        lock_tables(connection, [table.name])
        if not (dry_run and table.on_delete == "keep"):
            apply_bookkeeping(connection)
            changes = apply_table(connection, schema, table)
            if changes.reimport:
                note_reimport(connection, table, changes.reimport)
        table = place(connection, table)
        mend_statistics(connection, table)
        result.rows, whole = count_living(connection, table)
        if not source_ids.documents and whole and not force:
            result.gone = whole
            result.refused = f"the source has no document at all, and the table has {result.rows:,} rows"
        else:
            result.gone = collect_gone(connection, table, source_ids, ask_again)
            if not force and not table.max_deletions.allows(result.gone, whole):
                result.refused = (
                    f"the documents of {result.gone:,} of {whole:,} rows ({result.gone / whole:.1%}) are gone,"
                    f" more than max_deletions ({table.max_deletions}) allows"
                )
        if not result.refused and table.on_delete != "keep":
            _apply(Target(connection, schema, table, run_id), source_ids, ask_again, result, deleted_at, force)
        if dry_run or result.refused:
            raise psycopg.Rollback
    return result


def _apply(
    target: Target,
    source_ids: SourceIds,
    ask_again: AskAgain,
    result: Reconciliation,
    deleted_at: datetime,
    force: bool,
) -> None:
    result.applied = True
    on_delete = target.table.on_delete
    if on_delete == "flag" and collect_back(target.connection, target.table, source_ids, ask_again):
        result.restored = clear_marks(target, BACK)
    if not result.gone:
        return
    children = _count_children(target) if on_delete == "delete" else {}
    removal = apply_deletions(target, deleted_at)
    result.removed, result.flagged, result.replaced = removal.removed, removal.flagged, removal.replaced
    result.cascaded = dict(removal.cascaded)
    if not force:
        result.refused = _judge_cascade(target, children)


def _judge_cascade(target: Target, before: dict[str, int]) -> str:
    """Say which child lost more rows with their parents than it may lose by itself; empty where none did."""
    for child, rows in before.items():
        table = target.schema.tables[child]
        lost = rows - count_rows(target.connection, target_of(table))
        if not table.max_deletions.allows(lost, rows):
            return (
                f"with its rows {lost:,} of {rows:,} rows of {child} ({lost / rows:.1%}) would go, more than"
                f" max_deletions of {child} ({table.max_deletions}) allows"
            )
    return ""


def _count_children(target: Target) -> dict[str, int]:
    connection, schema, table = target.connection, target.schema, target.table
    reached = [schema.tables[child] for child in list_reach(schema, table.name) if child != table.name]
    return {
        child.name: count_rows(connection, target_of(child)) for child in reached if table_exists(connection, child)
    }
