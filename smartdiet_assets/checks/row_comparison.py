"""Comparing the rows that documents describe with those in the table, in one statement that changes nothing.

It compares as a run does: the same key, the same columns, the same equality; dates of relationship rows are those of
their first sync and are left alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from psycopg import sql
from psycopg.types.json import Jsonb

from smartdiet_assets.load.execution import Connection, fetch_all
from smartdiet_assets.load.fragments import compared, name, names, records_here, relations_of, stored
from smartdiet_assets.load.strategies import get_strategy
from smartdiet_assets.load.structure.companion import place
from smartdiet_assets.schema.keys import DELETED_AT
from smartdiet_assets.schema.model import Column, Table

_REJECTED = sql.SQL("""\
SELECT r.table_name, r.document_id
FROM {} AS r
WHERE r.table_name = ANY(%s)
  AND r.document_id = ANY(%s)""").format(records_here("rejected_rows"))


@dataclass(frozen=True, slots=True)
class RowDifference:
    """One row that is missing, too much, or differs in `columns`; `document` is its document column as text."""

    document: str
    missing: bool
    extra: bool
    columns: tuple[str, ...]


def fetch_rejected(
    connection: Connection, tables: Sequence[Table], document_ids: Sequence[str]
) -> set[tuple[str, str]]:
    """Fetch which of the documents are among the rejects of the tables, as (table, encoded id)."""
    rows = fetch_all(connection, _REJECTED, [[table.name for table in tables], list(document_ids)])
    return {(table_name, document_id) for table_name, document_id in rows}


def fetch_differences(
    connection: Connection, table: Table, rows: Sequence[Sequence[object]], documents: Iterable[object]
) -> list[RowDifference]:
    """Fetch the rows that differ from those given.

    Args:
        rows: what the documents describe, in the order of `stored_columns`.
        documents: document column values of all documents to compare, also of those without a row.

    Raises:
        psycopg.Error: PostgreSQL refused or was lost.
    """
    columns: list[list[object]] = [list(map(_plain, values)) for values in zip(*rows, strict=True)]
    parameters = columns or [[] for _ in table.stored_columns]
    found = fetch_all(connection, compose_differences(place(connection, table)), [*parameters, list(documents)])
    differences = [RowDifference(document, missing, extra, tuple(names)) for document, missing, extra, names in found]
    deletes = get_strategy(table.import_strategy).deletes
    return [difference for difference in differences if deletes or not difference.extra]


def compose_differences(table: Table) -> sql.Composed:
    """Compose the comparison; its parameters are one array for each stored column, and one of documents."""
    keys = table.identity
    columns = [column for column in table.stored_columns if column.name in compared(table) or column.name in table.key]
    columns = [column for column in columns if column.name not in keys and column.name != DELETED_AT]
    document = table.column(table.document_column)
    found = sql.SQL("\n  UNION ALL\n  ").join(
        sql.SQL("SELECT true AS _here, {} FROM {} AS t JOIN asked ON {} = asked.document").format(
            sql.SQL(", ").join(_bytewise(column, "t") for column in table.stored_columns),
            relation,
            _collated(document, name(document.name, "t")),
        )
        for relation in relations_of(table)
    )
    return sql.SQL("""\
WITH expected AS (
  SELECT true AS _here, {expected}
  FROM unnest({arrays}) AS r ({columns})
), asked AS (
  SELECT {document} AS document
  FROM unnest({documents}) AS r (document)
), found AS (
  {found}
)
SELECT document, missing, extra, columns
FROM (
  SELECT
    coalesce(e.{document_column}, f.{document_column})::text AS document,
    f._here IS NULL AS missing,
    e._here IS NULL AS extra,
    CASE WHEN e._here AND f._here THEN array_remove(ARRAY[{differing}]::text[], NULL) ELSE '{{}}' END AS columns
  FROM expected AS e
  FULL JOIN found AS f ON {key}
) AS compared
WHERE missing OR extra OR columns <> '{{}}'""").format(
        expected=sql.SQL(", ").join(_bytewise(column, "r") for column in table.stored_columns),
        arrays=sql.SQL(", ").join(sql.SQL("%s::{}[]").format(_input_type(column)) for column in table.stored_columns),
        columns=names(stored(table)),
        document=_collated(document, sql.SQL("r.document")),
        documents=sql.SQL("%s::{}[]").format(_input_type(document)),
        found=found,
        document_column=name(document.name),
        differing=sql.SQL(", ").join(_compose_differing(table, column) for column in columns),
        key=sql.SQL(" AND ").join(sql.SQL("{} = {}").format(name(key, "e"), name(key, "f")) for key in keys),
    )


def _compose_differing(table: Table, column: Column) -> sql.Composed:
    """The column's name where it differs. A reference may be NULL for want of its parent."""
    expected, found = name(column.name, "e"), name(column.name, "f")
    differs = sql.SQL("{} IS DISTINCT FROM {}").format(expected, found)
    key = column.foreign_key
    if key is not None and key.on_missing_parent == "null":
        differs = sql.SQL("""\
{differs} AND NOT ({found} IS NULL AND (
      NOT EXISTS (SELECT FROM {parent} AS p WHERE {parent_column} = {expected})
      OR EXISTS (
        SELECT FROM {waits} AS w
        WHERE w.table_name = {table_name}
          AND w.column_name = {column_name}
          AND w.parent_id = {expected}::text)))""").format(
            differs=differs,
            found=found,
            waits=records_here("awaited_parents"),
            parent=sql.Identifier(key.table),
            parent_column=_collated(column, name(key.column, "p")),
            expected=expected,
            table_name=sql.Literal(table.name),
            column_name=sql.Literal(column.name),
        )
    return sql.SQL("CASE WHEN {} THEN {} END").format(differs, sql.Literal(column.name))


def _bytewise(column: Column, relation: str) -> sql.Composed:
    return sql.SQL("{} AS {}").format(_collated(column, name(column.name, relation)), name(column.name))


def _collated(column: Column, expression: sql.Composable) -> sql.Composable:
    """Two collations cannot be compared without naming one."""
    if column.type.is_text:
        return sql.SQL('{} COLLATE "C"').format(expression)
    return expression


def _input_type(column: Column) -> sql.SQL:
    """The type an array of values is sent as. Lengths were checked, and a cast would cut what is too long."""
    return sql.SQL("text" if column.type.is_text and column.type.base.tells_apart else column.type.sql)


def _plain(value: object) -> object:
    return value.obj if isinstance(value, Jsonb) else value
