"""What ended up in the tables, in numbers that two ways of loading must have in common: so that none wins by less.

Here: a checksum of logbooks whatever a way makes of their types and names; ids and items of collections loaded as they
are; a checksum of the tables the replaced tool fills. Not here: loading.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import sql
from pymongo.database import Database

from smartdiet_assets_tests.benchmarks.measuring import Work
from smartdiet_assets_tests.benchmarks.peers.replaced import OldTable
from smartdiet_assets_tests.benchmarks.servers import Connection

#: Columns of our logbooks, in the types all can be brought to.
OURS = (
    "id", "user_id", "coaching_id", "day", "meal", "mood::float8", "water::float8", "weight::float8", "completed",
    "comment", "created_at", "updated_at",
)  # fmt: skip
#: The same from the columns of a way that keeps the documents' fields.
FIELDS = (
    "_id", '"user"', "coaching", "(day AT TIME ZONE 'Europe/Paris')::date", "meal", "mood::float8", "water::float8",
    "weight::float8", "completed", "comment", "creation_date AT TIME ZONE 'UTC'", "update_date AT TIME ZONE 'UTC'",
)  # fmt: skip
#: The replaced tool took the UTC day of a local midnight: the day before.
REPLACED = tuple("day + 1" if column == "day" else column for column in OURS)


def sum_up_logbooks(connection: Connection, schema: str, table: str, expressions: Sequence[str]) -> Work:
    """Count logbooks and sum their contents up."""
    row = connection.execute(
        sql.SQL("SELECT count(*), sum(hashtextextended(concat_ws('|', {}), 0))::text FROM {}").format(
            sql.SQL(", ").join(map(sql.SQL, expressions)), sql.Identifier(schema, table)
        )
    ).fetchone()
    assert row is not None
    return {"rows": row[0], "content": f"{int(row[1] or 0) % 2**64:016x}"}


def sum_up_source(source: Database[Any], arrays: Mapping[str, Sequence[str]]) -> Work:
    """Count the documents and items of the source itself, and sum their ids up."""
    documents = items = 0
    ids = 0
    for collection, fields in arrays.items():
        for document in source[collection].find({}, dict.fromkeys(fields, 1)):
            documents += 1
            ids = (ids + _hash(str(document["_id"]))) % 2**64
            items += sum(len(value) for field in fields if isinstance(value := document.get(field), list))
    return {"documents": documents, "items": items, "ids": f"{ids:016x}"}


def sum_up_collections(connection: Connection, schema: str, arrays: Mapping[str, Sequence[str]]) -> Work:
    """Count the rows and items of collections loaded as they are, and sum their ids up."""
    documents = items = 0
    ids = 0
    for collection, fields in arrays.items():
        table = sql.Identifier(schema, collection)
        for (identity,) in connection.execute(sql.SQL("SELECT _id FROM {}").format(table)):
            documents += 1
            ids = (ids + _hash(identity)) % 2**64
        items += sum(_count_items(connection, schema, collection, field) for field in fields)
    return {"documents": documents, "items": items, "ids": f"{ids:016x}"}


def _count_items(connection: Connection, schema: str, collection: str, field: str) -> int:
    """Count the items of an array: rows of a table of their own, or those in a column of JSON or its text."""
    apart = f"{collection}__{field}"
    if _has_column(connection, schema, apart, "value") or _has_column(connection, schema, apart, "_id"):
        query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, apart))
    elif _has_column(connection, schema, collection, field):
        query = sql.SQL(
            "SELECT coalesce(sum(CASE WHEN a LIKE '[%%' THEN jsonb_array_length(a::jsonb) END), 0)"
            " FROM (SELECT {}::text AS a FROM {}) AS t"
        ).format(sql.Identifier(field), sql.Identifier(schema, collection))
    else:
        return 0
    row = connection.execute(query, []).fetchone()
    assert row is not None
    return int(row[0])


def _has_column(connection: Connection, schema: str, table: str, column: str) -> bool:
    query = "SELECT FROM information_schema.columns WHERE (table_schema, table_name, column_name) = (%s, %s, %s)"
    return connection.execute(query, [schema, table, column]).fetchone() is not None


def sum_up_old_tables(connection: Connection, schema: str, tables: Sequence[OldTable]) -> Work:
    """Count the rows of an old file's tables and sum their contents up, but for what that tool made of dates.

    It wrote the moment of the run into some tables, and a day that is a local midnight as the day before.
    """
    rows = 0
    content = hashlib.blake2b(digest_size=8)
    for table in tables:
        columns = [column for column in table.columns if not _is_dated(column, table)]
        row = connection.execute(
            sql.SQL("SELECT count(*), sum(hashtextextended(concat_ws('|', {}), 0))::text FROM {}").format(
                sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(schema, table.name)
            )
        ).fetchone()
        assert row is not None
        rows += row[0]
        content.update(f"{table.name} {row}".encode())
    return {"rows": rows, "content": content.hexdigest()}


def _is_dated(column: str, table: OldTable) -> bool:
    return column in ("birthdate", "day") or (table.link is not None and column in ("created_at", "updated_at"))


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
