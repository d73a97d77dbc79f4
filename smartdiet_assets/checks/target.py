"""PostgreSQL's side of the checks: structure, state, counts and rejects of all tables, in a handful of statements.

Here: fetching `TargetFacts`, and what belongs to documents that changed since; in one snapshot, which changes
nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC

from psycopg import sql

from smartdiet_assets.checks.facts import RecentRows, TargetFacts
from smartdiet_assets.checks.unconstrained import search_unconstrained
from smartdiet_assets.load.execution import Connection, execute, fetch_all
from smartdiet_assets.load.fragments import candidates_of, name, records_here, relations_of, target_of
from smartdiet_assets.load.records.forgotten import count_forgotten
from smartdiet_assets.load.structure.companion import place
from smartdiet_assets.load.structure.live import LiveTable, Structure, read_structure
from smartdiet_assets.load.structure.mismatch import find_differences, find_missing_columns, find_missing_indexes
from smartdiet_assets.load.structure.naming import list_companions
from smartdiet_assets.schema.keys import DELETED_AT
from smartdiet_assets.schema.model import Schema, Table
from smartdiet_assets.schema.reasons import Reason

_BOOKKEEPING = ("sync_state", "rejected_rows", "awaited_parents")
_IDS = "document_ids"
_FORGOTTEN = "forgotten_ids"
#: Rejects of the load are counted row by row; the transformation's may be of a document with any number of items.
_BY_ROW = (Reason.MISSING_PARENT.value, Reason.DUPLICATE_KEY.value, Reason.REFUSED.value)
_STATES = sql.SQL("SELECT table_name, watermark, updated_at FROM {} AS s WHERE table_name = ANY(%s)").format(
    records_here("sync_state")
)
# An unreadable id stands for as many documents as it has items.
_REJECTS = sql.SQL("""\
SELECT table_name, column_name, reason, sum(CASE WHEN document_id = '' THEN items ELSE 1 END)::bigint,
  sum(items)::bigint
FROM {} AS r
WHERE table_name = ANY(%s)
GROUP BY table_name, column_name, reason""").format(records_here("rejected_rows"))
_KEPT = sql.SQL("""\
(
    SELECT i.document FROM smartdiet.document_ids AS i
    WHERE i.schema_name = current_schema() AND i.table_name = {} AND i.document_id = r.document_id
    LIMIT 1
  )""")
#: An encoded id (see `schema.document_id`) of a table as its document column holds it.
_SPELLED = sql.SQL("""\
coalesce({kept}, CASE
    WHEN strpos(r.document_id, '\\u0000') > 0 THEN NULL
    WHEN r.document_id LIKE '"%%' THEN r.document_id::jsonb #>> '{{}}'
    WHEN r.document_id LIKE '{{%%' THEN (SELECT value FROM jsonb_each_text(r.document_id::jsonb) LIMIT 1)
    ELSE r.document_id
  END) COLLATE "C\"""")


@contextmanager
def open_snapshot(connection: Connection) -> Iterator[None]:
    """Read everything of the block from one snapshot, which nothing can be written in."""
    with connection.transaction():
        execute(connection, sql.SQL("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        # The source is read meanwhile. Compiling costs more than it wins here.
        execute(
            connection,
            sql.SQL(
                "SELECT set_config('idle_in_transaction_session_timeout', '0', true), set_config('jit', 'off', true)"
            ),
        )
        yield


def fetch_target_facts(connection: Connection, schema: Schema, tables: Sequence[Table]) -> dict[str, TargetFacts]:
    """Fetch the facts of tables: at most six statements, whatever their number.

    Raises:
        psycopg.Error: PostgreSQL refused or was lost.
    """
    tables = [place(connection, table) for table in tables]
    wanted = dict.fromkeys(name for table in tables for name in (table.name, *table.parents))
    structure = read_structure(connection, list(wanted), [*_BOOKKEEPING, _IDS, _FORGOTTEN, *list_companions(tables)])
    facts = {table.name: TargetFacts() for table in tables}
    live = structure.tables
    for table in tables:
        if table.name in live:
            facts[table.name] = compare_structure(schema, table, live[table.name])
    if set(_BOOKKEEPING) <= set(structure.bookkeeping):
        _fetch_states(connection, facts)
        _fetch_rejects(connection, tables, facts)
        if _FORGOTTEN in structure.bookkeeping:
            forgotten = count_forgotten(connection)
            for table in tables:
                facts[table.name].forgotten = sum(forgotten.get(name, 0) for name in (table.name, *table.parents))
        countable = [table for table in tables if table.name in live and _is_countable(table, structure)]
        for table in countable:
            facts[table.name].keeps_ids = _IDS in structure.bookkeeping
        _fetch_counts(connection, countable, facts)
    search_unconstrained(connection, [table for table in tables if table.name in live], live, facts)
    return facts


def fetch_recent_rows(
    connection: Connection,
    tables: Sequence[Table],
    facts: Mapping[str, TargetFacts],
    recent: Mapping[str, Sequence[str]],
) -> dict[str, RecentRows]:
    """Count the rows and rejects of documents given by their encoded ids; one statement for all tables."""
    found = {table.name: RecentRows() for table in tables}
    asked = [place(connection, table) for table in tables if recent.get(table.name) and facts[table.name].countable]
    if not asked:
        return found
    statement = sql.SQL("\nUNION ALL\n").join(
        _compose_recent(table, index, kept=facts[table.name].keeps_ids) for index, table in enumerate(asked)
    )
    parameters = {f"ids_{index}": list(recent[table.name]) for index, table in enumerate(asked)}
    for table_name, *counts in fetch_all(connection, statement, parameters):
        found[table_name] = RecentRows(*map(int, counts))
    return found


def compare_structure(schema: Schema, table: Table, live: LiveTable) -> TargetFacts:
    """Compare a live table with its declaration: the facts of its structure, and nothing of its rows. Pure."""
    facts = TargetFacts(exists=True, differences=tuple(find_differences(schema, table, live)))
    if live.kind != "table":
        return facts
    missing = find_missing_columns(table, live)
    facts.pending = (
        *(f"column {column.name}" for column in missing),
        *(f"index ({', '.join(columns)})" for columns in find_missing_indexes(table, live)),
    )
    facts.comparable = not missing and all(
        live.columns[column.name].type == column.type.sql for column in table.stored_columns
    )
    return facts


def _is_countable(table: Table, structure: Structure) -> bool:
    live = structure.tables[table.name]
    if not structure.bookkeeping.keys() >= set(list_companions([table])):
        return False
    if _is_flagged(table) and DELETED_AT not in live.columns:
        return False
    return live.kind == "table" and table.document_column in live.columns


def _fetch_states(connection: Connection, facts: Mapping[str, TargetFacts]) -> None:
    for table_name, watermark, last_run in fetch_all(connection, _STATES, [list(facts)]):
        found = facts[table_name]
        found.mirrored = found.exists
        found.watermark = watermark
        found.last_run = last_run.astimezone(UTC).replace(tzinfo=None)


def _fetch_rejects(connection: Connection, tables: Sequence[Table], facts: Mapping[str, TargetFacts]) -> None:
    item_columns = {table.name: {c.name for c in table.stored_columns if not c.mongo_field} for table in tables}
    for table_name, column_name, reason, documents, items in fetch_all(connection, _REJECTS, [list(facts)]):
        found = facts[table_name]
        found.rejected += documents
        found.rejected_items += items
        found.reasons = {**found.reasons, reason: found.reasons.get(reason, 0) + documents}
        if reason not in _BY_ROW and column_name not in item_columns[table_name]:
            found.rejected_whole += documents


def _fetch_counts(connection: Connection, tables: Sequence[Table], facts: Mapping[str, TargetFacts]) -> None:
    if not tables:
        return
    statement = sql.SQL("\nUNION ALL\n").join(
        _compose_counts(table, kept=facts[table.name].keeps_ids) for table in tables
    )
    for table_name, rows, flagged, unowned, waiting, newest_key, without_row in fetch_all(connection, statement, {}):
        found = facts[table_name]
        found.countable = True
        found.rows, found.flagged, found.unowned, found.waiting = rows, flagged, unowned, waiting
        found.newest_key = newest_key
        found.rejected_without_row = int(without_row)


def _compose_counts(table: Table, *, kept: bool) -> sql.Composed:
    return sql.SQL("""\
SELECT {table_name}, count(*), {flagged}, count(*) FILTER (WHERE {document} IS NULL), {waiting}, {newest},
  coalesce((
    SELECT sum(CASE WHEN r.document_id = '' THEN r.items ELSE 1 END)
    FROM {rejects} AS r
    WHERE r.table_name = {table_name} AND {without_row}), 0)
FROM {target} AS t""").format(
        table_name=sql.Literal(table.name),
        flagged=_count_flagged(table),
        document=name(table.document_column, "t"),
        waiting=_count_waiting(table),
        newest=_compose_newest(table),
        without_row=_compose_without_row(table, kept=kept),
        rejects=records_here("rejected_rows"),
        target=target_of(table),
    )


def _compose_recent(table: Table, index: int, *, kept: bool) -> sql.Composed:
    """Compose the counts of `RecentRows`; the ids are spelled as the document column holds them, and joined."""
    ids = sql.SQL(
        "SELECT r.document_id, {spelled} AS spelled FROM unnest({ids}::text[]) AS r (document_id)\n"
        "WHERE NOT EXISTS (SELECT FROM {rejects} AS h"
        " WHERE h.table_name = {table_name} AND h.document_id = r.document_id AND h.reason = {reason}"
        " AND h.column_name = {column})"
    ).format(
        spelled=_compose_document(table, kept=kept),
        ids=sql.Placeholder(f"ids_{index}"),
        rejects=records_here("rejected_rows"),
        table_name=sql.Literal(table.name),
        reason=sql.Literal(Reason.DUPLICATE_KEY.value),
        column=sql.Literal(table.document_column),
    )
    rejects = sql.SQL(
        "FROM {rejects} AS r WHERE r.table_name = {table_name} AND r.document_id = ANY({ids}::text[])"
    ).format(
        rejects=records_here("rejected_rows"),
        table_name=sql.Literal(table.name),
        ids=sql.Placeholder(f"ids_{index}"),
    )
    joined = sql.SQL("JOIN ({}) AS n ON {}").format(ids, _same_document(table, "t", sql.SQL("n.spelled")))
    waiting: sql.Composable = sql.SQL("0")
    if table.shape.shares_keys:
        waiting = sql.SQL("(SELECT count(*) FROM {} AS t {})").format(candidates_of(table), joined)
    return sql.SQL("""\
SELECT {table_name}, count(*), {flagged}, {waiting},
  (SELECT count(*) {rejects} AND {without_row}),
  (SELECT coalesce(sum(r.items), 0) {rejects})
FROM {target} AS t
{joined}""").format(
        table_name=sql.Literal(table.name),
        flagged=_count_flagged(table),
        waiting=waiting,
        rejects=rejects,
        without_row=_compose_without_row(table, kept=kept),
        target=target_of(table),
        joined=joined,
    )


def _compose_without_row(table: Table, *, kept: bool) -> sql.Composable:
    """The condition that the document of a reject `r` has no earlier row. Of arrays, nobody asks."""
    if table.shape.has_items:
        return sql.SQL("true")
    same = _same_document(table, "x", _compose_document(table, kept=kept))
    without = sql.SQL(" AND ").join(
        sql.SQL("NOT EXISTS (SELECT FROM {} AS x WHERE {})").format(relation, same) for relation in relations_of(table)
    )
    # The row of the value is another document's.
    return sql.SQL("(r.reason = {} AND r.column_name = {} OR {})").format(
        sql.Literal(Reason.DUPLICATE_KEY.value), sql.Literal(table.document_column), without
    )


def _compose_document(table: Table, *, kept: bool) -> sql.Composed:
    """Compose the value of a reject's document; records of an earlier version kept no ids."""
    return _SPELLED.format(kept=_KEPT.format(sql.Literal(table.name)) if kept else sql.SQL("NULL"))


def _same_document(table: Table, relation: str, spelled: sql.Composable) -> sql.Composed:
    """The condition that a row is of a document. Collations may differ, and ids are compared byte by byte."""
    document = name(table.document_column, relation)
    cast = "" if table.column(table.document_column).type.is_text else "::text"
    return sql.SQL('{}{} = {} COLLATE "C"').format(document, sql.SQL(cast), spelled)


def _compose_newest(table: Table) -> sql.Composable:
    numbered = table.column(table.document_column).type.base.is_integer
    if table.incremental != "key" or not numbered:
        return sql.SQL("NULL::bigint")
    return sql.SQL("max({})::bigint").format(name(table.document_column, "t"))


def _count_flagged(table: Table) -> sql.Composable:
    if not _is_flagged(table):
        return sql.SQL("0")
    return sql.SQL("count(*) FILTER (WHERE {} IS NOT NULL)").format(name(DELETED_AT, "t"))


def _is_flagged(table: Table) -> bool:
    return table.on_delete == "flag"


def _count_waiting(table: Table) -> sql.Composable:
    if not table.shape.shares_keys:
        return sql.SQL("0")
    return sql.SQL("(SELECT count(*) FROM {})").format(candidates_of(table))
