"""Which documents a run reads again whatever their dates, and what comes of it for those who wait.

What is new is read at once, however much: documents whose awaited parent arrived, and parents nobody asked for yet.
What was tried before in vain is tried again in turns, by the order of the ids and at most so many in one run, so that
the cost of a run does not grow with what has been waiting for long. How far the turns are is kept once for the table:
what stays as it is is not written. What is edited comes with the window, out of turn.
"""

from collections.abc import Iterator
from typing import LiteralString

from psycopg import sql
from psycopg.rows import tuple_row

from smartdiet_assets.load.advisory import try_lock_waits
from smartdiet_assets.load.execution import Connection, execute, fetch_value
from smartdiet_assets.load.fragments import RETRIES, has_lines, name
from smartdiet_assets.load.removal.cascade import list_references
from smartdiet_assets.load.spelling import respell, spell_value
from smartdiet_assets.load.target import Target
from smartdiet_assets.schema.model import Table

#: Ids of one chunk to read again: one `$in` of the source.
RETRY_CHUNK = 100

# An id that could not be read (''), or is kept as a digest because of its length, cannot be asked for: its document is
# read again when it changes, or by a full read. Any other is asked for once, whether it was rejected
# here, waits here, or is waited for elsewhere.
_NEW = """\
SELECT document_id, false AS is_parent, NULL::bigint AS place
FROM smartdiet.awaited_parents
WHERE schema_name = current_schema()
  AND table_name = {table}
  AND arrived
  AND document_id <> ''
  AND NOT starts_with(document_id, 'sha256:')
UNION
SELECT parent_id, true, NULL
FROM smartdiet.missing_parents
WHERE schema_name = current_schema()
  AND parent_table = {table}
  AND asked_at IS NULL"""

_BROUGHT_BY_THIS_RUN = """
UNION
SELECT a.document_id, false, NULL
FROM {rows} AS r
CROSS JOIN LATERAL (
  SELECT document_id, table_name, column_name
  FROM smartdiet.awaited_parents
  WHERE schema_name = current_schema() AND parent_table = {table} AND parent_id = r.{parent_column}::text
  OFFSET 0
) AS a
WHERE a.table_name = {table}
  AND a.column_name = {column}
  AND a.document_id <> ''
  AND NOT starts_with(a.document_id, 'sha256:')"""

#: What was tried before, in the order of the ids: those behind the last one of the last turn, then those up to it.
_TRIED: tuple[LiteralString, ...] = (
    """\
      SELECT document_id, false AS is_parent, {again} AS again
      FROM smartdiet.rejected_rows
      WHERE schema_name = current_schema()
        AND table_name = {table}
        AND document_id <> ''
        AND NOT starts_with(document_id, 'sha256:')
        AND document_id {side} {position}
      ORDER BY document_id
      LIMIT {limit}""",
    """\
      SELECT DISTINCT document_id, false, {again}
      FROM smartdiet.awaited_parents
      WHERE schema_name = current_schema()
        AND table_name = {table}
        AND document_id <> ''
        AND NOT starts_with(document_id, 'sha256:')
        AND document_id {side} {position}
      ORDER BY document_id
      LIMIT {limit}""",
    """\
      SELECT DISTINCT parent_id, true, {again}
      FROM smartdiet.missing_parents
      WHERE schema_name = current_schema()
        AND parent_table = {table}
        AND asked_at IS NOT NULL
        AND parent_id {side} {position}
      ORDER BY parent_id
      LIMIT {limit}""",
)
_IN_TURN = """
UNION ALL
(
  SELECT document_id, is_parent, row_number() OVER (ORDER BY again, document_id, is_parent DESC) AS place
  FROM (
    SELECT DISTINCT document_id, is_parent, again
    FROM (
{tried}
    ) AS t
  ) AS t
  ORDER BY place
  LIMIT {limit}
)"""
_SIDES: tuple[tuple[LiteralString, LiteralString], ...] = ((">", "false"), ("<=", "true"))
_POSITION: LiteralString = """\
coalesce((
          SELECT retry_position
          FROM smartdiet.sync_state
          WHERE schema_name = current_schema() AND table_name = {table}
        ), '') COLLATE "C\""""

_ANY = sql.SQL("true")

#: Where they are more than a turn holds, the next one begins behind the last of this one.
_MOVE_ON = sql.SQL("""\
UPDATE smartdiet.sync_state
SET retry_position = r.document_id
FROM {} AS r
WHERE schema_name = current_schema()
  AND table_name = %s
  AND r.place = %s""").format(RETRIES)

# Parents come first.
_SPELLED = sql.SQL("""\
SELECT document_id, bool_or(NOT is_parent), bool_or(is_parent)
FROM {}
GROUP BY 1
ORDER BY 3 DESC, 1""").format(RETRIES)

_WAITED_FOR = sql.SQL(f"SELECT {has_lines('awaited_parents', 'parent_table', '%s')}")

_CONCERNED = sql.SQL(f"""\
(
  {has_lines("awaited_parents", "parent_table", "{table}")}
  OR {has_lines("missing_parents", "parent_table", "{table}")}
)""")


def compose_retries(table: Table, rows: sql.Composable | None, limit: int) -> sql.Composed:
    """Compose the statement that creates `mirror_retries`: the documents to read again.

    Args:
        rows: what the run has read so far, where that may hold the parents of documents of the same table.
        limit: at most how many of those that were tried before.
    """
    statement = sql.SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS\n").format(RETRIES)
    statement += sql.SQL(_NEW).format(table=sql.Literal(table.name))
    for column in table.columns if rows is not None else ():
        if column.foreign_key and column.foreign_key.table == table.name:
            statement += sql.SQL(_BROUGHT_BY_THIS_RUN).format(
                rows=rows,
                parent_column=name(column.foreign_key.column),
                table=sql.Literal(table.name),
                column=sql.Literal(column.name),
            )
    parts = {"table": sql.Literal(table.name), "limit": sql.Literal(limit)}
    tried = [
        sql.SQL("    (\n{}\n    )").format(
            sql.SQL(text).format(
                again=sql.SQL(again), side=sql.SQL(side), position=sql.SQL(_POSITION).format(**parts), **parts
            )
        )
        for side, again in _SIDES
        for text in _TRIED
    ]
    return statement + sql.SQL(_IN_TURN).format(tried=sql.SQL("\n    UNION ALL\n").join(tried), **parts)


def stream_retry_ids(
    connection: Connection, table: Table, rows: sql.Composable | None, limit: int
) -> Iterator[list[str]]:
    """Stream the encoded ids of the documents to read again, in chunks, from a server-side cursor.

    They are kept in `mirror_retries`, for what is to be noted once they were read. See `compose_retries`.
    """
    execute(connection, sql.SQL("DROP TABLE IF EXISTS {}").format(RETRIES))
    execute(connection, compose_retries(table, rows, limit))
    execute(connection, sql.SQL("ANALYZE {}").format(RETRIES))
    execute(connection, _MOVE_ON, [table.name, limit])
    chunk: list[str] = []
    with connection.cursor("mirror_retry", row_factory=tuple_row) as cursor:
        cursor.itersize = 20 * RETRY_CHUNK
        cursor.execute(_SPELLED)
        for text, is_id, is_reference in cursor:
            spelled = [*(respell(text) if is_id else ()), *(spell_value(text) if is_reference else ())]
            for document_id in dict.fromkeys(spelled):
                chunk.append(document_id)
                if len(chunk) == RETRY_CHUNK:
                    yield chunk
                    chunk = []
    if chunk:
        yield chunk


def compose_is_concerned(table: Table) -> sql.Composed:
    """Compose the condition that anybody waits, or waited, for rows of a table; else there is nothing to note."""
    return _CONCERNED.format(table=sql.Literal(table.name))


def note_arrivals(target: Target, rows: sql.Composable) -> None:
    """Note for the tables that wait for rows of this one which of them are here now.

    A table whose own run is about to end is left alone, with all the others: its documents come in turn.

    Args:
        rows: the run's rows that the table shows.
    """
    connection, table = target.connection, target.table
    references = list_references(target.schema, table.name)
    if not references or not fetch_value(connection, _WAITED_FOR, [table.name]):
        return
    if not try_lock_waits(connection, dict.fromkeys(reference.child for reference in references)):
        return
    for reference in references:
        execute(
            connection,
            sql.SQL("""\
UPDATE smartdiet.awaited_parents AS a
SET arrived = true
WHERE {}""").format(
                _compose_of_parents(
                    "awaited_parents",
                    "a",
                    table,
                    reference.parent_column,
                    rows,
                    sql.SQL("table_name = {} AND column_name = {} AND NOT arrived").format(
                        sql.Literal(reference.child), sql.Literal(reference.column)
                    ),
                )
            ),
        )
    execute(
        connection,
        sql.SQL("DELETE FROM smartdiet.missing_parents AS m\nWHERE {}").format(
            _compose_of_parents("missing_parents", "m", table, table.document_column, rows)
        ),
    )


def note_asked(target: Target, *, everything: bool) -> None:
    """Note that the awaited parents of a run were asked for; those that nobody waits for any more are forgotten.

    Args:
        everything: whether the run read all documents, and so every parent there is; else those in `mirror_retries`.
    """
    connection, table = target.connection, target.table
    if everything:
        asked = new = sql.SQL("m.schema_name = current_schema() AND m.parent_table = {} AND m.asked_at IS NULL").format(
            sql.Literal(table.name)
        )
    else:
        parents = sql.SQL("(SELECT document_id FROM {} WHERE is_parent) AS p").format(RETRIES)
        asked, new = (
            _compose_of_parents("missing_parents", "m", table, "document_id", parents, condition)
            for condition in (_ANY, sql.SQL("asked_at IS NULL"))
        )
    if not fetch_value(
        connection, sql.SQL("SELECT EXISTS (SELECT FROM smartdiet.missing_parents AS m WHERE {})").format(asked)
    ):
        return
    if not try_lock_waits(connection, dict.fromkeys(r.child for r in list_references(target.schema, table.name))):
        return
    # OFFSET 0: found by index, one by one. Joined, those of all are compared with those of all before PostgreSQL 16.
    execute(
        connection,
        sql.SQL("""\
DELETE FROM smartdiet.missing_parents AS m
WHERE {asked}
  AND NOT EXISTS (
    SELECT FROM (
      SELECT table_name
      FROM smartdiet.awaited_parents
      WHERE schema_name = current_schema() AND parent_table = m.parent_table AND parent_id = m.parent_id
      OFFSET 0
    ) AS a
    WHERE a.table_name = m.table_name
    OFFSET 0)""").format(asked=asked),
    )
    execute(connection, sql.SQL("UPDATE smartdiet.missing_parents AS m SET asked_at = now() WHERE {}").format(new))


def _compose_of_parents(
    record: str,
    alias: LiteralString,
    table: Table,
    column: str,
    rows: sql.Composable,
    condition: sql.Composable = _ANY,
) -> sql.Composed:
    """Compose the condition that a line of a record is about a parent of the table that is among rows.

    Each is found by index, and by nothing else of the line: what PostgreSQL believes about the record does not matter.
    What else a line has to meet belongs into `condition`: beside the places of lines, one that has an index would have
    all of the places gone through for each line.

    Args:
        column: of the rows, which holds the parent's id.
        condition: on the line's own columns.
    """
    return sql.SQL("""\
{alias}.ctid = ANY (ARRAY(
    SELECT found.ctid
    FROM (SELECT DISTINCT {column}::text AS id FROM {rows}) AS r
    CROSS JOIN LATERAL (
      SELECT *, ctid
      FROM {record}
      WHERE schema_name = current_schema() AND parent_table = {table} AND parent_id = r.id
      OFFSET 0
    ) AS found
    WHERE {condition}
  ))""").format(
        condition=condition,
        alias=sql.SQL(alias),
        column=name(column),
        rows=rows,
        record=sql.Identifier("smartdiet", record),
        table=sql.Literal(table.name),
    )
