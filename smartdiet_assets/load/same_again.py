"""A run that read exactly what the run before it read: nothing is staged, compared or written but the state.

Here: whether such a run ends where the last one did, and the little it stores. Not here: the digest of what was read
(`load.intake`), the normal way (`load.run`).

What a table holds follows from the documents read and the parents that are there. With the same documents, only a
parent that was missing and came can make a difference: one that went has taken its children's rows along, or their
references, and their documents are read again then, which changes what is read.
"""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from smartdiet_assets.load.execution import Connection, PlannedStatement, fetch_value
from smartdiet_assets.load.fragments import name
from smartdiet_assets.load.records.last_state import Standing
from smartdiet_assets.load.records.rejects import count_rejected
from smartdiet_assets.load.result import LoadResult
from smartdiet_assets.schema.model import Table

_STORE = """\
UPDATE smartdiet.sync_state
SET
  watermark = greatest(watermark, %s), run_id = %s, updated_at = now(), documents_read = %s,
  change_position = coalesce(%s, change_position)
WHERE schema_name = current_schema()
  AND table_name = %s"""

#: Counts of a result that hold again when the same is read again; rows found new or changed are unchanged by then.
_LASTING = ("rejected", "rejected_rows", "superseded", "missing_parents_null", "rows", "refused")


def summarise(result: LoadResult) -> Jsonb:
    """Summarise a result as what holds when the same is read again."""
    values: dict[str, Any] = asdict(result)
    summary = {key: values[key] for key in _LASTING}
    return Jsonb({**summary, "unchanged": result.inserted + result.updated + result.unchanged})


def is_repetition(connection: Connection, table: Table, standing: Standing, window_digest: str) -> bool:
    """Tell whether a run that read what the digest stands for ends where the last one did."""
    return (
        standing.last_result is not None
        and standing.window_digest == window_digest
        and standing.code_version == table.code_version
        and standing.same_structure
        and not (standing.awaits and _has_parent_come(connection, table))
    )


def _has_parent_come(connection: Connection, table: Table) -> bool:
    arrivals = [
        sql.SQL("""\
EXISTS (
  SELECT FROM smartdiet.awaited_parents AS a
  JOIN {parent} AS p ON p.{parent_column} = a.parent_id::{type}
  WHERE a.schema_name = current_schema() AND a.table_name = {table} AND a.column_name = {column}
)""").format(
            parent=sql.Identifier(column.foreign_key.table),
            parent_column=name(column.foreign_key.column),
            type=sql.SQL(column.type.name),
            table=sql.Literal(table.name),
            column=sql.Literal(column.name),
        )
        for column in table.stored_columns
        if column.foreign_key is not None
    ]
    if not arrivals:
        return False
    return bool(fetch_value(connection, sql.SQL("SELECT {}").format(sql.SQL(" OR ").join(arrivals))))


def repeat_result(
    connection: Connection,
    table: Table,
    standing: Standing,
    *,
    run_id: str,
    watermark: datetime | None,
    documents_read: int,
    change_position: str | None,
    seconds: dict[str, float],
) -> tuple[LoadResult, PlannedStatement]:
    """Give the last run's result again, with nothing new, and plan to store that the run was made."""
    assert standing.last_result is not None
    result = LoadResult(
        mode="none",
        inserted=0,
        updated=0,
        deleted=0,
        replaced=0,
        change_ratio=None,
        cascaded={},
        documents_read=documents_read,
        watermark=max(filter(None, (standing.watermark, watermark)), default=None),
        # The runs of its parents may have added to them.
        rejected_total=count_rejected(connection, table) if standing.has_rejects else 0,
        seconds=seconds,
        **standing.last_result,
    )
    return result, (_STORE, [watermark, run_id, documents_read, change_position, table.name])
