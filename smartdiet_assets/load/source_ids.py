"""All ids of a source, kept in a temporary table, and the documents of a table that are not among them.

Here: storing the ids, comparing them with a table's, and asking the source again about each id that was not seen. Not
here: what becomes of the rows (`load.reconciliation`), reading the source (`extract`).

The ids are read before the table is locked, so that a long read keeps no run waiting. A document that a run mirrored
meanwhile was not seen; the question by id, asked under the lock, finds it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from psycopg import sql
from psycopg.rows import tuple_row

from smartdiet_assets.load.document_ids import copy_document_ids, create_document_ids
from smartdiet_assets.load.execution import Connection, execute, fetch_all, fetch_value
from smartdiet_assets.load.fragments import name, target_of
from smartdiet_assets.load.removal import DELETED
from smartdiet_assets.load.spelling import spell_document
from smartdiet_assets.load.winners import candidates_of
from smartdiet_assets.schema.keys import DELETED_AT
from smartdiet_assets.schema.model import Table

#: Takes the encoded ids that a document may have, gives the document column values of those that are there.
AskAgain = Callable[[Sequence[str]], Iterable[object]]
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


def store_source_ids(connection: Connection, table: Table, chunks: Iterable[Sequence[object]]) -> SourceIds:
    """Store all ids of a source until the session ends; only one chunk is held at a time.

    Args:
        connection: outside of a transaction.
        table: a live table that mirrors the source.
    """
    relation = sql.Identifier("pg_temp", f"mirror_source_ids_{next(_numbers)}")
    with connection.transaction():
        create_document_ids(connection, table, relation, for_session=True)
        documents = copy_document_ids(connection, table, relation, (value for chunk in chunks for value in chunk))
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
        rows = collect_gone(connection, table, source_ids, ask_again)
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


def collect_gone(connection: Connection, table: Table, source_ids: SourceIds, ask_again: AskAgain) -> int:
    """Collect the documents in the table that the source has no more, in `DELETED`; return how many rows they have."""
    create_document_ids(connection, table, DELETED)
    _collect(connection, table, DELETED, source_ids, "NOT EXISTS", _compose_living(table))
    _drop_confirmed(connection, table, DELETED, ask_again, there=True)
    document = name(table.document_column)
    gone = sql.SQL("t.{document} IN (SELECT {document} FROM {gone})").format(document=document, gone=DELETED)
    return sum(count_rows(connection, relation, gone) for relation in _list_relations(connection, table))


def collect_back(connection: Connection, table: Table, source_ids: SourceIds, ask_again: AskAgain) -> bool:
    """Collect the marked documents that the source has, in `BACK`; tell whether there are any."""
    marked = sql.SQL("t.{} IS NOT NULL").format(name(DELETED_AT))
    create_document_ids(connection, table, BACK)
    _collect(connection, table, BACK, source_ids, "EXISTS", marked)
    _drop_confirmed(connection, table, BACK, ask_again, there=False)
    return bool(fetch_all(connection, sql.SQL("SELECT FROM {} LIMIT 1").format(BACK)))


def _compose_living(table: Table) -> sql.Composable | None:
    return sql.SQL("t.{} IS NULL").format(name(DELETED_AT)) if table.on_delete == "flag" else None


def _list_relations(connection: Connection, table: Table) -> list[sql.Identifier]:
    """List the relations of a table that are there: a dry run creates none."""
    there = sql.SQL("SELECT to_regclass(%s) IS NOT NULL")
    return [r for r in _relations(table) if fetch_value(connection, there, [r.as_string(connection)])]


def count_rows(connection: Connection, relation: sql.Identifier, condition: sql.Composable | None = None) -> int:
    """Count the rows `t` of a relation, one by one, where a condition holds."""
    where = sql.SQL("") if condition is None else sql.SQL("\nWHERE {}").format(condition)
    return int(fetch_value(connection, sql.SQL("SELECT count(*) FROM {} AS t{}").format(relation, where)))


def _relations(table: Table) -> list[sql.Identifier]:
    """List where documents of a table are: the rows it shows, and those that wait behind another of their key."""
    return [target_of(table), candidates_of(table)] if table.shape == "one_per_key" else [target_of(table)]


def _collect(
    connection: Connection,
    table: Table,
    relation: sql.Identifier,
    source_ids: SourceIds,
    test: str,
    condition: sql.Composable | None,
) -> None:
    document = name(table.document_column)
    # Another table of the collection may have brought the ids, in a column of another collation.
    collation = sql.SQL(' COLLATE "C"' if table.column(table.document_column).type.is_text else "")
    parts = [
        sql.SQL(
            "SELECT t.{document}\nFROM {rows} AS t\nWHERE t.{document} IS NOT NULL{condition}\n"
            "  AND {test} (SELECT FROM {ids} AS k WHERE k.{id}{collation} = t.{document}{collation})"
        ).format(
            document=document,
            rows=rows,
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
        sql.SQL("INSERT INTO {}\nSELECT DISTINCT {} FROM (\n{}\n) AS d").format(
            relation, document, sql.SQL("\nUNION ALL\n").join(parts)
        ),
    )
    execute(connection, sql.SQL("SET LOCAL enable_nestloop TO DEFAULT"))
    execute(connection, sql.SQL("ANALYZE {}").format(relation))


def _drop_confirmed(
    connection: Connection, table: Table, relation: sql.Identifier, ask_again: AskAgain, *, there: bool
) -> None:
    """Ask the source about each collected id, and drop those that are `there`, or those that are not."""
    create_document_ids(connection, table, _FOUND)
    for texts in _stream_texts(connection, table, relation):
        found = ask_again([spelling for text in texts for spelling in spell_document(text)])
        copy_document_ids(connection, table, _FOUND, found)
    execute(connection, sql.SQL("ANALYZE {}").format(_FOUND))
    execute(
        connection,
        sql.SQL(
            "DELETE FROM {relation} AS d\nWHERE {negation} EXISTS"
            " (SELECT FROM {found} AS f WHERE f.{document} = d.{document})"
        ).format(
            relation=relation,
            negation=sql.SQL("" if there else "NOT"),
            found=_FOUND,
            document=name(table.document_column),
        ),
    )


def _stream_texts(connection: Connection, table: Table, relation: sql.Identifier) -> Iterator[list[str]]:
    statement = sql.SQL("SELECT {}::text FROM {}").format(name(table.document_column), relation)
    with connection.cursor("mirror_asked", row_factory=tuple_row) as cursor:
        cursor.itersize = _ASKED
        cursor.execute(statement)
        while rows := cursor.fetchmany(_ASKED):
            yield [text for (text,) in rows]
