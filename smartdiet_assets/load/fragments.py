"""Pieces of SQL that the statements of a load share, and the names of its temporary tables."""

from collections.abc import Iterable
from typing import LiteralString

from psycopg import sql

from smartdiet_assets.load.structure.naming import candidates_name
from smartdiet_assets.schema.document_id import DIGEST, HEX, LONGEST
from smartdiet_assets.schema.model import Table

#: The rows of the run, in the target's stored columns.
STAGING = sql.Identifier("pg_temp", "mirror_staging")
#: The document column value of each document that was read and understood, and the number of its batch.
DOCUMENTS = sql.Identifier("pg_temp", "mirror_documents")
#: What could not become a row, by the transformation or by the load.
REJECTS = sql.Identifier("pg_temp", "mirror_rejects")
#: Rows whose parent is not there, one line for each column at fault.
ORPHANS = sql.Identifier("pg_temp", "mirror_orphans")
#: The documents to read again whatever their dates: encoded ids, or references to parents that others wait for.
RETRIES = sql.Identifier("pg_temp", "mirror_retries")
#: Documents whose id the document column does not tell, their rows, and which of them the table shows.
TYPED_DOCUMENTS = sql.Identifier("pg_temp", "mirror_typed_documents")
TYPED = sql.Identifier("pg_temp", "mirror_typed")
PLACED = sql.Identifier("pg_temp", "mirror_placed")
#: Rows that want a unique value another row has.
CLASHES = sql.Identifier("pg_temp", "mirror_clashes")
#: The rows that differ between staging and target: _op `I`, `U` or `D`, and the new values.
DELTA = sql.Identifier("pg_temp", "mirror_delta")
#: The keys whose winner may have changed, and the winners (`Shape.BEST_OF_KEY`).
KEYS = sql.Identifier("pg_temp", "mirror_keys")
WINNERS = sql.Identifier("pg_temp", "mirror_winners")

#: What follows schema and table in an index of a record.
_INDEXED: dict[tuple[str, str], LiteralString] = {
    ("rejected_rows", "table_name"): "document_id",
    ("awaited_parents", "table_name"): "document_id",
    ("awaited_parents", "parent_table"): "parent_id",
    ("missing_parents", "parent_table"): "parent_id",
    ("document_ids", "table_name"): "document",
    ("load_shards", "table_name"): "number",
}
_MIRRORED_DATES = ("created_at", "updated_at")

#: The command that wrote a row, counted within the transaction: it orders the batches of a run without a column.
#: Only good for rows that nothing has updated, deleted or locked since.
COMMAND = sql.SQL("cmin::text::bigint")


def target_of(table: Table) -> sql.Identifier:
    """Name the table itself, found by the connection's search path."""
    return sql.Identifier(table.name)


def candidates_of(table: Table) -> sql.Identifier:
    """Name the companion table, where documents wait behind another one of their key."""
    return sql.Identifier(*candidates_name(table))


def relations_of(table: Table) -> list[sql.Identifier]:
    """Name where documents of a table are: the rows it shows, and those that wait."""
    return [target_of(table), *([candidates_of(table)] if table.shape.shares_keys else [])]


def records_here(record: str) -> sql.Composed:
    """Compose the lines of one of the mirror's records about the connection's schema, as a FROM item without alias.

    For who only reads: it serves records, too, that do not tell schemas apart yet. There `schema_name` is found outside
    of LATERAL, and all lines are taken for those of the schema.
    """
    return sql.SQL(
        "(SELECT r.* FROM (SELECT current_schema()) AS here (schema_name),"
        " LATERAL (SELECT * FROM {} WHERE schema_name = current_schema()) AS r)"
    ).format(sql.Identifier("smartdiet", record))


def has_lines(record: LiteralString, column: LiteralString, value: LiteralString) -> LiteralString:
    """Say in SQL whether one of the mirror's records has lines about a table of the connection's schema.

    In an order, which has an index read. PostgreSQL believes that what another schema's table has many of, this one's
    has too, and would read through all lines for the first of them.

    Args:
        column: `table_name` or `parent_table`.
        value: the table's name, in SQL.
    """
    return f"""\
(
    SELECT true
    FROM smartdiet.{record}
    WHERE schema_name = current_schema() AND {column} = {value}
    ORDER BY {_INDEXED[record, column]}
    LIMIT 1
  ) IS NOT NULL"""


def stored(table: Table) -> list[str]:
    """List the columns the mirror writes, in the order of every row."""
    return [column.name for column in table.stored_columns]


def names(columns: Iterable[str], relation: str = "") -> sql.Composed:
    """List columns, separated by commas: `"a", "b"`, or `r."a", r."b"` with a relation's alias."""
    return sql.SQL(", ").join(name(column, relation) for column in columns)


def name(column: str, relation: str = "") -> sql.Composable:
    """Quote a column, with its relation's alias where given."""
    if not relation:
        return sql.Identifier(column)
    return sql.SQL("{}.{}").format(sql.SQL(relation), sql.Identifier(column))


def match(columns: Iterable[str], left: str, right: str) -> sql.Composed:
    """Compose the condition that two relations agree in columns that are never NULL, as those of a key."""
    return sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(name(column, left), name(column, right)) for column in columns
    )


def differ(columns: Iterable[str], left: str, right: str) -> sql.Composed:
    """Compose the condition that two relations differ in at least one of the columns."""
    kept = list(columns)
    return sql.SQL("({}) IS DISTINCT FROM ({})").format(names(kept, left), names(kept, right))


def encode(table: Table, value: sql.Composable) -> sql.Composed:
    """Compose the encoded id of the document that a document column's value stands for in the table.

    Args:
        value: with its relation's alias, as it stands in a query of its own.
    """
    return sql.SQL("coalesce(({}), {})").format(lookup(table, value), encode_plain(table, value))


def lookup(table: Table, value: sql.Composable) -> sql.Composed:
    """Compose the query for the encoded id that is kept for a document column's value, where it does not tell it."""
    return sql.SQL(
        "SELECT i.document_id FROM smartdiet.document_ids AS i"
        ' WHERE i.schema_name = current_schema() AND i.table_name = {} AND i.document = {}::text COLLATE "C"'
    ).format(sql.Literal(table.name), value)


def encode_plain(table: Table, value: sql.Composable) -> sql.Composed:
    """Compose the encoded id that a document column's value alone tells; see `schema.document_id.tells_id`."""
    if stands_for_numbers(table):
        return sql.SQL(
            "CASE WHEN {value} BETWEEN -2147483648 AND 2147483647 THEN '{{\"$numberInt\": \"' || {value} || '\"}}'"
            " ELSE '{{\"$numberLong\": \"' || {value} || '\"}}' END"
        ).format(value=value)
    return sql.SQL(
        "CASE WHEN {value}::text ~ {hex} THEN {value}::text"
        " WHEN octet_length(to_json({value}::text)::text) > {longest}"
        " THEN {digest} || encode(sha256(convert_to(to_json({value}::text)::text, 'UTF8')), 'hex')"
        " ELSE to_json({value}::text)::text END"
    ).format(
        value=value,
        hex=sql.SQL("'" + HEX + "'"),
        longest=sql.SQL(str(LONGEST)),
        digest=sql.SQL("'" + DIGEST + "'"),
    )


def stands_for_numbers(table: Table) -> bool:
    """Tell whether the document column's values alone tell ids that are numbers, rather than ObjectIds and strings."""
    return table.source_kind.has_documents and table.column(table.document_column).type.base.is_integer


def compared(table: Table) -> list[str]:
    """List the columns in which an existing row may be found changed.

    The dates of a relationship row are those of its first sync: they are neither compared nor updated.
    """
    kept = preserved(table)
    return [column for column in stored(table) if column not in table.key and column not in kept]


def preserved(table: Table) -> list[str]:
    """List the columns that keep their value when a relationship row is replaced."""
    return [column for column in stored(table) if table.shape.keeps_dates and column in _MIRRORED_DATES]


def secondary_uniques(table: Table) -> list[tuple[str, ...]]:
    """List what must be unique beside what identifies a row, as far as the mirror fills it."""
    known = {frozenset(table.key)}
    uniques = []
    for columns in (table.primary_key, *table.unique_constraints):
        generated = any(table.column(column).generated for column in columns)
        if columns and not generated and frozenset(columns) not in known:
            known.add(frozenset(columns))
            uniques.append(columns)
    return uniques
