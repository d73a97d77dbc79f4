"""Where a table stands: the stored watermark, and why it may have to be read whole."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from psycopg import sql
from psycopg.types.json import Jsonb

from smartdiet_assets.load.execution import Connection, PlannedStatement, execute, fetch_value
from smartdiet_assets.load.fragments import stored, target_of
from smartdiet_assets.load.records.last_state import STRUCTURE_DIGEST, SyncState, build_parameters
from smartdiet_assets.load.result import LoadResult
from smartdiet_assets.schema.model import Table

#: Counts of a result that hold again when the same is read again; rows found new or changed are unchanged by then.
_LASTING = ("rejected", "rejected_rows", "superseded", "missing_parents_null", "rows", "refused")

#: Seconds since the run's transaction began, which is what `now()` says.
SECONDS = "extract(epoch FROM clock_timestamp() - now())"


def _compose_write(values: Mapping[str, str]) -> str:
    return f"""\
INSERT INTO smartdiet.sync_state ({", ".join(values)})
VALUES ({", ".join(values.values())})
ON CONFLICT (schema_name, table_name) DO UPDATE SET
  {", ".join(f"{column} = excluded.{column}" for column in values if column != "table_name")}"""


_VALUES = {
    "table_name": "%(table_name)s",
    "watermark": "%(watermark)s",
    "run_id": "%(run_id)s",
    "updated_at": "now()",
    "code_version": "%(code_version)s",
    "seconds": SECONDS,
    "documents_read": "%(documents_read)s",
    "reimport": "%(reimport)s",
    "change_position": "%(change_position)s",
    "read_from": "%(read_from)s",
    "little_left_out": "%(little_left_out)s",
    "window_digest": "%(window_digest)s",
    "last_result": "%(last_result)s",
    "protection": "%(protection)s",
    "key_fingerprint": "%(key_fingerprint)s",
}
_WRITE = _compose_write(_VALUES)
_WRITE_COMPARED = _compose_write({**_VALUES, "structure_digest": STRUCTURE_DIGEST})

_RESET = sql.SQL("""\
UPDATE smartdiet.sync_state
SET watermark = NULL, change_position = NULL, read_from = NULL, protection = NULL, key_fingerprint = NULL
WHERE (schema_name, table_name) IN (SELECT * FROM unnest(%s::text[], %s::text[]))""")

_NOTE_REIMPORT = sql.SQL("""\
INSERT INTO smartdiet.sync_state AS s (table_name, reimport)
VALUES (%s, %s)
ON CONFLICT (schema_name, table_name) DO UPDATE SET
  reimport = concat_ws('; ', s.reimport, excluded.reimport)""")

_FORGET = sql.SQL("""\
UPDATE smartdiet.sync_state
SET window_digest = NULL, last_result = NULL
WHERE schema_name = current_schema()
  AND table_name = ANY(%s)
  AND (window_digest IS NOT NULL OR last_result IS NOT NULL)""")


def plan_state(
    table: Table,
    state: SyncState,
    result: LoadResult,
    *,
    run_id: str,
    window_digest: str | None,
    compared: bool,
) -> PlannedStatement:
    """Plan to store a table's state at the end of a run, with what is needed to know a run that reads the same.

    Args:
        compared: whether the run compared the table with its declaration, created it or may have changed it: it is as
            declared now, which is stored to spare the next run the comparison.
    """
    values = {
        "table_name": table.name,
        "watermark": state.watermark,
        "run_id": run_id,
        "code_version": table.code_version,
        "documents_read": result.documents_read,
        "reimport": state.reimport,
        "change_position": state.change_position,
        "read_from": state.read_from,
        "little_left_out": state.little_left_out,
        "window_digest": window_digest,
        "last_result": _summarise(result),
        "protection": spell_protection(table),
        "key_fingerprint": table.pseudonyms.fingerprint if table.pseudonyms else None,
    }
    return (_WRITE_COMPARED, {**build_parameters(table), **values}) if compared else (_WRITE, values)


def spell_protection(table: Table) -> str | None:
    """Spell how a table's columns are protected; None where none is."""
    return json.dumps(table.protected, sort_keys=True) if table.protected else None


def _summarise(result: LoadResult) -> Jsonb:
    """Summarise a result as what holds when the same is read again."""
    summary = {key: getattr(result, key) for key in _LASTING}
    return Jsonb({**summary, "unchanged": result.inserted + result.updated + result.unchanged})


def reset_states(connection: Connection, tables: Sequence[tuple[str, str]]) -> None:
    """Forget the watermarks and positions of tables that were emptied, so that their next runs read everything.

    Args:
        tables: each with its schema before it.
    """
    execute(connection, _RESET, [list(names) for names in zip(*tables, strict=True)])


def forget_last_read(connection: Connection, table_names: Iterable[str]) -> None:
    """Forget what the last runs of tables read, so that reading the same again is no reason to leave the rows alone."""
    execute(connection, _FORGET, [list(table_names)])


def note_reimport(connection: Connection, table: Table, reason: str) -> None:
    """Note why a table's next run has to read everything, beside what is noted already."""
    execute(connection, _NOTE_REIMPORT, [table.name, reason])


def fetch_newest_key(connection: Connection, table: Table) -> object:
    """Fetch the largest key of the table, None where it is empty."""
    column = sql.Identifier(table.document_column)
    return fetch_value(connection, sql.SQL("SELECT max({}) FROM {}").format(column, target_of(table)))


def read_newest_date(connection: Connection, table: Table) -> datetime | None:
    """Read where a table with rows and no state of its own, filled by another tool, stands: at its newest date.

    A state without watermark is different: the table was emptied, or only filled in part, so everything is read.
    """
    candidates = (table.time_column,) if table.time_column else ("created_at", "updated_at")
    dates = [column for column in candidates if column in stored(table)]
    if not dates or any(not table.column(column).type.base.has_clock for column in dates):
        return None
    # A date of the future would stop the mirror until then; the next best one makes it read a little more.
    query = sql.SQL("SELECT max(newest) FROM (SELECT greatest({}) FROM {}) AS row (newest) WHERE newest <= {}").format(
        sql.SQL(", ").join(
            sql.SQL("{} AT TIME ZONE 'UTC'" if table.column(column).type.base.has_zone else "{}").format(
                sql.Identifier(column)
            )
            for column in dates
        ),
        target_of(table),
        sql.SQL("now() AT TIME ZONE 'UTC'"),
    )
    newest: datetime | None = fetch_value(connection, query)
    return newest
