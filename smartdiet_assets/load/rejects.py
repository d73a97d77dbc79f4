"""The lasting records of what could not be loaded, and of the parents it waits for.

Here: bringing `smartdiet.rejected_rows` and `smartdiet.awaited_parents` up to date at the end of a run, and the ids a
run reads again because of them. Not here: finding rejects (`load.settle`, `transform`), showing them
(`load.inspection`).
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from uuid import UUID

from bson.binary import OLD_UUID_SUBTYPE, Binary
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId
from psycopg import sql
from psycopg.rows import tuple_row

from smartdiet_assets.load.execution import Connection, execute, fetch_value
from smartdiet_assets.load.fragments import ORPHANS, REJECTS
from smartdiet_assets.schema.document_id import encode_document_id
from smartdiet_assets.schema.model import Schema, Table

#: Ids of one chunk to read again: one `$in` of the source.
RETRY_CHUNK = 100

_NOT_REJECTED_ANY_MORE = sql.SQL("""\
DELETE FROM smartdiet.rejected_rows AS r
WHERE r.table_name = %(table)s
  AND NOT EXISTS (SELECT FROM {rejects} AS x WHERE x.document_id = r.document_id)""").format(rejects=REJECTS)

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

_NOT_AWAITED_ANY_MORE = sql.SQL("""\
DELETE FROM smartdiet.awaited_parents AS a
WHERE a.table_name = %(table)s
  AND NOT EXISTS (
    SELECT FROM {orphans} AS o
    WHERE o.document_id = a.document_id
      AND o.column_name = a.column_name
      AND o.parent_id = a.parent_id)""").format(orphans=ORPHANS)

_AWAIT = sql.SQL("""\
INSERT INTO smartdiet.awaited_parents
  (table_name, document_id, column_name, parent_table, parent_id, first_run_id)
SELECT DISTINCT %(table)s, document_id, column_name, parent_table, parent_id, %(run)s
FROM {orphans}
ON CONFLICT (table_name, document_id, column_name, parent_id) DO NOTHING""").format(orphans=ORPHANS)

# An id is asked for once, whether it was rejected here, waits here, or is waited for elsewhere.
_RETRY = """\
SELECT document_id, false
FROM smartdiet.rejected_rows
WHERE table_name = %(table)s
  AND document_id <> ''
UNION
SELECT document_id, false
FROM smartdiet.awaited_parents
WHERE table_name = %(table)s
  AND document_id <> ''
UNION
SELECT parent_id, parent_id !~ '^[0-9a-f]{24}$'
FROM smartdiet.awaited_parents
WHERE parent_table = %(table)s
  AND (table_name, column_name) IN (SELECT * FROM unnest(%(tables)s::text[], %(columns)s::text[]))"""

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
_DOUBLE = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?")
_BINARY = re.compile(r"\\x((?:[0-9a-f]{2})*)")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def store_rejects(connection: Connection, table: Table, run_id: str, *, all_read_again: bool) -> int:
    """Bring the records up to date with the run; return how many documents it rejected.

    Args:
        all_read_again: whether the run read all the documents the records name. Those that were not rejected again
            are then loaded, or gone at the source, and leave the records.
    """
    parameters = {"table": table.name, "run": run_id}
    if all_read_again:
        execute(connection, _NOT_REJECTED_ANY_MORE, parameters)
        execute(connection, _NOT_AWAITED_ANY_MORE, parameters)
    rejected = execute(connection, _REJECT, parameters)
    execute(connection, _AWAIT, parameters)
    return rejected


def clear_rejects(connection: Connection, table_names: Iterable[str]) -> None:
    """Forget the rejects and waits of tables that were emptied: everything is read again."""
    for relation in ("rejected_rows", "awaited_parents"):
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
        cursor.itersize = 20 * RETRY_CHUNK
        cursor.execute(others)
        while chunk := cursor.fetchmany(20 * RETRY_CHUNK):
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


def has_rejects(connection: Connection) -> bool:
    """Tell whether the run has rejected anything so far."""
    return bool(fetch_value(connection, sql.SQL("SELECT EXISTS (SELECT FROM {})").format(REJECTS)))


def stream_retry_ids(connection: Connection, schema: Schema, table: Table) -> Iterator[list[str]]:
    """Stream the encoded ids of the documents to read again, in chunks, from a server-side cursor.

    They are the table's rejected documents, those whose reference was set to NULL for want of a parent, and the
    parents in this table that rows of others wait for.
    """
    # Only a reference to the document's id can be turned into an id to ask for.
    waiting = [
        (other.name, column.name)
        for other in schema.tables.values()
        for column in other.columns
        if column.foreign_key
        and column.foreign_key.table == table.name
        and column.foreign_key.column == table.document_column
    ]
    parameters = {
        "table": table.name,
        "tables": [pair[0] for pair in waiting],
        "columns": [pair[1] for pair in waiting],
    }
    chunk: list[str] = []
    with connection.cursor("mirror_retry", row_factory=tuple_row) as cursor:
        cursor.itersize = 20 * RETRY_CHUNK
        cursor.execute(_RETRY, parameters)
        for text, is_reference in cursor:
            for document_id in spell_reference(text) if is_reference else respell(text):
                chunk.append(document_id)
                if len(chunk) == RETRY_CHUNK:
                    yield chunk
                    chunk = []
    if chunk:
        yield chunk


def spell_reference(text: str) -> list[str]:
    """List the encoded ids that a reference other than an ObjectId may mean: the column does not tell their type."""
    return [encode_document_id(text), *(encode_document_id(value) for value in _read_as_other_types(text))]


def spell_document(text: str) -> list[str]:
    """List the encoded ids of all documents whose id a document column shows as a text."""
    spelled = [encode_document_id(text), *(encode_document_id(value) for value in _read_as_any_type(text))]
    return list(dict.fromkeys(spelled))


def respell(document_id: str) -> list[str]:
    """List an encoded id, and what else it may be where the load made it from a column value."""
    if not document_id.startswith('"') or "\\" in document_id:
        return [document_id]
    return [document_id, *(encode_document_id(value) for value in _read_as_other_types(document_id[1:-1]))]


def _read_as_other_types(text: str) -> Iterator[object]:
    if text in ("true", "false"):
        yield text == "true"
    elif _INTEGER.fullmatch(text) and -(1 << 63) <= int(text) < 1 << 63:
        yield int(text)
    elif _DOUBLE.fullmatch(text):
        yield float(text)
    elif _UUID.fullmatch(text):
        yield Binary.from_uuid(UUID(text))


def _read_as_any_type(text: str) -> Iterator[object]:
    """Read a text back as every type that is shown as it, also those nobody refers to."""
    yield from _read_as_other_types(text)
    if ObjectId.is_valid(text):
        yield ObjectId(text)
    if binary := _BINARY.fullmatch(text):
        content = bytes.fromhex(binary[1])
        yield from (Binary(content, subtype) for subtype in range(256))
    if _UUID.fullmatch(text):
        yield Binary(UUID(text).bytes, OLD_UUID_SUBTYPE)
    with suppress(ValueError):
        yield datetime.fromisoformat(text)
    with suppress(ArithmeticError):
        yield Decimal128(text)
    if text in ("NaN", "Infinity", "-Infinity"):
        yield float(text)
