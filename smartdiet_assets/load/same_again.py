"""A run that read exactly what the run before it read: nothing is staged, compared or written but the state.

What a table holds follows from the documents read and the parents that are there. With the same documents, only a
parent that was missing and came can make a difference: one that went has taken its children's rows along, or their
references, and their documents are read again then, which changes what is read.
"""

from psycopg import sql

from smartdiet_assets.load.execution import Connection, fetch_value
from smartdiet_assets.load.fragments import name
from smartdiet_assets.load.intake import Intake
from smartdiet_assets.load.opening import Load
from smartdiet_assets.load.records.rejects import count_rejected
from smartdiet_assets.load.records.retries import note_asked
from smartdiet_assets.load.records.sync_state import SECONDS
from smartdiet_assets.load.result import LoadResult
from smartdiet_assets.load.write import Conclusion
from smartdiet_assets.schema.model import Table

_STORE = f"""\
UPDATE smartdiet.sync_state
SET
  watermark = greatest(watermark, %s), run_id = %s, updated_at = now(), seconds = {SECONDS},
  documents_read = %s,
  change_position = coalesce(%s, change_position)
WHERE schema_name = current_schema()
  AND table_name = %s"""


def is_same_again(load: Load, intake: Intake, end: Conclusion) -> bool:
    """Tell whether a run read what the last one had read, has written nothing yet, and ends where the last one did."""
    last_state = load.last_state
    return (
        end.source_keys is None
        and intake.digest is not None
        and intake.holds_all
        and last_state.last_result is not None
        and last_state.window_digest == intake.digest
        and last_state.code_version == load.table.code_version
        and last_state.same_structure
        and not (last_state.awaits and _has_parent_come(load.connection, load.table))
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
            type=sql.SQL(column.type.base.sent_as),
            table=sql.Literal(table.name),
            column=sql.Literal(column.name),
        )
        for column in table.stored_columns
        if column.foreign_key is not None
    ]
    if not arrivals:
        return False
    return bool(fetch_value(connection, sql.SQL("SELECT {}").format(sql.SQL(" OR ").join(arrivals))))


def conclude_unchanged(load: Load, intake: Intake, end: Conclusion) -> LoadResult:
    """End a load that is the same again: store that the run was made, and give the last one's result once more."""
    last_state = load.last_state
    assert last_state.last_result is not None
    with load.clock.timed("state", "stored"):
        if intake.retries_read:
            note_asked(load, everything=False)
        load.at_commit.append(
            (_STORE, [end.watermark, load.run_id, intake.documents_read, end.change_position, load.table.name])
        )
        return LoadResult(
            mode="none",
            inserted=0,
            updated=0,
            deleted=0,
            replaced=0,
            change_ratio=None,
            cascaded={},
            documents_read=intake.documents_read,
            watermark=max(filter(None, (load.state.watermark, end.watermark)), default=None),
            # The runs of its parents may have added to them.
            rejected_total=count_rejected(load.connection, load.table) if last_state.has_rejects else 0,
            seconds=load.clock.seconds,
            **last_state.last_result,
        )
