"""Forgetting documents of a collection: what they left is removed and they are kept out, in one transaction.

An id is given as a plain document column would show it.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

from psycopg import Connection, Rollback

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.load.advisory import lock_tables
from smartdiet_assets.load.limits import LOCK_TIMEOUT
from smartdiet_assets.load.records.ddl import apply_bookkeeping
from smartdiet_assets.load.records.forgotten import add_forgotten, find_salt, lift_forgotten
from smartdiet_assets.load.records.sync_state import forget_last_read, note_reimport
from smartdiet_assets.load.removal.cascade import list_reach
from smartdiet_assets.load.removal.forget import Trace, remove_traces
from smartdiet_assets.load.removal.reconcile import table_exists
from smartdiet_assets.load.shards.plan import drop_plan
from smartdiet_assets.load.spelling import spell_value
from smartdiet_assets.load.transaction_settings import apply_settings
from smartdiet_assets.schema.document_id import decode_document_id
from smartdiet_assets.schema.forgotten import digest_id
from smartdiet_assets.schema.model import Schema, Table
from smartdiet_assets.schema.protection import find_key_fault
from smartdiet_assets.transform.convert import build_conversion
from smartdiet_assets.transform.protection import build_renamer
from smartdiet_assets.transform.rejection import Rejection


@dataclass(frozen=True, slots=True)
class Oblivion:
    """What went: rows, or references set to NULL, by table, and rejected documents."""

    rows: dict[str, int]
    rejects: int

    @property
    def total(self) -> int:
        """How many rows went."""
        return sum(self.rows.values())


def forget(
    connection: Connection, schema: Schema, collection: str, ids: Sequence[str], *, dry_run: bool = False
) -> Oblivion:
    """Remove everything that documents left in the mirror, and keep them out until they are lifted.

    Args:
        connection: outside of a transaction.
        ids: as a plain document column shows them.
        dry_run: do it all, and roll it back.

    Raises:
        ConfigurationError: no table mirrors the collection, or the tables need a key and there is none.
        LoadConflictError: a run had one of the tables for longer than the lock timeout.
    """
    tables = _find_tables(schema, collection)
    found = Oblivion({}, 0)
    with connection.transaction():
        present, reach = _lock(connection, schema, tables)
        texts = _find_texts(tables, ids)
        traces = {table.name: _trace(table, texts) for table in present}
        rows, rejects = remove_traces(connection, schema, traces, f"forget-{uuid4()}")
        found = Oblivion(dict(rows), rejects)
        salt = find_salt(connection)
        digests = {digest: digest for digest in (digest_id(salt, text) for text in texts)}
        for table in tables:
            add_forgotten(connection, table.name, salt, digests)
        forget_last_read(connection, reach)
        if dry_run:
            raise Rollback
    return found


def lift(connection: Connection, schema: Schema, collection: str, ids: Sequence[str]) -> int:
    """Let documents in again, with what points at them; return how many of them were kept out.

    Their tables, and those that point at them, are read whole by their next runs.
    """
    tables = _find_tables(schema, collection)
    with connection.transaction():
        _, reach = _lock(connection, schema, tables)
        salt = find_salt(connection)
        counts = lift_forgotten(
            connection, list(schema.tables), [digest_id(salt, text) for text in _find_texts(tables, ids)]
        )
        lifted = max((counts.get(table.name, 0) for table in tables), default=0)
        if lifted:
            for name in reach:
                note_reimport(connection, schema.tables[name], "what was forgotten was lifted")
    return lifted


def _find_tables(schema: Schema, collection: str) -> list[Table]:
    tables = [table for table in schema.tables.values() if table.mongo_collection == collection]
    if not tables:
        known = ", ".join(schema.collections)
        raise ConfigurationError(f"no table mirrors the collection {collection}; collections are {known}")
    if fault := find_key_fault(schema.tables.values()):
        raise ConfigurationError(fault)
    return tables


def _lock(connection: Connection, schema: Schema, tables: Sequence[Table]) -> tuple[list[Table], list[str]]:
    """Lock the tables and all that a deletion reaches; give those of both that are there."""
    apply_settings(connection, LOCK_TIMEOUT)
    apply_bookkeeping(connection)
    reached = {name for table in tables for name in list_reach(schema, table.name)}
    names = [name for name in schema.tables if name in reached]
    lock_tables(connection, names)
    [schema_name] = connection.execute("SELECT current_schema()::text").fetchone() or ("",)
    for name in names:
        # What a first load has copied so far knows nothing of it.
        drop_plan(connection, schema.tables[name], schema_name)
    there = [name for name in names if table_exists(connection, schema.tables[name])]
    return [table for table in tables if table.name in there], there


def _trace(table: Table, ids: Sequence[str]) -> Trace:
    """Say how a table shows documents, and how its records name them."""
    rename, pseudonyms = build_renamer(table), table.column(table.document_column).pseudonyms
    values = [value for text in ids for value in _find_values(table, text)]
    if table.hides_ids and pseudonyms is not None:
        values = [pseudonyms(str(value)) for value in values]
    names = [rename(spelled) for text in ids for spelled in spell_value(text)]
    return Trace(values, list(dict.fromkeys(names)))


def _find_texts(tables: Sequence[Table], ids: Sequence[str]) -> list[str]:
    """Spell ids as the tables do: a UUID may be given with capital letters, a number with zeros."""
    texts = (next((str(value) for table in tables for value in _find_values(table, text)), text) for text in ids)
    return list(dict.fromkeys(texts))


def _find_values(table: Table, text: str) -> list[object]:
    """List what a plain document column holds of the documents that a text may mean; nothing where it can hold none."""
    column = table.column(table.document_column).model_copy(update={"protect": None})
    convert = build_conversion(column).convert
    found: list[object] = []
    # In a column of texts, a number's other spellings are other documents.
    for identity in [text] if column.type.is_text else [decode_document_id(spelled) for spelled in spell_value(text)]:
        with suppress(Rejection):
            found.append(convert(identity))
    return list(dict.fromkeys(found))
