"""Settling a run's rows among themselves, before anything is compared with the table: which of two reads counts."""

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import errors, sql

from smartdiet_assets.load.conflicts.read_order import ReadOrder
from smartdiet_assets.load.execution import Connection, execute, fetch_value
from smartdiet_assets.load.fragments import (
    COMMAND,
    DOCUMENTS,
    REJECTS,
    name,
    names,
)
from smartdiet_assets.load.staging import CREATE_ORPHANS, CREATE_REJECTS
from smartdiet_assets.schema.model import Table


@dataclass(slots=True)
class Settlement:
    """Where the rows of a run are, and what became of those that left.

    Attributes:
        rows: the relation that holds the rows.
        superseded: rows of an earlier read of a document that was read again.
        rejected: rows without parent, or with a unique value of another row.
        missing_parents_null: references set to NULL because their parent is not there.
        order: of the ids of the documents that were read; None where it is not known.
        apart: whether no document was read twice, as the way of reading tells, where values are told apart.
        distinct: whether it is known that no two rows share what identifies them (`Table.identity`).
        typed: whether the run read documents whose id the document column does not tell (`load.conflicts.typed_ids`).
        known: whether the table had such documents before.
        has_rejects, has_orphans: whether their temporary tables are there; few runs need them.
    """

    connection: Connection
    table: Table
    rows: sql.Composable
    superseded: int = 0
    rejected: int = 0
    missing_parents_null: int = 0
    order: ReadOrder | None = None
    apart: bool = False
    distinct: bool = False
    typed: bool = False
    known: bool = True
    has_rejects: bool = False
    has_orphans: bool = False

    @property
    def tracked(self) -> bool:
        return self.table.tracks_documents

    @property
    def document(self) -> sql.Composable:
        return name(self.table.document_column)

    def open_rejects(self) -> None:
        """Create the temporary table of rejects where it is not there yet."""
        if not self.has_rejects:
            execute(self.connection, CREATE_REJECTS)
            self.has_rejects = True

    def open_orphans(self) -> None:
        """Create the temporary table of orphans where it is not there yet."""
        if not self.has_orphans:
            execute(self.connection, CREATE_ORPHANS)
            self.has_orphans = True


def is_read_once(settlement: Settlement) -> bool:
    """Tell whether no document was read twice, as the order of their ids shows: nothing is searched for that.

    A collation can make ids equal that are spelled differently.
    """
    if settlement.order is None or not settlement.order.proves:
        return False
    told_apart = fetch_value(
        settlement.connection,
        sql.SQL("""\
SELECT coalesce(c.collisdeterministic, true)
FROM pg_catalog.pg_attribute AS a
LEFT JOIN pg_catalog.pg_collation AS c ON c.oid = a.attcollation
WHERE a.attrelid = {}::regclass
  AND a.attname = {}""").format(
            sql.Literal(settlement.rows.as_string()), sql.Literal(settlement.table.document_column)
        ),
    )
    return bool(told_apart)


def settle_reads(settlement: Settlement, *, compared: bool, read_once: bool) -> None:
    """Keep the last read of each document: of its rows, its rejects, and its place among the documents.

    A document whose last read was rejected has no part in the run but its reject: the rows it had stay.

    Args:
        compared: whether the documents will be looked for in the table, for which the planner has to know their number.
        read_once: whether it is known that none was read twice.
    """
    if settlement.tracked:
        if compared:
            execute(settlement.connection, sql.SQL("ANALYZE {}").format(DOCUMENTS))
        if not read_once:
            _drop_earlier_reads(settlement)
    if settlement.has_rejects:
        _drop_earlier_rejects(settlement)


def _drop_earlier_reads(settlement: Settlement) -> None:
    connection = settlement.connection
    again = sql.SQL("SELECT document FROM {} GROUP BY document HAVING count(*) > 1").format(DOCUMENTS)
    if not fetch_value(connection, sql.SQL("SELECT EXISTS ({})").format(again)):
        return
    settlement.superseded += execute(
        connection,
        sql.SQL("""\
DELETE FROM {rows} AS r
USING (
  SELECT document, max({command}) AS last FROM {documents} GROUP BY document HAVING count(*) > 1
) AS d
WHERE r.{document} = d.document
  AND r.{command} < d.last""").format(
            rows=settlement.rows, command=COMMAND, documents=DOCUMENTS, document=settlement.document
        ),
    )
    execute(
        connection,
        sql.SQL("""\
DELETE FROM {documents} AS d
USING (
  SELECT ctid AS place, row_number() OVER (PARTITION BY document ORDER BY batch DESC, ctid) AS number
  FROM {documents}
  WHERE document IN ({again})
) AS n
WHERE d.ctid = n.place
  AND n.number > 1""").format(documents=DOCUMENTS, again=again),
    )


def _drop_earlier_rejects(settlement: Settlement) -> None:
    connection = settlement.connection
    execute(connection, sql.SQL("ANALYZE {}").format(REJECTS))
    # An unreadable id stands for any number of documents.
    execute(
        connection,
        sql.SQL("""\
DELETE FROM {rejects} AS x
USING (SELECT document_id, max(batch) AS last FROM {rejects} WHERE document_id <> '' GROUP BY document_id) AS n
WHERE x.document_id = n.document_id
  AND x.batch < n.last""").format(rejects=REJECTS),
    )
    parts = {
        "rejects": REJECTS,
        "documents": DOCUMENTS,
        "rows": settlement.rows,
        "document": settlement.document,
        "command": COMMAND,
    }
    drop = _drop_earlier_of_tracked if settlement.tracked else _drop_earlier_of_rows
    drop(settlement, parts)


def _drop_earlier_of_rows(settlement: Settlement, parts: Mapping[str, sql.Composable]) -> None:
    connection = settlement.connection
    settlement.superseded += execute(
        connection,
        sql.SQL("""\
DELETE FROM {rows} AS r
USING (SELECT document, max({command}) AS last FROM {rejects} WHERE document <> '' GROUP BY document) AS x
WHERE r.{document}::text = x.document
  AND r.{command} < x.last""").format(**parts),
    )
    execute(
        connection,
        sql.SQL("""\
DELETE FROM {rejects} AS x
USING {rows} AS r
WHERE r.{document}::text = x.document
  AND x.document <> ''""").format(**parts),
    )


def _drop_earlier_of_tracked(settlement: Settlement, parts: Mapping[str, sql.Composable]) -> None:
    connection = settlement.connection
    execute(
        connection,
        sql.SQL("""\
DELETE FROM {rejects} AS x
USING {documents} AS d
WHERE d.document::text = x.document
  AND x.document <> ''
  AND x.batch < d.batch""").format(**parts),
    )
    settlement.superseded += execute(
        connection,
        sql.SQL("""\
DELETE FROM {rows} AS r
USING {documents} AS d, {rejects} AS x
WHERE d.document::text = x.document
  AND x.document <> ''
  AND x.batch > d.batch
  AND r.{document} = d.document""").format(**parts),
    )
    execute(
        connection,
        sql.SQL("""\
DELETE FROM {documents} AS d
USING {rejects} AS x
WHERE d.document::text = x.document
  AND x.document <> ''
  AND x.batch > d.batch""").format(**parts),
    )


def settle_duplicates(settlement: Settlement) -> None:
    """Index the rows by what identifies them; where that fails, keep the last read of each and try again."""
    statement = sql.SQL("CREATE UNIQUE INDEX ON {} ({})").format(settlement.rows, names(settlement.table.identity))
    try:
        with settlement.connection.transaction():
            execute(settlement.connection, statement)
    except errors.UniqueViolation:
        drop_duplicates(settlement)
        execute(settlement.connection, statement)


def drop_duplicates(settlement: Settlement) -> int:
    """Of rows that share what identifies them, keep the one read last; return how many went."""
    dropped = execute(
        settlement.connection,
        sql.SQL("""\
DELETE FROM {rows} AS r
USING (
  SELECT ctid AS place, row_number() OVER (PARTITION BY {key} ORDER BY {command} DESC, ctid DESC) AS number
  FROM {rows}
) AS n
WHERE r.ctid = n.place
  AND n.number > 1""").format(rows=settlement.rows, key=names(settlement.table.identity), command=COMMAND),
    )
    settlement.superseded += dropped
    return dropped
