"""The lasting records of what could not be loaded, and of the parents it waits for.

Here: bringing `rejected_rows`, `awaited_parents` and, for the table's own waits, `missing_parents` of the schema
`smartdiet` up to date at the end of a run. Not here: finding rejects (`load.settle`, `load.parents`, `transform`),
which documents are read again because of them (`load.retries`), showing them (`load.inspection`).
"""

from collections.abc import Iterable

from psycopg import sql
from psycopg.rows import tuple_row

from smartdiet_assets.load.advisory import lock_waits
from smartdiet_assets.load.cascade import list_askable
from smartdiet_assets.load.execution import Connection, execute, fetch_all, fetch_value
from smartdiet_assets.load.fragments import DOCUMENTS, ORPHANS, REJECTS, RETRIES, encode, name
from smartdiet_assets.load.settle import Settlement
from smartdiet_assets.load.spelling import spell_reference
from smartdiet_assets.schema.model import Schema, Table

#: Ids of documents that are gone, spelled at a time.
_CHUNK = 2_000

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
ON CONFLICT (table_name, document_id) DO UPDATE SET
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
FROM {orphans}
ON CONFLICT (table_name, document_id, column_name, parent_id) DO UPDATE SET
  tried_at = now(),
  arrived = false""").format(orphans=ORPHANS)

_MISS = sql.SQL("""\
INSERT INTO smartdiet.missing_parents (parent_table, parent_id, table_name)
SELECT DISTINCT parent_table, parent_id, %(table)s
FROM {orphans}
WHERE column_name = ANY (%(columns)s)
ON CONFLICT (parent_table, parent_id, table_name) DO NOTHING""").format(orphans=ORPHANS)

_PRESENT = sql.SQL("""\
SELECT
  EXISTS (SELECT FROM smartdiet.rejected_rows WHERE table_name = %(table)s),
  EXISTS (SELECT FROM smartdiet.awaited_parents WHERE table_name = %(table)s)""")


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
        rejected = execute(connection, _REJECT, {"table": table.name, "run": run_id})
    if settlement.has_orphans and fetch_value(connection, sql.SQL("SELECT EXISTS (SELECT FROM {})").format(ORPHANS)):
        lock_waits(connection, table.name)
        execute(connection, _AWAIT, {"table": table.name, "run": run_id})
        execute(connection, _MISS, {"table": table.name, "columns": list_askable(schema, table)})
    return rejected


def clear_rejects(connection: Connection, table_names: Iterable[str]) -> None:
    """Forget the rejects and waits of tables that were emptied: everything is read again."""
    for relation in ("rejected_rows", "awaited_parents", "missing_parents"):
        execute(
            connection,
            sql.SQL("DELETE FROM {} WHERE table_name = ANY(%s)").format(sql.Identifier("smartdiet", relation)),
            [list(table_names)],
        )


def clear_documents(connection: Connection, table: Table, gone: sql.Identifier) -> None:
    """Forget the rejects and waits of documents that are gone.

    Args:
        gone: a relation with their ids in the document column.
    """
    of_table = sql.SQL(
        "SELECT EXISTS (SELECT FROM smartdiet.rejected_rows WHERE table_name = %(table)s)"
        " OR EXISTS (SELECT FROM smartdiet.awaited_parents WHERE table_name = %(table)s)"
    )
    if not fetch_value(connection, of_table, {"table": table.name}):
        return
    parts = {"document": sql.Identifier(table.document_column), "gone": gone}
    documents = sql.SQL("SELECT {document}::text FROM {gone}").format(**parts)
    _clear(connection, table, documents, None)
    _clear(connection, table, sql.SQL("SELECT to_json({document}::text)::text FROM {gone}").format(**parts), None)
    # What is no ObjectId may have been a number or another type: the column does not tell.
    others = sql.SQL("{documents} WHERE {document}::text !~ '^[0-9a-f]{{24}}$'").format(documents=documents, **parts)
    with connection.cursor("mirror_gone_ids", row_factory=tuple_row) as cursor:
        cursor.itersize = _CHUNK
        cursor.execute(others)
        while chunk := cursor.fetchmany(_CHUNK):
            spelled = [spelling for (text,) in chunk for spelling in spell_reference(text)]
            _clear(connection, table, sql.SQL("SELECT unnest(%(ids)s::text[])"), spelled)


def _clear(connection: Connection, table: Table, document_ids: sql.Composable, ids: list[str] | None) -> None:
    for relation in ("rejected_rows", "awaited_parents"):
        execute(
            connection,
            sql.SQL("DELETE FROM {}\nWHERE table_name = %(table)s\n  AND document_id IN ({})").format(
                sql.Identifier("smartdiet", relation), document_ids
            ),
            {"table": table.name, "ids": ids},
        )


def count_rejected(connection: Connection, table: Table) -> int:
    """Count the documents a table has in the records; those whose ids cannot be read share one line."""
    return int(
        fetch_value(
            connection,
            # Two queries: the first one needs the index alone.
            sql.SQL("""\
SELECT
  (SELECT count(*) FROM smartdiet.rejected_rows WHERE table_name = {table})
  + coalesce((SELECT items - 1 FROM smartdiet.rejected_rows WHERE table_name = {table} AND document_id = ''), 0)
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
    statement = sql.SQL("DELETE FROM {} AS t\nWHERE t.table_name = {}").format(records, sql.Literal(table.name))
    if again is not None:
        statement += sql.SQL("\n  AND NOT EXISTS ({})").format(again)
    if read is not None:
        # OFFSET 0: found by index, one by one, even where PostgreSQL does not know how many records there are.
        statement += sql.SQL("""
  AND t.ctid = ANY (ARRAY(
    SELECT found.ctid
    FROM (
{read}
    ) AS r (document_id)
    CROSS JOIN LATERAL (
      SELECT ctid FROM {records} WHERE table_name = {table} AND document_id = r.document_id OFFSET 0
    ) AS found
  ))""").format(read=read, records=records, table=sql.Literal(table.name))
    return statement


def _compose_read(settlement: Settlement, *, retries_read: bool) -> sql.Composed:
    """Compose the encoded ids of the documents the run read and understood, or read again."""
    if settlement.tracked:
        # A document without a batch was not read but is shown by the table, maybe in an earlier version.
        read = sql.SQL("SELECT {} FROM {} WHERE batch IS NOT NULL").format(encode(name("document")), DOCUMENTS)
    else:
        read = sql.SQL("SELECT {} FROM {}").format(encode(settlement.document), settlement.rows)
    if retries_read:
        read += sql.SQL("\nUNION\nSELECT document_id FROM {} WHERE NOT is_parent").format(RETRIES)
    return read
