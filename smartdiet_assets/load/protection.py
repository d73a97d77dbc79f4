"""What was stored under another protection, or with another key, before a run stores anything.

No row may show what is to be protected now, nor pseudonyms of two keys. Where a column tells rows apart or leads to
others, the table is emptied, with all that points at it. Elsewhere the column is redacted in every row. Then everything
is read again, in the same transaction.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql
from psycopg.types.json import Jsonb

from smartdiet_assets.errors import ConfigurationError, OtherKeyError
from smartdiet_assets.load.beside import ReadsAloneError
from smartdiet_assets.load.bulk import compose_is_empty
from smartdiet_assets.load.execution import Connection, execute, fetch_all, fetch_value
from smartdiet_assets.load.fragments import name, relations_of
from smartdiet_assets.load.records.last_state import LastState
from smartdiet_assets.load.records.rejects import clear_rejects
from smartdiet_assets.load.removal.truncate import truncate
from smartdiet_assets.load.target import Target
from smartdiet_assets.schema.model import Column, Table
from smartdiet_assets.schema.protection import find_key, find_key_fault
from smartdiet_assets.schema.pseudonyms import REDACTED

# As JSON: an earlier version's state lacks the column, and a forecast adds none.
_OF_PARENTS = sql.SQL("""\
SELECT table_name
FROM smartdiet.sync_state AS s
WHERE schema_name = current_schema() AND table_name = ANY (%s) AND to_jsonb(s) ->> 'key_fingerprint' <> %s
ORDER BY table_name""")


def check_key(connection: Connection, table: Table, fingerprint: str | None, rekeyed: Collection[str] = ()) -> None:
    """Check that a table is filled with the pseudonyms of the key that there is, and so are those it points at.

    Args:
        fingerprint: of the key of those it is filled with; None where it has none.
        rekeyed: tables that are read again where they have those of another one.

    Raises:
        ConfigurationError: there is no key.
        OtherKeyError: they are of another one.
    """
    if not table.has_pseudonyms:
        return
    if (fault := find_key_fault([table])) or table.pseudonyms is None:
        raise ConfigurationError(fault)
    own = table.pseudonyms.fingerprint
    if fingerprint not in (None, own) and table.name not in rekeyed:
        raise OtherKeyError(table.name, table.name)
    parents = [c.foreign_key.table for c in table.columns if c.is_pseudonym and c.foreign_key]
    others = [parent for parent in dict.fromkeys(parents) if parent != table.name and parent not in rekeyed]
    for (parent,) in fetch_all(connection, _OF_PARENTS, [others, own]) if others else ():
        raise OtherKeyError(table.name, parent)


def find_changes(table: Table, protection: str | None, fingerprint: str | None) -> list[str]:
    """Find the columns that were stored under another protection, or as pseudonyms of another key.

    Args:
        protection, fingerprint: as the records have them (`LastState`).
    """
    before: Mapping[str, str] = json.loads(protection or "{}")
    now = table.protected
    changed = [c.name for c in table.columns if before.get(c.name) != now.get(c.name)]
    if table.pseudonyms is not None and fingerprint not in (None, table.pseudonyms.fingerprint):
        changed += [c.name for c in table.columns if c.is_pseudonym and c.name not in changed]
    return changed


def must_empty(table: Table, changed: Collection[str]) -> bool:
    """Whether rows cannot stay where columns are protected otherwise, as they tell rows apart or lead to others."""
    return any(find_key(table, table.column(column)) for column in changed)


@dataclass(frozen=True, slots=True)
class Reprotection:
    """What was done to a table whose protection changed: why everything is read again, and whether it was emptied."""

    reason: str
    emptied: bool


def apply_changes(target: Target, last_state: LastState) -> Reprotection | None:
    """Take out of a table what its changed columns may not show any more; None where there is nothing in it.

    Raises:
        ReadsAloneError: related loads are open beside it.
    """
    table = target.table
    changed = find_changes(table, last_state.protection, last_state.key_fingerprint)
    if not changed:
        return None
    if target.beside.related:
        # Emptying it empties those below.
        raise ReadsAloneError
    of_key = must_empty(table, changed)
    if fetch_value(target.connection, compose_is_empty(relations_of(table))):
        if of_key:
            # Its records may name documents otherwise.
            clear_rejects(target.connection, [(last_state.schema_name or "", table.name)])
        return None
    several = len(changed) > 1
    reason = f"column{'s' * several} {', '.join(changed)} {'are' if several else 'is'} protected otherwise"
    if of_key:
        truncate(target)
    else:
        _redact(target, [table.column(column) for column in changed if table.column(column).protect is not None])
    return Reprotection(reason, of_key)


def _redact(target: Target, columns: Sequence[Column]) -> None:
    if not columns:
        return
    values = [
        sql.SQL("{column} = CASE WHEN {column} IS NOT NULL THEN CAST({redacted} AS {type}) END").format(
            column=name(column.name),
            redacted=_spell_redacted(column),
            type=sql.SQL(column.type.sql),
        )
        for column in columns
    ]
    for relation in relations_of(target.table):
        execute(target.connection, sql.SQL("UPDATE {} SET {}").format(relation, sql.SQL(", ").join(values)))


def _spell_redacted(column: Column) -> sql.Composable:
    value = REDACTED[column.type.base.family or column.type.base.name]
    return sql.Literal(Jsonb(value) if isinstance(value, dict) else value)
