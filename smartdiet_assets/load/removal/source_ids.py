"""All ids of a source, kept in a temporary table, and the documents of a table that are not among them.

The ids are read before the table is locked, so that a long read keeps no run waiting. A document that a run mirrored
meanwhile was not seen; the question by id, asked under the lock, finds it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from psycopg import sql
from psycopg.rows import tuple_row

from smartdiet_assets.load.execution import Connection, execute, fetch_all, fetch_value
from smartdiet_assets.load.fragments import name, records_here, relations_of
from smartdiet_assets.load.removal.document_ids import copy_document_ids, create_document_ids
from smartdiet_assets.load.removal.gone import DELETED
from smartdiet_assets.load.spelling import spell_value
from smartdiet_assets.load.structure.companion import place
from smartdiet_assets.schema.document_id import IdBatch
from smartdiet_assets.schema.keys import DELETED_AT
from smartdiet_assets.schema.model import Table

#: Takes the encoded ids that a document may have, gives those that are there, as the document column holds them.
AskAgain = Callable[[Sequence[str]], Iterable[IdBatch]]
#: Documents marked as gone that the source has again.
BACK = sql.Identifier("pg_temp", "mirror_back")
#: Of the ids the source was asked about again, those that are there.
_FOUND = sql.Identifier("pg_temp", "mirror_found")
#: Ids asked about at a time.
_ASKED = 1_000
_numbers = count()


@dataclass(frozen=True, slots=True)
class SourceIds:
    """The ids of all documents of a source, in a temporary table of the session.

    Attributes:
        relation: the temporary table.
        column: its one column.
        documents: how many there are.
    """

    relation: sql.Identifier
    column: str
    documents: int


def store_source_ids(connection: Connection, table: Table, chunks: Iterable[IdBatch]) -> SourceIds:
    """Store all ids of a source until the session ends; only one chunk is held at a time.

    Args:
        connection: outside of a transaction.
        table: a live table that mirrors the source.
    """
    relation = sql.Identifier("pg_temp", f"mirror_source_ids_{next(_numbers)}")
    with connection.transaction():
        create_document_ids(connection, table, relation, for_session=True)
        documents = copy_document_ids(connection, table, relation, chunks)
        execute(connection, sql.SQL("ANALYZE {}").format(relation))
    return SourceIds(relation, table.document_column, documents)


def fetch_gone(
    connection: Connection, table: Table, source_ids: SourceIds, ask_again: AskAgain, *, limit: int | None
) -> tuple[int, list[str]]:
    """Fetch how many rows of a table are of documents that are gone, and change nothing; marked ones do not count.

    Args:
        connection: outside of a transaction; the one the ids were stored through.
        limit: how many of the documents are named; None is all.

    Returns:
        The number of rows, and document column values as text.
    """
    with connection.transaction():
        table = place(connection, table)
        rows = collect_gone(connection, table, source_ids, ask_again, learn=False)
        named = sql.SQL("SELECT {document}::text FROM {gone} ORDER BY {document} LIMIT {limit}").format(
            document=name(table.document_column), gone=DELETED, limit=sql.Literal(limit)
        )
        return rows, [text for (text,) in fetch_all(connection, named)]


def count_living(connection: Connection, table: Table) -> tuple[int, int]:
    """Count the rows that are not marked as gone: those that show, and all."""
    counts = [
        count_rows(connection, relation, _compose_living(table)) for relation in _list_relations(connection, table)
    ]
    return counts[0], sum(counts)


def collect_gone(
    connection: Connection, table: Table, source_ids: SourceIds, ask_again: AskAgain, *, learn: bool = True
) -> int:
    """Collect the documents in the table that the source has no more, in `DELETED`; return how many rows they have.

    Args:
        learn: keep the ids of rows whose document column does not tell them, where an earlier version kept none.
    """
    create_document_ids(connection, table, DELETED)
    _collect(connection, table, DELETED, source_ids, "NOT EXISTS", _compose_living(table))
    _drop_confirmed(connection, table, DELETED, ask_again, there=True, learn=learn)
    document = name(table.document_column)
    gone = sql.SQL("t.{document} IN (SELECT {document} FROM {gone})").format(document=document, gone=DELETED)
    return sum(count_rows(connection, relation, gone) for relation in _list_relations(connection, table))


def collect_back(connection: Connection, table: Table, source_ids: SourceIds, ask_again: AskAgain) -> bool:
    """Collect the marked documents that the source has, in `BACK`; tell whether there are any."""
    marked = sql.SQL("t.{} IS NOT NULL").format(name(DELETED_AT))
    create_document_ids(connection, table, BACK)
    _collect(connection, table, BACK, source_ids, "EXISTS", marked)
    _drop_confirmed(connection, table, BACK, ask_again, there=False, learn=False)
    return bool(fetch_all(connection, sql.SQL("SELECT FROM {} LIMIT 1").format(BACK)))


def _compose_living(table: Table) -> sql.Composable | None:
    return sql.SQL("t.{} IS NULL").format(name(DELETED_AT)) if table.on_delete == "flag" else None


def _list_relations(connection: Connection, table: Table) -> list[sql.Identifier]:
    """List the relations of a table that are there: a dry run creates none."""
    there = sql.SQL("SELECT to_regclass(%s) IS NOT NULL")
    return [r for r in relations_of(table) if fetch_value(connection, there, [r.as_string(connection)])]


def count_rows(connection: Connection, relation: sql.Identifier, condition: sql.Composable | None = None) -> int:
    """Count the rows `t` of a relation, one by one, where a condition holds."""
    where = sql.SQL("") if condition is None else sql.SQL("\nWHERE {}").format(condition)
    return int(fetch_value(connection, sql.SQL("SELECT count(*) FROM {} AS t{}").format(relation, where)))


def _collect(
    connection: Connection,
    table: Table,
    relation: sql.Identifier,
    source_ids: SourceIds,
    test: str,
    condition: sql.Composable | None,
) -> None:
    document = name(table.document_column)
    kept: sql.Composable = sql.SQL("(SELECT NULL::text AS document, NULL::text AS document_id)")
    if fetch_value(connection, sql.SQL("SELECT to_regclass('smartdiet.document_ids') IS NOT NULL")):
        kept = sql.SQL("(SELECT * FROM {} AS r WHERE r.table_name = {})").format(
            records_here("document_ids"), sql.Literal(table.name)
        )
    # Another table of the collection may have brought the ids, in a column of another collation.
    collation = sql.SQL(' COLLATE "C"' if table.column(table.document_column).type.is_text else "")
    parts = [
        sql.SQL(
            "SELECT t.{document}, i.document_id AS _document_id\nFROM {rows} AS t\n"
            'LEFT JOIN {kept} AS i ON i.document = t.{document}::text COLLATE "C"\n'
            "WHERE t.{document} IS NOT NULL{condition}\n"
            "  AND {test} (SELECT FROM {ids} AS k WHERE k.{id}{collation} = t.{document}{collation}"
            " AND k._document_id IS NOT DISTINCT FROM i.document_id)"
        ).format(
            document=document,
            rows=rows,
            kept=kept,
            condition=sql.SQL("") if condition is None else sql.SQL("\n  AND {}").format(condition),
            test=sql.SQL(test),
            ids=source_ids.relation,
            id=name(source_ids.column),
            collation=collation,
        )
        for rows in _list_relations(connection, table)
    ]
    # Nothing indexes the ids: whatever the planner believes about them, it shall hash.
    execute(connection, sql.SQL("SET LOCAL enable_nestloop = off"))
    execute(
        connection,
        sql.SQL("INSERT INTO {}\nSELECT DISTINCT {}, _document_id FROM (\n{}\n) AS d").format(
            relation, document, sql.SQL("\nUNION ALL\n").join(parts)
        ),
    )
    execute(connection, sql.SQL("SET LOCAL enable_nestloop TO DEFAULT"))
    execute(connection, sql.SQL("ANALYZE {}").format(relation))


def _drop_confirmed(
    connection: Connection, table: Table, relation: sql.Identifier, ask_again: AskAgain, *, there: bool, learn: bool
) -> None:
    """Ask the source about each collected id, and drop those that are `there`, or those that are not.

    A row that an earlier version left without the id it is of may be any document's of that value but one that is
    known to be another: a reject.
    """
    create_document_ids(connection, table, _FOUND)
    chunks = _stream_ids(connection, table, relation)
    if table.hides_ids:
        # The source looks through all of its ids, which it should do once.
        chunks = iter([[one for ids in chunks for one in ids]])
    for ids in chunks:
        asked = [spelling for text, known in ids for spelling in ([known] if known else spell_value(text))]
        copy_document_ids(connection, table, _FOUND, ask_again(asked))
    execute(connection, sql.SQL("ANALYZE {}").format(_FOUND))
    parts = {
        "relation": relation,
        "negation": sql.SQL("" if there else "NOT"),
        "found": _FOUND,
        "rejects": records_here("rejected_rows"),
        "document": name(table.document_column),
        "table": sql.Literal(table.name),
    }
    if learn:
        execute(connection, sql.SQL(_LEARN).format(is_it=sql.SQL(_IS_IT).format(**parts), **parts))
    execute(
        connection,
        sql.SQL("DELETE FROM {relation} AS d\nWHERE {negation} EXISTS (SELECT FROM {found} AS f WHERE {is_it})").format(
            is_it=sql.SQL(_IS_IT).format(**parts), **parts
        ),
    )


#: A found id `f` is that of the row of a collected one `d`.
_IS_IT = """\
f.{document} = d.{document}
  AND (
    f._document_id IS NOT DISTINCT FROM d._document_id
    OR d._document_id IS NULL AND NOT EXISTS (
      SELECT FROM {rejects} AS r WHERE r.table_name = {table} AND r.document_id = f._document_id
    )
  )"""
_LEARN = """\
INSERT INTO smartdiet.document_ids (table_name, document, document_id)
SELECT {table}, d.{document}::text, min(f._document_id)
FROM {relation} AS d
JOIN {found} AS f ON {is_it}
WHERE d._document_id IS NULL
GROUP BY d.{document}
HAVING bool_and(f._document_id IS NOT NULL)"""


def _stream_ids(
    connection: Connection, table: Table, relation: sql.Identifier
) -> Iterator[list[tuple[str, str | None]]]:
    """Stream document column values as text, each with the encoded id where that is kept."""
    statement = sql.SQL("SELECT {}::text, _document_id FROM {}").format(name(table.document_column), relation)
    with connection.cursor("mirror_asked", row_factory=tuple_row) as cursor:
        cursor.itersize = _ASKED
        cursor.execute(statement)
        while rows := cursor.fetchmany(_ASKED):
            yield rows
