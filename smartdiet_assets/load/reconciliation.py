"""Finding the rows whose documents are gone at the source, and removing or marking them: one transaction per table.

Here: keeping the source's ids in a temporary table, comparing them with a table's, asking the source again about each
id that was not seen, and refusing what looks like an empty or wrong source. Not here: reading the source (`extract`),
or what becomes of the rows (`load.removal`).

The ids are read before the table is locked, so that a long read keeps no run waiting. A document that a run mirrored
meanwhile was not seen; the question by id, asked under the lock, finds it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from smartdiet_assets.load.advisory import lock_tables
from smartdiet_assets.load.cascade import list_reach
from smartdiet_assets.load.ddl import apply_bookkeeping, apply_table
from smartdiet_assets.load.document_ids import copy_document_ids, create_document_ids
from smartdiet_assets.load.execution import Connection, execute, fetch_all, fetch_value
from smartdiet_assets.load.fragments import name, target_of
from smartdiet_assets.load.removal import DELETED, apply_deletions, clear_marks
from smartdiet_assets.load.spelling import spell_document
from smartdiet_assets.load.sync_state import note_reimport
from smartdiet_assets.load.transaction_settings import apply_settings
from smartdiet_assets.load.winners import candidates_of
from smartdiet_assets.schema.keys import DELETED_AT
from smartdiet_assets.schema.model import Schema, Table

#: Takes the encoded ids that a document may have, gives the document column values of those that are there.
AskAgain = Callable[[Sequence[str]], Iterable[object]]

#: Documents not marked as gone that were found in the source's ids, and ids the source was asked about again.
_BACK = sql.Identifier("pg_temp", "mirror_back")
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


@dataclass(slots=True)
class Reconciliation:
    """What the comparison of a table with its source found, and what was done about it. Counts are rows.

    Attributes:
        documents: documents at the source.
        rows: rows of the table before, but for those marked as gone.
        gone: rows of documents that are gone, but for those marked before; with those that wait behind another.
        removed, flagged, replaced: see `Removal`.
        restored: rows whose mark was cleared, as their document is back.
        cascaded: see `Removal`.
        refused: why nothing was done; empty where it was.
        applied: whether the table's `on_delete` was applied.
    """

    documents: int = 0
    rows: int = 0
    gone: int = 0
    removed: int = 0
    flagged: int = 0
    replaced: int = 0
    restored: int = 0
    cascaded: dict[str, int] = field(default_factory=dict)
    refused: str = ""
    applied: bool = False


def table_exists(connection: Connection, table: Table) -> bool:
    """Tell whether a table was ever mirrored."""
    question = sql.SQL("SELECT to_regclass(quote_ident(%s)) IS NOT NULL")
    return bool(fetch_value(connection, question, [table.name]))


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


def reconcile_rows(
    connection: Connection,
    schema: Schema,
    table: Table,
    source_ids: SourceIds,
    ask_again: AskAgain,
    *,
    run_id: str,
    deleted_at: datetime,
    dry_run: bool = False,
    force: bool = False,
    lock_timeout: float = 60.0,
) -> Reconciliation:
    """Compare a table with the ids of its source, and apply its `on_delete` to what is gone, all of it or nothing.

    Args:
        connection: outside of a transaction; the one the ids were stored through.
        ask_again: asks the source about ids again.
        deleted_at: what `flag` stores: the source's clock, naive UTC.
        dry_run: do it all, and roll it back: the counts are those of the real pass.
        force: also where more is gone than `max_deletions` allows, and where the source is empty.
    """
    result = Reconciliation(documents=source_ids.documents)
    with connection.transaction():
        apply_settings(connection, lock_timeout)
        lock_tables(connection, [table.name])
        if not (dry_run and table.on_delete == "keep"):
            apply_bookkeeping(connection)
            changes = apply_table(connection, schema, table)
            if changes.reimport:
                note_reimport(connection, table, changes.reimport)
        result.rows, whole = _count_living(connection, table)
        if not source_ids.documents and whole and not force:
            result.gone = whole
            result.refused = f"the source has no document at all, and the table has {result.rows:,} rows"
        else:
            _find_gone(connection, table, source_ids, ask_again)
            result.gone = _count_gone(connection, table)
            if not force and not table.max_deletions.allows(result.gone, whole):
                result.refused = (
                    f"the documents of {result.gone:,} of {whole:,} rows ({result.gone / whole:.1%}) are gone,"
                    f" more than max_deletions ({table.max_deletions}) allows"
                )
        if not result.refused and table.on_delete != "keep":
            _apply(connection, schema, table, source_ids, ask_again, result, run_id, deleted_at, force)
        if dry_run or result.refused:
            raise psycopg.Rollback
    return result


def fetch_gone(
    connection: Connection, table: Table, source_ids: SourceIds, ask_again: AskAgain, *, limit: int | None
) -> tuple[int, list[str]]:
    """Fetch how many rows of a table are of documents that are gone, and changes nothing; marked ones do not count.

    Args:
        connection: outside of a transaction; the one the ids were stored through.
        limit: how many of the documents are named; None is all.

    Returns:
        The number of rows, and document column values as text.
    """
    with connection.transaction():
        _find_gone(connection, table, source_ids, ask_again)
        rows = _count_gone(connection, table)
        named = sql.SQL("SELECT {document}::text FROM {gone} ORDER BY {document} LIMIT {limit}").format(
            document=name(table.document_column), gone=DELETED, limit=sql.Literal(limit)
        )
        return rows, [text for (text,) in fetch_all(connection, named)]


def _apply(
    connection: Connection,
    schema: Schema,
    table: Table,
    source_ids: SourceIds,
    ask_again: AskAgain,
    result: Reconciliation,
    run_id: str,
    deleted_at: datetime,
    force: bool,
) -> None:
    result.applied = True
    if table.on_delete == "flag" and _find_back(connection, table, source_ids, ask_again):
        result.restored = clear_marks(connection, schema, table, _BACK, run_id)
    if not _has_rows(connection, DELETED):
        return
    children = _count_children(connection, schema, table) if table.on_delete == "delete" else {}
    removal = apply_deletions(connection, schema, table, run_id, deleted_at=deleted_at)
    result.removed, result.flagged, result.replaced = removal.removed, removal.flagged, removal.replaced
    result.cascaded = removal.cascaded
    if not force:
        result.refused = _judge_cascade(connection, schema, children)


def _judge_cascade(connection: Connection, schema: Schema, before: dict[str, int]) -> str:
    """Say which child lost more rows with their parents than it may lose by itself; empty where none did."""
    for child, rows in before.items():
        table = schema.tables[child]
        lost = rows - _count(connection, target_of(table), None)
        if not table.max_deletions.allows(lost, rows):
            return (
                f"with its rows {lost:,} of {rows:,} rows of {child} ({lost / rows:.1%}) would go, more than"
                f" max_deletions of {child} ({table.max_deletions}) allows"
            )
    return ""


def _count_children(connection: Connection, schema: Schema, table: Table) -> dict[str, int]:
    reached = [schema.tables[child] for child in list_reach(schema, table.name) if child != table.name]
    return {
        child.name: _count(connection, target_of(child), None) for child in reached if table_exists(connection, child)
    }


def _relations(table: Table) -> list[sql.Identifier]:
    """List where documents of a table are: the rows it shows, and those that wait behind another of their key."""
    return [target_of(table), candidates_of(table)] if table.shape == "one_per_key" else [target_of(table)]


def _living(table: Table) -> sql.Composable | None:
    return sql.SQL("t.{} IS NULL").format(name(DELETED_AT)) if table.on_delete == "flag" else None


def _count(connection: Connection, relation: sql.Identifier, condition: sql.Composable | None) -> int:
    where = sql.SQL("") if condition is None else sql.SQL("\nWHERE {}").format(condition)
    return int(fetch_value(connection, sql.SQL("SELECT count(*) FROM {} AS t{}").format(relation, where)))


def _count_living(connection: Connection, table: Table) -> tuple[int, int]:
    """Count the rows that are not marked: those that show, and all."""
    counts = [_count(connection, relation, _living(table)) for relation in _present(connection, table)]
    return counts[0], sum(counts)


def _present(connection: Connection, table: Table) -> list[sql.Identifier]:
    """List the relations of a table that are there: a dry run creates none."""
    there = sql.SQL("SELECT to_regclass(%s) IS NOT NULL")
    return [r for r in _relations(table) if fetch_value(connection, there, [r.as_string(connection)])]


def _find_gone(connection: Connection, table: Table, source_ids: SourceIds, ask_again: AskAgain) -> None:
    """Collect the documents in the table that the source has no more, in `DELETED`."""
    create_document_ids(connection, table, DELETED)
    _collect(connection, table, DELETED, source_ids, "NOT EXISTS", _living(table))
    _drop_confirmed(connection, table, DELETED, ask_again, there=True)


def _find_back(connection: Connection, table: Table, source_ids: SourceIds, ask_again: AskAgain) -> bool:
    """Collect the marked documents that the source has, in `_BACK`; tell whether there are any."""
    marked = sql.SQL("t.{} IS NOT NULL").format(name(DELETED_AT))
    create_document_ids(connection, table, _BACK)
    _collect(connection, table, _BACK, source_ids, "EXISTS", marked)
    _drop_confirmed(connection, table, _BACK, ask_again, there=False)
    return _has_rows(connection, _BACK)


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
        for rows in _present(connection, table)
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


def _count_gone(connection: Connection, table: Table) -> int:
    """Count the rows of the documents in `DELETED`."""
    document = name(table.document_column)
    gone = sql.SQL("t.{document} IN (SELECT {document} FROM {gone})").format(document=document, gone=DELETED)
    return sum(_count(connection, relation, gone) for relation in _present(connection, table))


def _has_rows(connection: Connection, relation: sql.Identifier) -> bool:
    return bool(fetch_all(connection, sql.SQL("SELECT FROM {} LIMIT 1").format(relation)))
