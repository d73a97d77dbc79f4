"""Pieces of SQL that the statements of a load share, and the names of its temporary tables.

Here: pure functions from column names to fragments. Not here: whole statements, execution.
"""

from collections.abc import Iterable

from psycopg import sql

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
#: Rows that want a unique value another row has.
CLASHES = sql.Identifier("pg_temp", "mirror_clashes")
#: The rows that differ between staging and target: _op `I`, `U` or `D`, and the new values.
DELTA = sql.Identifier("pg_temp", "mirror_delta")
#: The keys whose winner may have changed, and the winners (`one_per_key`).
KEYS = sql.Identifier("pg_temp", "mirror_keys")
WINNERS = sql.Identifier("pg_temp", "mirror_winners")

_MIRRORED_DATES = ("created_at", "updated_at")

#: The command that wrote a row, counted within the transaction: it orders the batches of a run without a column.
#: Only good for rows that nothing has updated, deleted or locked since.
COMMAND = sql.SQL("cmin::text::bigint")


def target_of(table: Table) -> sql.Identifier:
    """Name the table itself, found by the connection's search path."""
    return sql.Identifier(table.name)


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


def encode(expression: sql.Composable) -> sql.Composed:
    """Compose a document column value as `encode_document_id` spells an id: ObjectId as is, other text as JSON."""
    return sql.SQL(
        "CASE WHEN {value}::text ~ '^[0-9a-f]{{24}}$' THEN {value}::text ELSE to_json({value}::text)::text END"
    ).format(value=expression)


def compared(table: Table) -> list[str]:
    """List the columns in which an existing row may be found changed.

    The dates of a relationship row are those of its first sync: they are neither compared nor updated.
    """
    kept_dates = _MIRRORED_DATES if table.shape == "items" else ()
    return [column for column in stored(table) if column not in table.key and column not in kept_dates]


def preserved(table: Table) -> list[str]:
    """List the columns that keep their value when a relationship row is replaced."""
    return [column for column in stored(table) if table.shape == "items" and column in _MIRRORED_DATES]


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
