"""Checksums of rows, computed on the server: the statements, composed and not executed.

Rows fall into buckets by a hash of their key, so that neither the type of the key, its gaps nor the collation of a
server matters. A bucket has a count and two sums of the halves of each row's hash, which no order of rows changes. The
rows of a bucket that differs come in the order of the key's hash, the same on both servers. A row's hash is of its
values as text in UTF-8: settings that change how text looks must be fixed before (`sides`).
"""

from collections.abc import Sequence

from psycopg import sql

from smartdiet_assets.compare.identities import TECHNICAL, RowIdentity, is_integer
from smartdiet_assets.load.fragments import name
from smartdiet_assets.load.structure.live import LiveTable
from smartdiet_assets.schema.types import find_type

#: Rows that share a bucket, where the table's size was guessed well; and buckets, for they are held in memory.
_ROWS_PER_BUCKET = 128
_MOST_BUCKETS = 1 << 14
_BYTES_PER_ROW = 100

SIZES = sql.SQL("""\
SELECT c.relname, pg_table_size(c.oid)
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relname = ANY (%s::text[])""")


def choose_buckets(size: int) -> int:
    """Choose how many buckets the rows of a table fall into, a power of two, by its size in bytes."""
    wanted = size // (_BYTES_PER_ROW * _ROWS_PER_BUCKET)
    return min(1 << wanted.bit_length(), _MOST_BUCKETS)


def compose_buckets(table: LiveTable, identity: RowIdentity, buckets: int) -> sql.Composed:
    """Compose the checksum of every bucket that has rows: its number, count, and two sums."""
    return sql.SQL("""\
SELECT
  {bucket} AS bucket,
  count(*),
  sum(('x' || left(row_hash, 16))::bit(64)::bigint),
  sum(('x' || right(row_hash, 16))::bit(64)::bigint)
FROM (
  {hashes}
) AS hashed
GROUP BY 1""").format(bucket=_compose_bucket(buckets), hashes=_compose_hashes(table, identity))


def compose_rows(table: LiveTable, identity: RowIdentity, buckets: int, numbers: Sequence[int]) -> sql.Composed:
    """Compose the rows of the buckets of given numbers.

    Each as (hash of the key, hash of the row, hashes of its columns, texts of the key's columns that may be shown); a
    text is NULL where the value does not look like an identifier.
    """
    return sql.SQL("""\
SELECT key_hash, row_hash, column_hashes, shown
FROM (
  {hashes}
) AS hashed
WHERE {bucket} = ANY ({numbers}::bigint[])
ORDER BY key_hash COLLATE "C", row_hash COLLATE "C\"""").format(
        bucket=_compose_bucket(buckets),
        hashes=_compose_hashes(table, identity, detailed=True),
        numbers=sql.Literal(list(numbers)),
    )


def _compose_hashes(table: LiveTable, identity: RowIdentity, *, detailed: bool = False) -> sql.Composed:
    details: sql.Composable = sql.SQL("")
    if detailed:
        hashes = [_hash(_compose_hashed(table, column), 8) for column in identity.columns]
        details = sql.SQL(",\n    ARRAY[{}]::text[] AS column_hashes,\n    ARRAY[{}]::text[] AS shown").format(
            sql.SQL(", ").join(hashes if identity.key else []),
            sql.SQL(", ").join(_show(table, column) for column in identity.shown),
        )
    # OFFSET 0 keeps the planner from computing a hash again wherever it is used.
    return sql.SQL("SELECT\n    {} AS key_hash,\n    {} AS row_hash{}\n  FROM {} AS t\n  OFFSET 0").format(
        _hash(_compose_record(table, identity.key or identity.columns)),
        _hash(_compose_record(table, identity.columns)),
        details,
        sql.Identifier(table.schema, table.name),
    )


def _compose_bucket(buckets: int) -> sql.Composed:
    return sql.SQL("('x' || left(key_hash, 8))::bit(32)::bigint & {}").format(sql.Literal(buckets - 1))


def _compose_record(table: LiveTable, columns: Sequence[str]) -> sql.Composed:
    """Compose values as one text, in which none can be taken for another."""
    return sql.SQL("ROW({})").format(sql.SQL(", ").join(_compose_hashed(table, column) for column in columns))


def _compose_hashed(table: LiveTable, column: str) -> sql.Composable:
    base, value = find_type(table.columns[column].type), name(column, "t")
    return sql.SQL(f"{base.hashed_by}({{}})").format(value) if base and base.hashed_by else value


def _hash(value: sql.Composable, length: int = 32) -> sql.Composed:
    whole = sql.SQL("md5(convert_to({}::text, 'UTF8'))").format(value)
    return whole if length == 32 else sql.SQL("left({}, {})").format(whole, sql.Literal(length))


def _show(table: LiveTable, column: str) -> sql.Composable:
    value = sql.SQL("{}::text").format(name(column, "t"))
    if is_integer(table.columns[column]):
        return value
    return sql.SQL("CASE WHEN {value} ~ {form} THEN {value} END").format(value=value, form=sql.Literal(TECHNICAL))
