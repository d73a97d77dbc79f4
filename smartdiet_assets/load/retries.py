"""Which documents a run reads again whatever their dates, and what comes of it for those who wait.

Here: choosing their ids, and noting which awaited parents were asked for and which arrived. Not here: what could not be
loaded (`load.rejects`).

What is new is read at once, however much: documents whose awaited parent arrived, and parents nobody asked for yet.
What was tried before in vain is tried again in turns, the least recently tried first and at most so many in one run, so
that the cost of a run does not grow with what has been waiting for long. What is edited comes with the window, out of
turn.
"""

from collections.abc import Iterator

from psycopg import sql
from psycopg.rows import tuple_row

from smartdiet_assets.load.advisory import try_lock_waits
from smartdiet_assets.load.cascade import list_references
from smartdiet_assets.load.execution import Connection, execute, fetch_value
from smartdiet_assets.load.fragments import RETRIES, name
from smartdiet_assets.load.spelling import respell, spell_reference
from smartdiet_assets.schema.model import Schema, Table

#: Ids of one chunk to read again: one `$in` of the source.
RETRY_CHUNK = 100
#: How many documents tried before one run tries again.
RETRY_LIMIT = 2_000

# An id that could not be read (''), or is kept as a digest because of its length, cannot be asked for: its document is
# read again when it changes, or by a full read. Any other is asked for once, whether it was rejected
# here, waits here, or is waited for elsewhere.
_NEW = """\
SELECT document_id, false AS is_parent
FROM smartdiet.awaited_parents
WHERE table_name = {table}
  AND arrived
  AND document_id <> ''
  AND NOT starts_with(document_id, 'sha256:')
UNION
SELECT parent_id, true
FROM smartdiet.missing_parents
WHERE parent_table = {table}
  AND asked_at IS NULL"""

_BROUGHT_BY_THIS_RUN = """
UNION
SELECT a.document_id, false
FROM {rows} AS r
JOIN smartdiet.awaited_parents AS a ON a.parent_id = r.{parent_column}::text
WHERE a.parent_table = {table}
  AND a.table_name = {table}
  AND a.column_name = {column}
  AND a.document_id <> ''
  AND NOT starts_with(a.document_id, 'sha256:')"""

_IN_TURN = """
UNION
(
  SELECT document_id, is_parent
  FROM (
    (
      SELECT document_id, false AS is_parent, last_seen AS tried_at
      FROM smartdiet.rejected_rows
      WHERE table_name = {table}
        AND document_id <> ''
        AND NOT starts_with(document_id, 'sha256:')
      ORDER BY last_seen
      LIMIT {limit}
    )
    UNION ALL
    (
      SELECT document_id, false, tried_at
      FROM smartdiet.awaited_parents
      WHERE table_name = {table}
        AND document_id <> ''
        AND NOT starts_with(document_id, 'sha256:')
      ORDER BY tried_at
      LIMIT {limit}
    )
    UNION ALL
    (
      SELECT parent_id, true, asked_at
      FROM smartdiet.missing_parents
      WHERE parent_table = {table}
        AND asked_at IS NOT NULL
      ORDER BY asked_at
      LIMIT {limit}
    )
  ) AS t
  GROUP BY document_id, is_parent
  ORDER BY min(tried_at), is_parent DESC
  LIMIT {limit}
)"""

# An ObjectId is spelled alike as a reference and as an id. Parents come first.
_SPELLED = sql.SQL("""\
SELECT document_id, is_parent AND document_id !~ '^[0-9a-f]{{24}}$'
FROM {}
GROUP BY 1, 2
ORDER BY bool_or(is_parent) DESC, 1""").format(RETRIES)

_WAITED_FOR = sql.SQL("SELECT EXISTS (SELECT FROM smartdiet.awaited_parents WHERE parent_table = %s)")

_CONCERNED = sql.SQL("""\
(
  EXISTS (SELECT FROM smartdiet.awaited_parents WHERE parent_table = {table})
  OR EXISTS (SELECT FROM smartdiet.missing_parents WHERE parent_table = {table})
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
    return statement + sql.SQL(_IN_TURN).format(table=sql.Literal(table.name), limit=sql.Literal(limit))


def stream_retry_ids(
    connection: Connection, table: Table, rows: sql.Composable | None, limit: int
) -> Iterator[list[str]]:
    """Stream the encoded ids of the documents to read again, in chunks, from a server-side cursor.

    They are kept in `mirror_retries`, for what is to be noted once they were read. See `compose_retries`.
    """
    execute(connection, sql.SQL("DROP TABLE IF EXISTS {}").format(RETRIES))
    execute(connection, compose_retries(table, rows, limit))
    execute(connection, sql.SQL("ANALYZE {}").format(RETRIES))
    chunk: list[str] = []
    with connection.cursor("mirror_retry", row_factory=tuple_row) as cursor:
        cursor.itersize = 20 * RETRY_CHUNK
        cursor.execute(_SPELLED)
        for text, is_reference in cursor:
            for document_id in spell_reference(text) if is_reference else respell(text):
                chunk.append(document_id)
                if len(chunk) == RETRY_CHUNK:
                    yield chunk
                    chunk = []
    if chunk:
        yield chunk


def compose_is_concerned(table: Table) -> sql.Composed:
    """Compose the condition that anybody waits, or waited, for rows of a table; else there is nothing to note."""
    return _CONCERNED.format(table=sql.Literal(table.name))


def note_arrivals(connection: Connection, schema: Schema, table: Table, rows: sql.Composable) -> None:
    """Note for the tables that wait for rows of this one which of them are here now.

    A table whose own run is about to end is left alone, with all the others: its documents come in turn.

    Args:
        rows: the run's rows that the table shows.
    """
    references = list_references(schema, table.name)
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
FROM (SELECT DISTINCT {parent_column}::text AS id FROM {rows} WHERE {parent_column} IS NOT NULL) AS r
WHERE a.parent_table = {parent}
  AND a.parent_id = r.id
  AND a.table_name = {child}
  AND a.column_name = {column}
  AND NOT a.arrived""").format(
                parent_column=name(reference.parent_column),
                rows=rows,
                parent=sql.Literal(reference.parent),
                child=sql.Literal(reference.child),
                column=sql.Literal(reference.column),
            ),
        )
    execute(
        connection,
        sql.SQL("""\
DELETE FROM smartdiet.missing_parents AS m
USING (SELECT DISTINCT {document}::text AS id FROM {rows}) AS r
WHERE m.parent_table = %s
  AND m.parent_id = r.id""").format(document=name(table.document_column), rows=rows),
        [table.name],
    )


def note_asked(connection: Connection, schema: Schema, table: Table, *, everything: bool) -> None:
    """Note that the awaited parents of a run were asked for; those that nobody waits for any more are forgotten.

    Args:
        everything: whether the run read all documents, and so every parent there is; else those in `mirror_retries`.
    """
    asked = sql.SQL("m.parent_table = {} AND {}").format(
        sql.Literal(table.name),
        sql.SQL("m.asked_at IS NULL")
        if everything
        else sql.SQL("m.parent_id IN (SELECT document_id FROM {} WHERE is_parent)").format(RETRIES),
    )
    if not fetch_value(
        connection, sql.SQL("SELECT EXISTS (SELECT FROM smartdiet.missing_parents AS m WHERE {})").format(asked)
    ):
        return
    if not try_lock_waits(connection, dict.fromkeys(r.child for r in list_references(schema, table.name))):
        return
    execute(
        connection,
        sql.SQL("""\
DELETE FROM smartdiet.missing_parents AS m
WHERE {asked}
  AND NOT EXISTS (
    SELECT FROM smartdiet.awaited_parents AS a
    WHERE a.parent_table = m.parent_table
      AND a.parent_id = m.parent_id
      AND a.table_name = m.table_name)""").format(asked=asked),
    )
    execute(connection, sql.SQL("UPDATE smartdiet.missing_parents AS m SET asked_at = now() WHERE {}").format(asked))
