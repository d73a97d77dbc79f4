"""Removing the rows of documents that are gone at the source: by their ids, by comparing keys, or for want of any."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from psycopg import sql

from smartdiet_assets.load.conflicts.next_best import replace_documents
from smartdiet_assets.load.conflicts.typed_ids import forget_ids
from smartdiet_assets.load.execution import Connection, execute
from smartdiet_assets.load.fragments import encode, encode_plain, name, target_of
from smartdiet_assets.load.records.rejects import clear_documents
from smartdiet_assets.load.records.sync_state import forget_last_read
from smartdiet_assets.load.removal.cascade import Removal, apply_cascade, list_references, lock_reach
from smartdiet_assets.load.removal.document_ids import copy_document_ids, create_document_ids
from smartdiet_assets.load.statistics import mend_statistics
from smartdiet_assets.load.structure.companion import place
from smartdiet_assets.load.target import Target
from smartdiet_assets.schema.document_id import IdBatch
from smartdiet_assets.schema.keys import DELETED_AT
from smartdiet_assets.schema.model import Schema, Table

#: All keys of the source, and the ids of the documents that are gone.
_KEYS = sql.Identifier("pg_temp", "mirror_source_keys")
DELETED = sql.Identifier("pg_temp", "mirror_deleted")
#: The source's clock where the caller has none.
_NOW: sql.Composable = sql.SQL("now() AT TIME ZONE 'UTC'")


def remove_documents(
    connection: Connection,
    schema: Schema,
    table: Table,
    document_ids: Iterable[IdBatch],
    run_id: str,
    *,
    deleted_at: datetime | None = None,
) -> Removal:
    """Apply the table's `on_delete` to all rows of documents that are gone, and forget their rejects.

    Within the caller's transaction, which holds the table's lock; before a load begins or after it finished, never in
    between, for they share temporary tables. Where several documents share a key, the next best shows. What pointed
    at a removed row goes first or loses its reference, by its foreign key's rule.

    Args:
        document_ids: one or more times each; those without rows do no harm.
        deleted_at: what `flag` stores, naive UTC; the moment of the transaction by default. A row marked before keeps
            its mark.
    """
    target = Target(connection, schema, place(connection, table), run_id)
    create_document_ids(connection, target.table, DELETED)
    copy_document_ids(connection, target.table, DELETED, document_ids)
    return apply_deletions(target, deleted_at)


def apply_deletions(target: Target, deleted_at: datetime | None) -> Removal:
    """Apply the table's `on_delete` to the documents in `DELETED`; see `remove_documents`."""
    connection, table = target.connection, target.table
    if table.on_delete != "keep" and list_references(target.schema, table.name):
        # Also where rows are only marked: the run may delete others later, and has written to the table by then.
        lock_reach(connection, target.schema, table.name)
    mend_statistics(connection, table)
    execute(connection, sql.SQL("ANALYZE {}").format(DELETED))
    clear_documents(connection, table, DELETED)
    execute(connection, compose_not_shown(table))
    if table.on_delete == "keep":
        return Removal()
    if table.shape.shares_keys:
        mark = _compose_mark(table, deleted_at) if table.on_delete == "flag" else None
        removal = replace_documents(target, DELETED, mark=mark)
    elif table.on_delete == "flag":
        removal = Removal(flagged=execute(connection, compose_flag(table, deleted_at)))
    else:
        removal = _remove(target, compose_is_deleted(table, "t"))
    if table.on_delete == "delete":
        forget_ids(connection, table, DELETED)
    # The rows are no longer those the last run left behind.
    forget_last_read(connection, [table.name, *removal.cascaded])
    return removal


def clear_marks(target: Target, back: sql.Identifier) -> int:
    """Clear the marks of documents that are back at the source; return how many rows changed.

    Args:
        back: a relation with their ids in the document column.
    """
    connection, table = target.connection, target.table
    if table.shape.shares_keys:
        mark = sql.SQL("NULL::{}").format(sql.SQL(table.column(DELETED_AT).type.base.sent_as))
        cleared = replace_documents(target, back, mark=mark).replaced
    else:
        document = name(table.document_column)
        cleared = execute(
            connection,
            sql.SQL(
                "UPDATE {target} AS t\nSET {mark} = NULL\nWHERE t.{mark} IS NOT NULL\n"
                "  AND t.{document} IN (SELECT {document} FROM {back})"
            ).format(target=target_of(table), mark=name(DELETED_AT), document=document, back=back),
        )
    forget_last_read(connection, [table.name])
    return cleared


def compose_is_deleted(table: Table, relation: str) -> sql.Composed:
    """Compose the condition that a row's document is among those that are gone."""
    column = table.document_column
    return sql.SQL("{} IN (SELECT {} FROM {})").format(name(column, relation), name(column), DELETED)


def compose_not_shown(table: Table) -> sql.Composed:
    """Compose leaving out the documents that do not show, as the document column's value is another one's."""
    document = name(table.document_column, "d")
    return sql.SQL("DELETE FROM {} AS d\nWHERE coalesce(d._document_id, {}) <> {}").format(
        DELETED, encode_plain(table, document), encode(table, document)
    )


def compose_flag(table: Table, deleted_at: datetime | None) -> sql.Composed:
    """Compose marking the rows of the documents that are gone, but for those marked before."""
    return sql.SQL("UPDATE {} AS t\nSET {flag} = {mark}\nWHERE {doomed}\n  AND t.{flag} IS NULL").format(
        target_of(table),
        flag=name(DELETED_AT),
        mark=_compose_mark(table, deleted_at),
        doomed=compose_is_deleted(table, "t"),
    )


def remove_absent(target: Target, keys: Iterable[IdBatch]) -> Removal:
    """Delete the rows whose key is not among the source's.

    Args:
        keys: all keys of the source, in chunks; only one chunk is held at a time.
    """
    connection, table = target.connection, target.table
    key = table.document_column
    create_document_ids(connection, table, _KEYS)
    copy_document_ids(connection, table, _KEYS, keys)
    execute(connection, sql.SQL("CREATE INDEX ON {} ({})").format(_KEYS, name(key)))
    execute(connection, sql.SQL("ANALYZE {}").format(_KEYS))
    doomed = sql.SQL("NOT EXISTS (SELECT FROM {} AS k WHERE k.{key} = t.{key})").format(_KEYS, key=name(key))
    return _remove(target, doomed)


def remove_unowned(target: Target) -> Removal:
    """Delete the rows of no document: what a tool that stored no document ids left behind.

    Only after every document was read: each row that one of them describes has its id by then.
    """
    return _remove(target, sql.SQL("{} IS NULL").format(name(target.table.document_column, "t")))


def _remove(target: Target, doomed: sql.Composable) -> Removal:
    referenced = list_references(target.schema, target.table.name)
    cascaded = apply_cascade(target, doomed) if referenced else Counter[str]()
    statement = sql.SQL("DELETE FROM {} AS t\nWHERE {}").format(target_of(target.table), doomed)
    return Removal(removed=execute(target.connection, statement), cascaded=cascaded)


def _compose_mark(table: Table, deleted_at: datetime | None) -> sql.Composed:
    """Compose the mark of a row `t`: the one it has, or else the given moment."""
    instant = _NOW if deleted_at is None else sql.Literal(deleted_at)
    if table.column(DELETED_AT).type.base.has_zone:
        instant = sql.SQL("({})::timestamp AT TIME ZONE 'UTC'").format(instant)
    return sql.SQL("coalesce({}, {})").format(name(DELETED_AT, "t"), instant)
