"""Removing what documents left behind that are to be forgotten: rows, and all records that name them.

What points at them goes too, or loses its reference, as in any deletion; but nothing is noted to wait for them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from smartdiet_assets.load.execution import Connection, execute
from smartdiet_assets.load.fragments import candidates_of, lookup, name, target_of
from smartdiet_assets.load.removal.cascade import list_reach
from smartdiet_assets.load.removal.document_ids import copy_document_ids, create_document_ids
from smartdiet_assets.load.removal.gone import DELETED, apply_deletions
from smartdiet_assets.load.structure.companion import place
from smartdiet_assets.load.target import Target
from smartdiet_assets.schema.document_id import IdBatch
from smartdiet_assets.schema.model import Schema, Table

#: What waits for the parents: its rejects, before the waits that name them.
_CLEAR_WAITING = """\
WITH waiting AS (
  DELETE FROM smartdiet.awaited_parents
  WHERE schema_name = current_schema() AND parent_table = %(table)s AND parent_id = ANY (%(values)s)
  RETURNING table_name, document_id
)
DELETE FROM smartdiet.rejected_rows AS r
USING waiting AS w
WHERE r.schema_name = current_schema()
  AND r.table_name = w.table_name
  AND r.document_id = w.document_id
  AND r.reason = 'missing_parent'"""
_CLEAR: tuple[str, ...] = (
    """\
DELETE FROM smartdiet.missing_parents
WHERE schema_name = current_schema() AND parent_table = %(table)s AND parent_id = ANY (%(values)s)""",
    """\
DELETE FROM smartdiet.awaited_parents
WHERE schema_name = current_schema() AND table_name = %(table)s AND document_id = ANY (%(names)s)""",
    """\
DELETE FROM smartdiet.document_ids
WHERE schema_name = current_schema() AND table_name = %(table)s AND document = ANY (%(values)s)""",
)
_CLEAR_REJECTS = """\
DELETE FROM smartdiet.rejected_rows
WHERE schema_name = current_schema() AND table_name = %(table)s AND document_id = ANY (%(names)s)"""
#: What the cascade has noted: that rows which went wait for their parents.
_CLEAR_NOTED: tuple[str, ...] = (
    """\
DELETE FROM smartdiet.rejected_rows
WHERE schema_name = current_schema() AND run_id = %(run)s AND first_seen = now()""",
    """\
DELETE FROM smartdiet.awaited_parents
WHERE schema_name = current_schema() AND first_run_id = %(run)s""",
    """\
DELETE FROM smartdiet.missing_parents AS m
WHERE schema_name = current_schema()
  AND parent_table = ANY (%(reach)s)
  AND NOT EXISTS (
    SELECT FROM smartdiet.awaited_parents AS a
    WHERE a.schema_name = current_schema() AND a.parent_table = m.parent_table AND a.parent_id = m.parent_id
      AND a.table_name = m.table_name)""",
)


@dataclass(frozen=True, slots=True)
class Trace:
    """What a table may have of documents that are to be forgotten.

    Attributes:
        values: how its document column shows them.
        names: how the records name them.
    """

    values: Sequence[object]
    names: Sequence[str]


def remove_traces(
    connection: Connection, schema: Schema, traces: Mapping[str, Trace], run_id: str
) -> tuple[Counter[str], int]:
    """Remove what tables and their records have of documents; return the rows that went, by table, and the records.

    Within the caller's transaction, which holds the locks of the tables and of all that a deletion reaches.
    """
    rows, records = Counter[str](), 0
    for table_name in reversed([name_ for name_ in schema.tables if name_ in traces]):
        table = place(connection, schema.tables[table_name].model_copy(update={"on_delete": "delete"}))
        trace = traces[table_name]
        parameters = {
            "table": table_name,
            "values": list(map(str, trace.values)),
            "names": list(trace.names),
            "run": run_id,
            "reach": list_reach(schema, table_name),
        }
        records += connection.execute(_CLEAR_REJECTS, parameters).rowcount
        records += connection.execute(_CLEAR_WAITING, parameters).rowcount
        rows += _remove_rows(Target(connection, schema, table, run_id), trace)
        for statement in (*_CLEAR, *_CLEAR_NOTED):
            connection.execute(statement, parameters)
        for child in parameters["reach"]:
            rows[child] += _remove_waiting(connection, schema, schema.tables[child])
    return +rows, records


def _remove_rows(target: Target, trace: Trace) -> Counter[str]:
    connection, table = target.connection, target.table
    create_document_ids(connection, table, DELETED)
    copy_document_ids(connection, table, DELETED, [IdBatch(plain=list(trace.values))])
    document = name(table.document_column, "d")
    # Whichever document shows by the value.
    execute(
        connection,
        sql.SQL("UPDATE {} AS d SET _document_id = ({})").format(DELETED, lookup(table, document)),
    )
    removal = apply_deletions(target, None)
    return Counter({table.name: removal.removed + removal.replaced}) + removal.cascaded


def _remove_waiting(connection: Connection, schema: Schema, table: Table) -> int:
    """Remove the rows that wait behind another one of their key and have lost a parent they need."""
    if not table.shape.shares_keys:
        return 0
    table = place(connection, table)
    keys = [(column.name, column.foreign_key) for column in table.columns if column.foreign_key is not None]
    return sum(
        execute(
            connection,
            sql.SQL(
                "DELETE FROM {} AS c WHERE NOT EXISTS (SELECT FROM {} AS p WHERE p.{} = c.{}) AND c.{} IS NOT NULL"
            ).format(
                candidates_of(table), target_of(schema.tables[key.table]), name(key.column), name(column), name(column)
            ),
        )
        for column, key in keys
        if key.on_missing_parent != "null"
    )
