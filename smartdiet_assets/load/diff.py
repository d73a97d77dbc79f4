"""The differences between a run's rows and the table, as one generic statement.

The join is a FULL JOIN, for which PostgreSQL has no nested loop: whatever it believes about row counts, it hashes or
merges. (The anti-join it replaces was once planned as a nested loop over 60,000 parents and never ended.)
"""

from psycopg import sql

from smartdiet_assets.load.execution import Connection, fetch_after
from smartdiet_assets.load.fragments import (
    DELTA,
    DOCUMENTS,
    STAGING,
    compared,
    differ,
    match,
    name,
    names,
    stored,
    target_of,
)
from smartdiet_assets.load.strategies import DeltaCounts
from smartdiet_assets.schema.model import Table


def compose_delta(
    table: Table,
    *,
    rows: sql.Composable = STAGING,
    scope: sql.Composable | None,
    deletes: bool = True,
) -> sql.Composed:
    """Compose the statement that creates `mirror_delta`.

    Args:
        table: its key tells which rows belong together, its compared columns which of them differ.
        rows: the relation that holds what should be.
        scope: condition on the target, as `t`, that selects the rows the run may remove; None when it removes none.
        deletes: whether rows in scope that are not among `rows` are differences at all.
    """
    columns = stored(table)
    known_of_both = [column for column in columns if column in table.key or column == table.document_column]
    values = sql.SQL(",\n  ").join(
        sql.SQL("coalesce({}, {}) AS {}").format(name(column, "s"), name(column, "t"), name(column))
        if column in known_of_both and scope is not None
        else name(column, "s")
        for column in columns
    )
    conditions: list[sql.Composable] = [sql.SQL("t._here IS NULL")]
    if scope is not None and deletes:
        conditions.append(sql.SQL("s._here IS NULL"))
    changeable = compared(table)
    if changeable:
        # A row that only the target has differs in every column, hence the first half.
        alone = sql.SQL("" if deletes or scope is None else "s._here AND ")
        conditions.append(sql.SQL("{}{}").format(alone, differ(changeable, "s", "t")))
    return sql.SQL("""\
CREATE TEMPORARY TABLE {delta} ON COMMIT DROP AS
SELECT
  (CASE WHEN t._here IS NULL THEN 'I' WHEN s._here IS NULL THEN 'D' ELSE 'U' END)::"char" AS _op,
  {values}
FROM (SELECT true AS _here, {columns} FROM {rows}) AS s
{join} JOIN (SELECT true AS _here, {columns} FROM {target} AS t{scope}) AS t
  ON {key}
WHERE {conditions}""").format(
        delta=DELTA,
        values=values,
        columns=names(columns),
        rows=rows,
        join=sql.SQL("LEFT" if scope is None else "FULL"),
        target=target_of(table),
        scope=sql.SQL("") if scope is None else sql.SQL(" WHERE {}").format(scope),
        key=match(table.key, "s", "t"),
        conditions=sql.SQL("\n  OR ").join(conditions),
    )


def compose_read_scope(table: Table) -> sql.Composed:
    """Compose the scope of a run: the rows of the documents it read."""
    return sql.SQL("{} IN (SELECT document FROM {})").format(name(table.document_column, "t"), DOCUMENTS)


def fill_delta(connection: Connection, table: Table, statement: sql.Composed, staged: int) -> DeltaCounts:
    """Create the delta and count it.

    Args:
        staged: how many rows there should be; those that are no difference are unchanged.
    """
    analyse = sql.SQL("ANALYZE {} ({})").format(DELTA, names(dict.fromkeys(["_op", *table.key])))
    count = sql.SQL("SELECT _op::text, count(*) FROM {} GROUP BY _op").format(DELTA)
    counts = dict(fetch_after(connection, [statement, analyse], count))
    inserted, updated = counts.get("I", 0), counts.get("U", 0)
    return DeltaCounts(
        inserted=inserted,
        updated=updated,
        deleted=counts.get("D", 0),
        unchanged=staged - inserted - updated,
    )
