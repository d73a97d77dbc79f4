"""Rows that want a unique value another row has, where that value is not what identifies a row.

Who has the value in the table and still wants it keeps it; among newcomers the smallest document column value does.
"""

from psycopg import sql

from smartdiet_assets.load.conflicts.rereads import Settlement
from smartdiet_assets.load.execution import execute, fetch_value
from smartdiet_assets.load.fragments import (
    CLASHES,
    DOCUMENTS,
    REJECTS,
    encode,
    match,
    name,
    names,
    secondary_uniques,
    target_of,
)
from smartdiet_assets.schema.model import Table
from smartdiet_assets.schema.reasons import Reason


def settle_clashes(settlement: Settlement, *, rows: sql.Composable, replaced: sql.Composable) -> int:
    """Reject the rows that clash on a secondary unique constraint, until none does; return how many went.

    A rejected row may leave its old version in the table, which may clash with another row: so it is repeated.

    Args:
        rows: the rows to look at: the run's, or the winners among them.
        replaced: condition on a row `t` of the table: it is about to be replaced or removed.
    """
    total = 0
    while True:
        found = 0
        for columns in secondary_uniques(settlement.table):
            found += _settle_one(settlement, columns, rows, replaced)
        total += found
        if not found:
            return total


def compose_replaced(table: Table, *, rows: sql.Composable, tracked: bool, deletes: bool) -> sql.Composed:
    """Compose the condition that a row `t` of the table is replaced by the run's rows, or removed by it."""
    replaced = sql.SQL("EXISTS (SELECT FROM {} AS s WHERE {})").format(rows, match(table.key, "s", "t"))
    if not (tracked and deletes):
        return replaced
    return sql.SQL("({} OR EXISTS (SELECT FROM {} AS d WHERE d.document = {}))").format(
        replaced, DOCUMENTS, name(table.document_column, "t")
    )


def compose_probe(table: Table, columns: tuple[str, ...], rows: sql.Composable) -> sql.Composed:
    """Compose the question whether there can be a clash at all: it costs a fraction of the search.

    Rows that fill the table clash among themselves. Otherwise a clash takes a newcomer, a row that does not already
    hold its value in the table, where the constraint keeps the values apart.
    """
    wanted = _compose_wanted(columns)
    if rows == target_of(table):
        return sql.SQL("SELECT EXISTS (SELECT FROM {} AS r WHERE {} GROUP BY {} HAVING count(*) > 1)").format(
            rows, wanted, names(columns, "r")
        )
    return sql.SQL("SELECT EXISTS (SELECT FROM {} AS r WHERE {} AND NOT EXISTS (SELECT FROM {} AS h WHERE {}))").format(
        rows, wanted, target_of(table), _compose_holder(table, columns)
    )


def compose_may_clash(table: Table, columns: tuple[str, ...], rows: sql.Composable) -> sql.Composed:
    """Compose the condition that two rows want the same value, or one has a value of another row of the table.

    That row may be about to pass it on: only the search tells.
    """
    same = (sql.SQL("{} = {}").format(name(column, "t"), name(column, "r")) for column in columns)
    return sql.SQL("""\
(
  EXISTS (SELECT FROM {rows} AS r WHERE {wanted} GROUP BY {columns} HAVING count(*) > 1)
  OR EXISTS (SELECT FROM {rows} AS r JOIN {target} AS t ON {same} WHERE NOT ({key}))
)""").format(
        rows=rows,
        wanted=_compose_wanted(columns),
        columns=names(columns, "r"),
        target=target_of(table),
        same=sql.SQL(" AND ").join(same),
        key=match(table.key, "t", "r"),
    )


def compose_find_clashes(
    table: Table, columns: tuple[str, ...], rows: sql.Composable, replaced: sql.Composable
) -> sql.Composed:
    """Compose the search for the rows that have to give way on one unique constraint."""
    document = name(table.document_column, "r")
    return sql.SQL("""\
CREATE TEMPORARY TABLE {clashes} ON COMMIT DROP AS
SELECT place, document_id, document
FROM (
  SELECT r.ctid AS place, {document_id} AS document_id, {document}::text AS document,
    row_number() OVER (PARTITION BY {columns} ORDER BY h IS NULL, {document}::text COLLATE "C", r.ctid) > 1 AS beaten,
    EXISTS (
      SELECT FROM {target} AS t
      WHERE {same} AND NOT ({key}) AND NOT {replaced}
    ) AS taken
  FROM {rows} AS r
  LEFT JOIN {target} AS h ON {holder}
  WHERE {wanted}
) AS r
WHERE beaten OR taken""").format(
        clashes=CLASHES,
        document_id=encode(table, document),
        document=document,
        columns=names(columns, "r"),
        target=target_of(table),
        same=sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(name(column, "t"), name(column, "r")) for column in columns
        ),
        key=match(table.key, "t", "r"),
        replaced=replaced,
        rows=rows,
        holder=_compose_holder(table, columns),
        wanted=_compose_wanted(columns),
    )


def _compose_holder(table: Table, columns: tuple[str, ...]) -> sql.Composed:
    """The row `h` of the table is the row `r` itself, with the value it wants."""
    same = (sql.SQL("{} = {}").format(name(column, "h"), name(column, "r")) for column in columns)
    return sql.SQL(" AND ").join([match(table.key, "h", "r"), *same])


def _compose_wanted(columns: tuple[str, ...]) -> sql.Composed:
    """A NULL is never a clash."""
    return sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(name(column, "r")) for column in columns)


def _settle_one(
    settlement: Settlement, columns: tuple[str, ...], rows: sql.Composable, replaced: sql.Composable
) -> int:
    connection, table = settlement.connection, settlement.table
    if not fetch_value(connection, compose_probe(table, columns, rows)):
        return 0
    execute(connection, sql.SQL("DROP TABLE IF EXISTS {}").format(CLASHES))
    found = execute(connection, compose_find_clashes(table, columns, rows, replaced))
    if not found:
        return 0
    settlement.open_rejects()
    execute(
        connection,
        sql.SQL("""\
INSERT INTO {rejects} (document_id, document, column_name, reason, expected, received)
SELECT document_id, document, {column}, {reason}, {expected}, ''
FROM {clashes}""").format(
            rejects=REJECTS,
            clashes=CLASHES,
            column=sql.Literal(columns[0]),
            reason=sql.Literal(Reason.DUPLICATE_KEY.value),
            expected=sql.Literal(f"unique ({', '.join(columns)})"),
        ),
    )
    removed = execute(
        connection,
        sql.SQL("DELETE FROM {} AS r USING {} AS c WHERE r.ctid = c.place").format(rows, CLASHES),
    )
    parts = {"documents": DOCUMENTS, "clashes": CLASHES, "rows": settlement.rows, "document": settlement.document}
    if rows is not settlement.rows:
        removed = execute(
            connection,
            sql.SQL("DELETE FROM {rows} AS r USING {clashes} AS c WHERE r.{document}::text = c.document").format(
                **parts
            ),
        )
    if settlement.tracked and not table.shape.has_items:
        execute(
            connection,
            sql.SQL("DELETE FROM {documents} AS d USING {clashes} AS c WHERE d.document::text = c.document").format(
                **parts
            ),
        )
    settlement.rejected += removed
    return removed
