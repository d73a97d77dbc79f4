"""Reading the mirror's own records: how far each table is, what was rejected, which parents are awaited."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from psycopg import Connection, sql
from psycopg.rows import class_row

from smartdiet_assets.load.fragments import records_here

_AWAITED = sql.SQL("""
SELECT DISTINCT table_name, parent_table
FROM {} AS a
WHERE first_run_id = %s
""").format(records_here("awaited_parents"))
_STATES = sql.SQL("""
SELECT table_name, watermark, updated_at, run_id
FROM {} AS s
""").format(records_here("sync_state"))
_REJECT_COUNTS = sql.SQL("""
SELECT table_name, count(*)
FROM {} AS r
GROUP BY table_name
""").format(records_here("rejected_rows"))
#: A state of an earlier version has no `seconds`. PostgreSQL's own estimate is negative where it has none.
_METRICS = sql.SQL("""
SELECT t.name AS table_name, s.watermark AT TIME ZONE 'UTC' AS watermark, s.updated_at AS last_run,
  extract(epoch FROM now() - s.updated_at)::float AS lag, (to_jsonb(s) ->> 'seconds')::float AS seconds,
  s.documents_read, r.rejected,
  coalesce((to_jsonb(s) -> 'last_result' ->> 'rows')::bigint, greatest(c.reltuples, 0)::bigint) AS rows
FROM unnest(%s::text[]) WITH ORDINALITY AS t (name, place)
LEFT JOIN {} AS s ON s.table_name = t.name
LEFT JOIN (SELECT table_name, count(*) AS rejected FROM {} AS r GROUP BY table_name) AS r ON r.table_name = t.name
LEFT JOIN pg_catalog.pg_class AS c ON c.oid = to_regclass(format('%%I.%%I', current_schema(), t.name))
ORDER BY t.place
""").format(records_here("sync_state"), records_here("rejected_rows"))
_REJECTS = sql.SQL("""
SELECT table_name, document_id, column_name, reason, expected, received, items, attempts, first_seen, last_seen, run_id
FROM {} AS r
WHERE table_name = ANY(%s)
ORDER BY table_name, document_id
LIMIT %s
""").format(records_here("rejected_rows"))


@dataclass(frozen=True, slots=True)
class TableStatus:
    """How far one table is; `rows` is None where the table does not exist yet."""

    table: str
    rows: int | None
    rejected: int
    watermark: datetime | None
    last_run: datetime | None
    run_id: str | None


@dataclass(frozen=True, slots=True)
class TableMetrics:
    """What the records know of a table without counting its rows; None where they do not.

    Attributes:
        last_run: when the last run that was kept began, with its zone; `lag` is the seconds since.
        watermark: as a moment with its zone.
        seconds: how long its transaction took.
        documents_read: documents it read.
        rejected: documents that are rejected now.
        rows: rows after it; an estimate of a table that would take long to count.
    """

    table_name: str
    watermark: datetime | None
    last_run: datetime | None
    lag: float | None
    seconds: float | None
    documents_read: int | None
    rejected: int | None
    rows: int | None


@dataclass(frozen=True, slots=True)
class SyncPosition:
    """Where the last run of a table that committed left it: the watermark (naive UTC), and when that was."""

    watermark: datetime | None
    last_run: datetime


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """One document a table could not take: where, why, since when. No value of the document but its id."""

    table_name: str
    document_id: str
    column_name: str
    reason: str
    expected: str
    received: str
    items: int
    attempts: int
    first_seen: datetime
    last_seen: datetime
    run_id: str


def has_bookkeeping(connection: Connection) -> bool:
    """Whether the mirror ever ran in this database."""
    row = connection.execute("SELECT to_regclass('smartdiet.sync_state') IS NOT NULL").fetchone()
    return bool(row and row[0])


def fetch_awaited_tables(connection: Connection, run_id: str) -> set[str]:
    """Fetch the tables that took part in waits first met by a run: those that wait, and those waited for."""
    if not has_bookkeeping(connection):
        return set()
    return {name for pair in connection.execute(_AWAITED, [run_id]) for name in pair}


def fetch_positions(connection: Connection) -> dict[str, SyncPosition]:
    """Fetch where each table stands; a table that never ran is not among them."""
    if not has_bookkeeping(connection):
        return {}
    return {row[0]: SyncPosition(row[1], row[2]) for row in connection.execute(_STATES)}


def fetch_status(connection: Connection, tables: Sequence[str]) -> list[TableStatus]:
    """Fetch how far each of the given tables is, in the given order."""
    states: dict[str, Any] = {}
    rejected: dict[str, int] = {}
    if has_bookkeeping(connection):
        states = {row[0]: row for row in connection.execute(_STATES)}
        rejected = dict(connection.execute(_REJECT_COUNTS).fetchall())
    statuses = []
    for name in tables:
        state = states.get(name)
        statuses.append(
            TableStatus(
                table=name,
                rows=_count_rows(connection, name),
                rejected=rejected.get(name, 0),
                watermark=state[1] if state else None,
                last_run=state[2] if state else None,
                run_id=state[3] if state else None,
            )
        )
    return statuses


def fetch_metrics(connection: Connection, tables: Sequence[str]) -> list[TableMetrics]:
    """Fetch what the records know of the given tables, in the given order; of those that ran at least once."""
    if not has_bookkeeping(connection):
        return []
    with connection.cursor(row_factory=class_row(TableMetrics)) as cursor:
        found = cursor.execute(_METRICS, [list(tables)])
        return [replace(one, rejected=one.rejected or 0) for one in found if one.last_run is not None]


def fetch_place(connection: Connection) -> tuple[str, str]:
    """Fetch the names of the database and of the schema that the tables are in."""
    row = connection.execute("SELECT current_database(), coalesce(current_schema(), '')").fetchone()
    assert row is not None
    return row[0], row[1]


def fetch_rejects(connection: Connection, tables: Sequence[str], limit: int | None = None) -> Iterator[RejectedRow]:
    """Stream what the given tables could not take, by table and document."""
    if not has_bookkeeping(connection):
        return
    with connection.cursor(row_factory=class_row(RejectedRow)) as cursor:
        yield from cursor.stream(_REJECTS, [list(tables), limit])


def _count_rows(connection: Connection, table: str) -> int | None:
    known = connection.execute(
        "SELECT to_regclass(format('%%I.%%I', current_schema(), %s::text)) IS NOT NULL", [table]
    ).fetchone()
    if not (known and known[0]):
        return None
    count = connection.execute(sql.SQL("SELECT count(*) FROM {table}").format(table=sql.Identifier(table))).fetchone()
    return int(count[0]) if count else 0
