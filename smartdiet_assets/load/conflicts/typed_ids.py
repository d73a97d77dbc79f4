"""Documents whose id the document column does not tell: a number or a date in a character column, say.

A value of the document column belongs to one document. Of several that have rows, the one with the smallest encoded id
shows (`"…"`, a string, before an ObjectId, before all other types), whatever was read first; the others are rejected. A
document of the table that a run contests is read again by the same run: so all that is decided is decided among
documents as they are now, and one that is gone is in nobody's way.
"""

from collections.abc import Sequence
from typing import LiteralString

from psycopg import sql

from smartdiet_assets.load.conflicts.rereads import Settlement
from smartdiet_assets.load.execution import Connection, execute, fetch_all
from smartdiet_assets.load.fragments import (
    DOCUMENTS,
    PLACED,
    REJECTS,
    TYPED,
    TYPED_DOCUMENTS,
    encode,
    encode_plain,
    name,
    names,
    stored,
)
from smartdiet_assets.schema.document_id import DIGEST
from smartdiet_assets.schema.model import Table
from smartdiet_assets.schema.reasons import Reason


def fetch_contested(
    connection: Connection,
    table: Table,
    rows: sql.Composable,
    relations: Sequence[sql.Identifier],
    *,
    typed: bool,
    known: bool,
) -> list[str]:
    """Fetch the encoded ids of documents the table shows in a place that others want, unless they were read too.

    Args:
        rows: the run's rows.
        relations: where documents of the table are: its rows, and those that wait behind another of their key.
        typed: whether the run read documents whose id the document column does not tell.
        known: whether the table had such documents before.
    """
    plain = _compose_plain(table, rows)
    parts = {
        "plain": plain,
        "typed": TYPED_DOCUMENTS,
        "document": name(table.document_column),
        "table": sql.Literal(table.name),
    }
    searches = []
    if typed:
        searches += [
            sql.SQL("SELECT {id} FROM {relation} AS t WHERE t.{document} IN (SELECT document FROM {typed})").format(
                id=encode(table, name(table.document_column, "t")), relation=relation, **parts
            )
            for relation in relations
        ]
    if known:
        searches.append(
            sql.SQL(
                "SELECT i.document_id FROM (SELECT DISTINCT document::text FROM ({plain}) AS d (document)) AS d\n{kept}"
            ).format(kept=_compose_kept(table, "d"), **parts)
        )
    read = [sql.SQL("SELECT {} FROM ({plain}) AS d (document)").format(encode_plain(table, name("document")), **parts)]
    if typed:
        read.append(sql.SQL("SELECT document_id FROM {typed}").format(**parts))
    query = sql.SQL(
        "SELECT document_id FROM (\n({searches})\nEXCEPT\n({read})\n) AS c (document_id)\n"
        "WHERE document_id <> '' AND NOT starts_with(document_id, {digest})"
    ).format(
        searches=sql.SQL("\nUNION\n").join(searches),
        read=sql.SQL("\nUNION\n").join(read),
        digest=sql.Literal(DIGEST),
    )
    return [document_id for (document_id,) in fetch_all(connection, query)]


def place_typed(settlement: Settlement) -> None:
    """Put the documents that show among the run's rows, reject those that do not, and keep the ids of the former.

    After the last read of every other document was found, before their rows are told apart by anything else.
    """
    connection, table = settlement.connection, settlement.table
    if settlement.typed:
        _keep_last_reads(settlement)
        execute(connection, sql.SQL("DROP TABLE IF EXISTS {}").format(PLACED))
        execute(connection, compose_placed(table, settlement.rows))
        execute(connection, sql.SQL("ANALYZE {}").format(PLACED))
        _reject_others(settlement)
    if settlement.known and settlement.tracked and settlement.has_rejects:
        execute(connection, compose_unread(table, settlement.rows, typed=settlement.typed))
    if settlement.known:
        execute(connection, compose_forget(table, settlement.rows, typed=settlement.typed))
    if not settlement.typed:
        return
    execute(connection, compose_keep(table))
    execute(
        connection,
        sql.SQL(
            "INSERT INTO {rows} ({columns})\nSELECT {values}\nFROM {typed} AS r\n"
            "JOIN {placed} AS p ON p.document_id = r._document_id\nWHERE p.shown"
        ).format(
            rows=settlement.rows,
            columns=names(stored(table)),
            values=names(stored(table), "r"),
            typed=TYPED,
            placed=PLACED,
        ),
    )
    if settlement.tracked:
        execute(connection, compose_read(table, rejected=settlement.has_rejects))
        execute(connection, sql.SQL("ANALYZE {}").format(DOCUMENTS))


def compose_placed(table: Table, rows: sql.Composable) -> sql.Composed:
    """Compose which of the typed documents show, and which plain ones have to give way (`beats`)."""
    return sql.SQL("""\
CREATE TEMPORARY TABLE {placed} ON COMMIT DROP AS
SELECT document_id, document, claims,
  claims AND place = 1 AND (plain IS NULL OR document_id < plain COLLATE "C") AS shown,
  claims AND place = 1 AND plain IS NOT NULL AND document_id < plain COLLATE "C" AS beats,
  bool_or(claims) OVER (PARTITION BY document) OR plain IS NOT NULL AS claimed
FROM (
  SELECT d.document_id, d.document, c.document_id IS NOT NULL AS claims,
    row_number() OVER (PARTITION BY d.document ORDER BY c.document_id IS NULL, d.document_id) AS place,
    p.plain
  FROM {documents} AS d
  LEFT JOIN (SELECT DISTINCT _document_id AS document_id FROM {typed}) AS c ON c.document_id = d.document_id
  LEFT JOIN (
    SELECT DISTINCT r.{column} AS document, {plain} AS plain
    FROM {rows} AS r
    WHERE r.{column} IN (SELECT document FROM {documents})
  ) AS p ON p.document = d.document
) AS d""").format(
        placed=PLACED,
        documents=TYPED_DOCUMENTS,
        typed=TYPED,
        column=name(table.document_column),
        plain=encode_plain(table, name(table.document_column, "r")),
        rows=rows,
    )


def compose_keep(table: Table) -> sql.Composed:
    """Compose keeping the ids of the documents that show."""
    return sql.SQL("""\
INSERT INTO smartdiet.document_ids AS i (table_name, document, document_id)
SELECT {table}, document::text, document_id
FROM {placed}
WHERE shown
ON CONFLICT (schema_name, table_name, document) DO UPDATE SET
  document_id = excluded.document_id
WHERE i.document_id <> excluded.document_id""").format(table=sql.Literal(table.name), placed=PLACED)


def compose_forget(table: Table, rows: sql.Composable, *, typed: bool) -> sql.Composed:
    """Compose forgetting the kept ids where a document shows now whose id the column tells."""
    gone = sql.SQL("SELECT document::text FROM ({}) AS d (document)").format(_compose_plain(table, rows))
    if typed:
        gone += sql.SQL("\nEXCEPT\nSELECT document::text FROM {} WHERE shown").format(PLACED)
    return _compose_forget(table, gone)


def compose_read(table: Table, *, rejected: bool) -> sql.Composed:
    """Compose adding the values of the typed documents to those the run read.

    Where none of a value's documents has rows now, the rows it had go, unless the one that had them was rejected.

    Args:
        rejected: whether the run has rejects.
    """
    stays = sql.SQL("\n    AND (p.shown OR NOT EXISTS (SELECT FROM {} AS x WHERE x.document_id = {}))").format(
        REJECTS, encode(table, name("document", "p"))
    )
    # EXCEPT, which no belief about sizes makes a loop.
    return sql.SQL("""\
INSERT INTO {documents} (document, batch)
SELECT document, 1
FROM (
  SELECT p.document
  FROM {placed} AS p
  WHERE (p.shown OR NOT p.claimed){stays}
  EXCEPT
  SELECT document FROM {documents}
) AS n""").format(documents=DOCUMENTS, placed=PLACED, stays=stays if rejected else sql.SQL(""))


def compose_unread(table: Table, rows: sql.Composable, *, typed: bool) -> sql.Composed:
    """Compose taking documents without rows for unread where the one with their value was rejected: its rows stay."""
    understood = sql.SQL("\n    EXCEPT\n    SELECT document_id FROM {}").format(TYPED_DOCUMENTS)
    return sql.SQL("""\
DELETE FROM {documents} AS d
USING (
  SELECT d.document
  FROM (SELECT document FROM {documents} EXCEPT SELECT {column} FROM {rows}) AS d
  {kept}
  WHERE i.document_id IN (
    SELECT document_id FROM {rejects}{understood}
  )
) AS u
WHERE d.document = u.document""").format(
        documents=DOCUMENTS,
        kept=_compose_kept(table, "d"),
        rejects=REJECTS,
        understood=understood if typed else sql.SQL(""),
        rows=rows,
        column=name(table.document_column),
    )


def forget_ids(connection: Connection, table: Table, gone: sql.Identifier) -> None:
    """Forget the kept ids of documents whose rows are gone.

    Args:
        gone: a relation with their ids in the document column.
    """
    values = sql.SQL("SELECT {}::text FROM {}").format(name(table.document_column), gone)
    execute(connection, _compose_forget(table, values))


def _compose_forget(table: Table, values: sql.Composable) -> sql.Composed:
    """Compose forgetting the ids that are kept for values of the document column, given as text."""
    return sql.SQL("""\
DELETE FROM smartdiet.document_ids AS i
WHERE i.ctid = ANY (ARRAY(
    SELECT i.ctid
    FROM (
{values}
    ) AS d (document)
    {kept}
  ))""").format(values=values, kept=_compose_kept(table, "d"))


def _compose_kept(table: Table, relation: LiteralString) -> sql.Composed:
    """Compose joining the ids `i` that are kept for a relation's column `document`, found by index, one by one."""
    return sql.SQL("""\
CROSS JOIN LATERAL (
      SELECT ctid, document_id
      FROM smartdiet.document_ids
      WHERE schema_name = current_schema() AND table_name = {} AND document = {}.document::text COLLATE "C"
      OFFSET 0
    ) AS i""").format(sql.Literal(table.name), sql.SQL(relation))


def _compose_plain(table: Table, rows: sql.Composable) -> sql.Composed:
    """Compose the values of the documents that were read and whose id the column tells, before others join them."""
    if table.tracks_documents:
        return sql.SQL("SELECT document FROM {}").format(DOCUMENTS)
    return sql.SQL("SELECT {} FROM {}").format(name(table.document_column), rows)


def _keep_last_reads(settlement: Settlement) -> None:
    """Keep the last read of each typed document: of its rows, its rejects, and its place among the documents."""
    connection = settlement.connection
    parts = {"documents": TYPED_DOCUMENTS, "typed": TYPED, "rejects": REJECTS}
    statements = [
        """\
DELETE FROM {documents} AS d
USING (
  SELECT ctid AS place, row_number() OVER (PARTITION BY document_id ORDER BY batch DESC, ctid DESC) AS number
  FROM {documents}
) AS n
WHERE d.ctid = n.place
  AND n.number > 1"""
    ]
    if settlement.has_rejects:
        statements += [
            """\
DELETE FROM {rejects} AS x
USING {documents} AS d
WHERE x.document_id = d.document_id
  AND x.batch < d.batch""",
            """\
DELETE FROM {documents} AS d
USING {rejects} AS x
WHERE x.document_id = d.document_id
  AND x.batch > d.batch""",
        ]
    for statement in statements:
        execute(connection, sql.SQL(statement).format(**parts))
    for relation in (TYPED_DOCUMENTS, TYPED):
        execute(connection, sql.SQL("ANALYZE {}").format(relation))
    settlement.superseded += execute(
        connection,
        sql.SQL("""\
DELETE FROM {typed} AS r
WHERE NOT EXISTS (
  SELECT FROM {documents} AS d WHERE d.document_id = r._document_id AND d.batch = r._batch
)""").format(**parts),
    )


def _reject_others(settlement: Settlement) -> None:
    """Reject the rows of documents that do not show, a reject for each row."""
    connection, table = settlement.connection, settlement.table
    [(beaten, beats)] = fetch_all(
        connection, sql.SQL("SELECT bool_or(claims AND NOT shown), bool_or(beats) FROM {}").format(PLACED)
    )
    parts = {
        "rejects": REJECTS,
        "typed": TYPED,
        "placed": PLACED,
        "rows": settlement.rows,
        "document": settlement.document,
        "column": sql.Literal(table.document_column),
        "reason": sql.Literal(Reason.DUPLICATE_KEY.value),
        "expected": sql.Literal(f"one document for each {table.document_column}"),
        "plain": encode_plain(table, settlement.document),
    }
    if beaten or beats:
        settlement.open_rejects()
    if beaten:
        settlement.rejected += execute(
            connection,
            sql.SQL("""\
INSERT INTO {rejects} (document_id, document, column_name, reason, expected, received)
SELECT p.document_id, '', {column}, {reason}, {expected}, ''
FROM {typed} AS r
JOIN {placed} AS p ON p.document_id = r._document_id
WHERE NOT p.shown""").format(**parts),
        )
    if beats:
        settlement.rejected += execute(
            connection,
            sql.SQL("""\
WITH beaten AS (
  DELETE FROM {rows} AS r
  USING {placed} AS p
  WHERE p.beats
    AND r.{document} = p.document
  RETURNING r.{document}
)
INSERT INTO {rejects} (document_id, document, column_name, reason, expected, received)
SELECT {plain}, '', {column}, {reason}, {expected}, ''
FROM beaten""").format(**parts),
        )
