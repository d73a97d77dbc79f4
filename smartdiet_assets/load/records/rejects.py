"""The lasting records of what could not be loaded, and of the parents it waits for."""

from collections.abc import Sequence

from psycopg import sql

from smartdiet_assets.load.advisory import lock_waits
from smartdiet_assets.load.conflicts.rereads import Settlement
from smartdiet_assets.load.execution import Connection, execute, fetch_all, fetch_value
from smartdiet_assets.load.fragments import (
    DOCUMENTS,
    ORPHANS,
    REJECTS,
    RETRIES,
    TYPED_DOCUMENTS,
    encode,
    encode_plain,
    has_lines,
    name,
)
from smartdiet_assets.load.removal.cascade import list_askable
from smartdiet_assets.schema.model import Schema, Table

#: What stands as it was found again is not written: not even locked, which would be.
_REJECT = sql.SQL("""\
INSERT INTO smartdiet.rejected_rows AS r
  (table_name, document_id, column_name, reason, expected, received, items, attempts, first_seen, last_seen, run_id)
SELECT %(table)s, document_id, column_name, reason, expected, received, items, 1, now(), now(), %(run)s
FROM (
  SELECT DISTINCT ON (document_id)
    document_id, column_name, reason, expected, received, count(*) OVER (PARTITION BY document_id) AS items
  FROM {rejects}
  ORDER BY document_id, column_name, reason, expected, received
) AS x
WHERE NOT EXISTS (
  SELECT FROM (
    SELECT column_name, reason, expected, received, items
    FROM smartdiet.rejected_rows
    WHERE schema_name = current_schema() AND table_name = %(table)s AND document_id = x.document_id
    OFFSET 0
  ) AS r
  WHERE (r.column_name, r.reason, r.expected, r.received, r.items)
    = (x.column_name, x.reason, x.expected, x.received, x.items)
  OFFSET 0
)
ON CONFLICT (schema_name, table_name, document_id) DO UPDATE SET
  column_name = excluded.column_name,
  reason = excluded.reason,
  expected = excluded.expected,
  received = excluded.received,
  items = excluded.items,
  attempts = r.attempts + 1,
  last_seen = excluded.last_seen,
  run_id = excluded.run_id""").format(rejects=REJECTS)

_AWAIT = sql.SQL("""\
INSERT INTO smartdiet.awaited_parents
  (table_name, document_id, column_name, parent_table, parent_id, first_run_id)
SELECT DISTINCT %(table)s, document_id, column_name, parent_table, parent_id, %(run)s
FROM {orphans} AS o
WHERE NOT EXISTS (
  SELECT FROM (
    SELECT arrived
    FROM smartdiet.awaited_parents
    WHERE schema_name = current_schema()
      AND table_name = %(table)s
      AND document_id = o.document_id
      AND column_name = o.column_name
      AND parent_id = o.parent_id
    OFFSET 0
  ) AS a
  WHERE NOT a.arrived
  OFFSET 0
)
ON CONFLICT (schema_name, table_name, document_id, column_name, parent_id) DO UPDATE SET
  arrived = false""").format(orphans=ORPHANS)

_MISS = sql.SQL("""\
INSERT INTO smartdiet.missing_parents (parent_table, parent_id, table_name)
SELECT DISTINCT parent_table, parent_id, %(table)s
FROM {orphans}
WHERE column_name = ANY (%(columns)s)
ON CONFLICT (schema_name, parent_table, parent_id, table_name) DO NOTHING""").format(orphans=ORPHANS)

_PRESENT = sql.SQL(f"""\
SELECT
  {has_lines("rejected_rows", "table_name", "%(table)s")},
  {has_lines("awaited_parents", "table_name", "%(table)s")}""")


def store_rejects(
    settlement: Settlement,
    schema: Schema,
    run_id: str,
    *,
    everything_read: bool,
    retries_read: bool,
    recorded: bool = True,
) -> int:
    """Bring the records up to date with the run; return how many documents it rejected.

    A document that was read and not rejected again is loaded, or gone at the source, and leaves the records.

    Args:
        everything_read: whether the run read all documents.
        retries_read: whether it read all those it chose to read again (`mirror_retries`).
        recorded: whether there can be records of earlier runs.
    """
    connection, table = settlement.connection, settlement.table
    if recorded:
        _clear_read(settlement, everything_read=everything_read, retries_read=retries_read)
    rejected = 0
    if settlement.has_rejects:
        rejected = fetch_value(connection, sql.SQL("SELECT count(DISTINCT document_id) FROM {}").format(REJECTS))
        execute(connection, _REJECT, {"table": table.name, "run": run_id})
    if settlement.has_orphans and fetch_value(connection, sql.SQL("SELECT EXISTS (SELECT FROM {})").format(ORPHANS)):
        lock_waits(connection, table.name)
        execute(connection, _AWAIT, {"table": table.name, "run": run_id})
        execute(connection, _MISS, {"table": table.name, "columns": list_askable(schema, table)})
    return rejected


def clear_rejects(connection: Connection, tables: Sequence[tuple[str, str]]) -> None:
    """Forget the rejects, waits and ids of tables that were emptied: everything is read again.

    Args:
        tables: each with its schema before it.
    """
    for relation in ("rejected_rows", "awaited_parents", "missing_parents", "document_ids"):
        execute(
            connection,
            sql.SQL(
                "DELETE FROM {} WHERE (schema_name, table_name) IN (SELECT * FROM unnest(%s::text[], %s::text[]))"
            ).format(sql.Identifier("smartdiet", relation)),
            [list(names) for names in zip(*tables, strict=True)],
        )


def clear_documents(connection: Connection, table: Table, gone: sql.Identifier) -> None:
    """Forget the rejects and waits of documents that are gone.

    Args:
        gone: a relation with their ids; see `load.removal.document_ids`.
    """
    if not any(fetch_all(connection, _PRESENT, {"table": table.name})[0]):
        return
    gone_ids = sql.SQL("SELECT coalesce(g._document_id, {}) FROM {} AS g").format(
        encode_plain(table, name(table.document_column, "g")), gone
    )
    for relation in ("rejected_rows", "awaited_parents"):
        execute(connection, _compose_clear(table, relation, gone_ids, None))


def count_rejected(connection: Connection, table: Table) -> int:
    """Count the documents a table has in the records; those whose ids cannot be read share one line."""
    return int(
        fetch_value(
            connection,
            # Two queries: the first one needs the index alone.
            sql.SQL("""\
SELECT
  (SELECT count(*) FROM smartdiet.rejected_rows WHERE schema_name = current_schema() AND table_name = {table})
  + coalesce((
    SELECT items - 1
    FROM smartdiet.rejected_rows
    WHERE schema_name = current_schema() AND table_name = {table} AND document_id = ''), 0)
""").format(table=sql.Literal(table.name)),
        )
    )


def _clear_read(settlement: Settlement, *, everything_read: bool, retries_read: bool) -> None:
    connection, table = settlement.connection, settlement.table
    [(rejects, waits)] = fetch_all(connection, _PRESENT, {"table": table.name})
    read = None if everything_read else _compose_read(settlement, retries_read=retries_read)
    if rejects:
        again = sql.SQL("SELECT FROM {} AS x WHERE x.document_id = t.document_id").format(REJECTS)
        execute(connection, _compose_clear(table, "rejected_rows", read, again if settlement.has_rejects else None))
    if waits:
        lock_waits(connection, table.name)
        again = sql.SQL(
            "SELECT FROM {} AS x WHERE x.document_id = t.document_id"
            " AND x.column_name = t.column_name AND x.parent_id = t.parent_id"
        ).format(ORPHANS)
        execute(connection, _compose_clear(table, "awaited_parents", read, again if settlement.has_orphans else None))


def _compose_clear(
    table: Table, relation: str, read: sql.Composable | None, again: sql.Composable | None
) -> sql.Composed:
    """Compose the removal of records `t`.

    Args:
        read: the ids of the documents whose records may go; None stands for all.
        again: finds the records that stay, as the run met the same again.
    """
    records = sql.Identifier("smartdiet", relation)
    if read is None:
        which = sql.SQL("t.schema_name = current_schema() AND t.table_name = {}").format(sql.Literal(table.name))
    else:
        # OFFSET 0: found by index, one by one, even where PostgreSQL does not know how many records there are. By
        # their places alone: beside a condition that has an index, the places would be gone through for each line.
        which = sql.SQL("""\
t.ctid = ANY (ARRAY(
    SELECT found.ctid
    FROM (
{read}
    ) AS r (document_id)
    CROSS JOIN LATERAL (
      SELECT ctid
      FROM {records}
      WHERE schema_name = current_schema() AND table_name = {table} AND document_id = r.document_id
      OFFSET 0
    ) AS found
  ))""").format(read=read, records=records, table=sql.Literal(table.name))
    statement = sql.SQL("DELETE FROM {} AS t\nWHERE {}").format(records, which)
    return statement if again is None else statement + sql.SQL("\n  AND NOT EXISTS ({})").format(again)


def _compose_read(settlement: Settlement, *, retries_read: bool) -> sql.Composed:
    """Compose the encoded ids of the documents the run read and understood, or read again."""
    table = settlement.table
    spell = encode if settlement.typed or settlement.known else encode_plain
    if settlement.tracked:
        # A document without a batch was not read but is shown by the table, maybe in an earlier version.
        read = sql.SQL("SELECT {} FROM {} AS d WHERE batch IS NOT NULL").format(
            spell(table, name("document", "d")), DOCUMENTS
        )
    else:
        read = sql.SQL("SELECT {} FROM {} AS d").format(spell(table, name(table.document_column, "d")), settlement.rows)
    if settlement.typed:
        read += sql.SQL("\nUNION\nSELECT document_id FROM {}").format(TYPED_DOCUMENTS)
    if retries_read:
        read += sql.SQL("\nUNION\nSELECT document_id FROM {} WHERE NOT is_parent").format(RETRIES)
    return read
