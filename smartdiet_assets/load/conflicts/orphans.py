"""Rows of a run whose parent is not there: rejected, or their reference set to NULL, before anything is compared."""

from collections.abc import Sequence

from psycopg import sql

from smartdiet_assets.load.conflicts.rereads import Settlement, drop_duplicates
from smartdiet_assets.load.execution import execute, fetch_all, fetch_value
from smartdiet_assets.load.fragments import DOCUMENTS, ORPHANS, REJECTS, STAGING, encode, name, target_of
from smartdiet_assets.schema.model import Column, Table
from smartdiet_assets.schema.reasons import Reason


def settle_parents(settlement: Settlement) -> int:
    """Reject rows whose parent is not there, or set the reference to NULL where the column says so.

    A parent in the same table may be among the run's own rows, and be rejected itself: this repeats until nothing
    more falls out. Returns how many rows were rejected.
    """
    table = settlement.table
    columns = [column for column in table.stored_columns if column.foreign_key is not None]
    before = settlement.rejected
    while columns and _settle_parents_once(settlement, columns):
        # Only a row of this very table can have lost its parent by what was just rejected.
        columns = [column for column in columns if column.foreign_key and column.foreign_key.table == table.name]
    return settlement.rejected - before


def _settle_parents_once(settlement: Settlement, columns: list[Column]) -> int:
    connection, table = settlement.connection, settlement.table
    nullable = [
        column.name for column in columns if column.foreign_key and column.foreign_key.on_missing_parent == "null"
    ]
    found = _find_orphans(settlement, columns)
    # Of a row that was set to NULL in place nothing tells any more which of its document's reads it was.
    if found and nullable and settlement.rows is not STAGING and drop_duplicates(settlement):
        execute(connection, sql.SQL("DELETE FROM {} WHERE place IS NOT NULL").format(ORPHANS))
        found = _find_orphans(settlement, columns)
    if not found:
        return 0
    execute(connection, sql.SQL("ANALYZE {}").format(ORPHANS))
    if nullable:
        settlement.missing_parents_null += fetch_value(connection, compose_count_nulled())
        execute(connection, compose_null_orphans(settlement.rows, nullable))
    rejected = execute(connection, compose_remove_orphans(settlement.rows))
    settlement.rejected += rejected
    if rejected:
        settlement.open_rejects()
        execute(connection, compose_reject_orphans())
        if settlement.tracked and not table.shape.has_items:
            execute(
                connection,
                sql.SQL("""\
DELETE FROM {documents} AS d
USING {orphans} AS o
WHERE d.document::text = o.document
  AND o.place IS NOT NULL
  AND NOT o.nulled""").format(documents=DOCUMENTS, orphans=ORPHANS),
            )
    # What stays in the table is what the run waits for; the places are no longer good.
    execute(connection, sql.SQL("UPDATE {} SET place = NULL WHERE place IS NOT NULL").format(ORPHANS))
    return rejected


def _find_orphans(settlement: Settlement, columns: list[Column]) -> int:
    """Note the rows whose parent is not there; return how many references that are."""
    connection, table, rows = settlement.connection, settlement.table, settlement.rows
    # Most runs have none, and then counting spares the temporary table, which costs more than searching a few rows.
    [counts] = fetch_all(connection, compose_count_orphans(table, rows, columns))
    orphaned = [column for column, count in zip(columns, counts, strict=True) if count]
    if not orphaned:
        return 0
    settlement.open_orphans()
    return execute(connection, compose_find_orphans(table, rows, orphaned))


def compose_count_orphans(table: Table, rows: sql.Composable, columns: Sequence[Column]) -> sql.Composed:
    """Compose how many rows have no parent in each of the foreign keys: one row, a number for each column."""
    counts = (sql.SQL("(SELECT count(*) {})").format(_compose_orphans(table, rows, column)) for column in columns)
    return sql.SQL("SELECT\n{}").format(sql.SQL(",\n").join(counts))


def compose_is_orphaned(table: Table, rows: sql.Composable, column: Column) -> sql.Composed:
    """Compose the condition that some row has no parent in a foreign key."""
    return sql.SQL("EXISTS (SELECT {})").format(_compose_orphans(table, rows, column))


def compose_find_orphans(table: Table, rows: sql.Composable, columns: Sequence[Column]) -> sql.Composed:
    """Compose the search for rows whose parent in one of the foreign keys is not there."""
    return sql.SQL("""\
INSERT INTO {orphans}
  (document_id, document, column_name, parent_table, parent_column, parent_id, nulled, place)
{searches}""").format(
        orphans=ORPHANS, searches=sql.SQL("\nUNION ALL\n").join(_compose_search(table, rows, c) for c in columns)
    )


def _compose_search(table: Table, rows: sql.Composable, column: Column) -> sql.Composed:
    key = column.foreign_key
    assert key is not None
    return sql.SQL("""\
SELECT {document_id}, r.{document}::text, {column_name}, {parent_table}, {parent_column}, r.{column}::text, {nulled},
  r.ctid
{orphans}""").format(
        document_id=encode(table, name(table.document_column, "r")),
        document=name(table.document_column),
        column=name(column.name),
        column_name=sql.Literal(column.name),
        parent_table=sql.Literal(key.table),
        parent_column=sql.Literal(key.column),
        nulled=sql.Literal(key.on_missing_parent == "null"),
        orphans=_compose_orphans(table, rows, column),
    )


def _compose_orphans(table: Table, rows: sql.Composable, column: Column) -> sql.Composed:
    """Compose FROM and WHERE of the rows `r` whose parent is not there."""
    key = column.foreign_key
    assert key is not None
    missing = "NOT EXISTS (SELECT FROM {parent} AS p WHERE p.{parent_column} = r.{column}"
    # Rows that fill the table are in it already.
    if key.table == table.name and rows != target_of(table):
        if table.tracks_documents:
            # The rows of documents that were read are replaced by the run's own.
            missing += " AND NOT EXISTS (SELECT FROM {documents} AS d WHERE d.document = p.{document})"
        missing += ")\n  AND NOT EXISTS (SELECT FROM {rows} AS s WHERE s.{parent_column} = r.{column}"
    return sql.SQL("FROM {rows} AS r\nWHERE r.{column} IS NOT NULL\n  AND " + missing + ")").format(
        rows=rows,
        documents=DOCUMENTS,
        document=name(table.document_column),
        column=name(column.name),
        parent=sql.Identifier(key.table),
        parent_column=name(key.column),
    )


def compose_count_nulled() -> sql.Composed:
    """Compose the number of references about to be set to NULL."""
    return sql.SQL("""\
SELECT count(*)
FROM {orphans} AS o
WHERE o.place IS NOT NULL
  AND o.nulled
  AND NOT EXISTS (SELECT FROM {orphans} AS x WHERE x.place = o.place AND NOT x.nulled)""").format(orphans=ORPHANS)


def compose_null_orphans(rows: sql.Composable, columns: list[str]) -> sql.Composed:
    """Compose setting references to NULL where their parent is not there, except in rows about to be rejected.

    One statement for all columns: an updated row is no longer at its place.
    """
    assignments = sql.SQL(", ").join(
        sql.SQL("{column} = CASE WHEN {column_name} = ANY (o.missing) THEN NULL ELSE r.{column} END").format(
            column=name(column), column_name=sql.Literal(column)
        )
        for column in columns
    )
    return sql.SQL("""\
UPDATE {rows} AS r
SET {assignments}
FROM (
  SELECT place, array_agg(column_name) AS missing
  FROM {orphans}
  WHERE place IS NOT NULL
  GROUP BY place
  HAVING bool_and(nulled)
) AS o
WHERE r.ctid = o.place""").format(rows=rows, assignments=assignments, orphans=ORPHANS)


def compose_remove_orphans(rows: sql.Composable) -> sql.Composed:
    """Compose the removal of the rows to reject."""
    return sql.SQL(
        "DELETE FROM {rows} AS r\n"
        "USING (SELECT DISTINCT place FROM {orphans} WHERE place IS NOT NULL AND NOT nulled) AS o\n"
        "WHERE r.ctid = o.place"
    ).format(rows=rows, orphans=ORPHANS)


def compose_reject_orphans() -> sql.Composed:
    """Compose noting a reject for each removed row: one, however many of its parents are missing."""
    return sql.SQL("""\
INSERT INTO {rejects} (document_id, document, column_name, reason, expected, received, batch)
SELECT DISTINCT ON (place)
  document_id, document, column_name, {reason}, format('a row in %s(%s)', parent_table, parent_column), '',
  NULL::integer
FROM {orphans}
WHERE place IS NOT NULL
  AND NOT nulled
ORDER BY place, column_name""").format(
        rejects=REJECTS, orphans=ORPHANS, reason=sql.Literal(Reason.MISSING_PARENT.value)
    )
