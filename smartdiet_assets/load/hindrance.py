"""Why a load failed that nothing is wrong with: what somebody attached to the table is named."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.pq import TransactionStatus

from smartdiet_assets.errors import LoadHinderedError, SmartdietError, TableChangedError
from smartdiet_assets.load.execution import Connection
from smartdiet_assets.load.removal.cascade import list_reach
from smartdiet_assets.load.result import RowsLostError
from smartdiet_assets.load.structure.interference import (
    OTHER_TRIGGER,
    POLICY,
    PUBLICATION,
    ROW_SECURITY,
    RULE,
    TRIGGER,
    Interference,
    find_interferences,
)
from smartdiet_assets.schema.model import Schema, Table

_HIDDEN = (ROW_SECURITY, POLICY)
#: Rows that were written and are not there, or are there and were not seen.
_LOST = (TRIGGER, RULE, *_HIDDEN)
_RAISED = (TRIGGER, OTHER_TRIGGER)
#: What can be behind an error, by its SQLSTATE or the class of that.
_CAUSES = {
    "42501": _HIDDEN,
    "55000": (PUBLICATION,),
    "23505": _LOST,
    "0A000": (RULE,),
    "09": _RAISED,
    "27": _RAISED,
    "38": _RAISED,
    "39": _RAISED,
    "P0": _RAISED,
}


@contextmanager
def explain_hindrance(connection: Connection, schema: Schema, table: Table) -> Iterator[None]:
    """Name what somebody attached to a table, or to those below it, where that can be why the block failed.

    Raises:
        LoadHinderedError: in the place of the block's error.
    """
    try:
        yield
    except (psycopg.Error, RowsLostError, TableChangedError) as error:
        found = _find_cause(connection, schema, table, error)
        if not found:
            raise
        raise LoadHinderedError(table.name, [(one.table, one.sentence, one.statement) for one in found]) from None


def _find_cause(
    connection: Connection, schema: Schema, table: Table, error: psycopg.Error | SmartdietError
) -> list[Interference]:
    state = error.sqlstate if isinstance(error, psycopg.Error) else None
    causes = _CAUSES.get(state) or _CAUSES.get(state[:2]) if state else None
    if isinstance(error, SmartdietError):
        causes = _LOST
    if not causes or connection.info.transaction_status != TransactionStatus.IDLE:
        return []
    try:
        found = find_interferences(connection, list_reach(schema, table.name))
    except psycopg.Error:
        return []
    finally:
        if connection.info.transaction_status != TransactionStatus.IDLE:
            connection.rollback()
    return [one for one in found if one.kind in causes]
