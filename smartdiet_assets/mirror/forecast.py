"""What a run of a table would do, without doing any of it: what it would create and alter, read and write.

PostgreSQL is read in a transaction in which nothing can be written, and no document leaves the source: documents are
counted where they are.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg import sql

from smartdiet_assets.errors import SmartdietError
from smartdiet_assets.extract.window import Window, WindowRequest, plan_window
from smartdiet_assets.load.execution import Connection, execute, fetch_all, fetch_value
from smartdiet_assets.load.fragments import records_here
from smartdiet_assets.load.protection import check_key, find_changes, must_empty
from smartdiet_assets.load.records.last_state import SyncState
from smartdiet_assets.load.records.sync_state import read_newest_date
from smartdiet_assets.load.structure.companion import place
from smartdiet_assets.load.structure.live import LiveTable, read_live_table
from smartdiet_assets.load.structure.mismatch import find_differences, find_missing_columns, find_missing_indexes
from smartdiet_assets.mirror.failures import describe_error, translate_error
from smartdiet_assets.mirror.reconciliation import OpenSource
from smartdiet_assets.mirror.sources.interface import Source
from smartdiet_assets.schema.keys import DELETED_AT
from smartdiet_assets.schema.model import Schema, Table
from smartdiet_assets.schema.protection import find_key_fault

# As JSON: an earlier version's state lacks columns.
_STATE = sql.SQL("SELECT to_jsonb(s) FROM {} AS s WHERE table_name = %s").format(records_here("sync_state"))
_AGAIN = sql.SQL("""\
SELECT count(*)
FROM (
  SELECT document_id FROM {rejects} AS r WHERE table_name = %(table)s
  UNION
  SELECT document_id FROM {waits} AS a WHERE table_name = %(table)s
  UNION
  SELECT parent_id FROM {waits} AS a WHERE parent_table = %(table)s
) AS again""").format(rejects=records_here("rejected_rows"), waits=records_here("awaited_parents"))
_HAS_RECORDS = sql.SQL("SELECT to_regclass('smartdiet.awaited_parents') IS NOT NULL")


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run of a table would do.

    Attributes:
        created: whether it would create the table.
        added: the columns and indexes it would add.
        differences: what would stop it: how the live table differs from its declaration, with what settles it.
        window: which documents it would read.
        documents: about how many they are, None where that is not known.
        again: rejects and missing parents it would ask for beside them; of those tried before only a part each time.
        rows: about how many rows the table has; None where there is no such table.
        emptied: whether it, or the run of a table that this one points at, would empty the table first.
        protected: the columns that were stored under another protection, or with another key.
    """

    table: str
    created: bool
    added: tuple[str, ...]
    differences: tuple[str, ...]
    window: Window
    documents: int | None
    again: int
    rows: int | None
    emptied: bool
    protected: tuple[str, ...] = ()

    @property
    def rows_at_most(self) -> int | None:
        """How many rows it would write at most, where a document is one row; None where that is not known."""
        return None if self.documents is None else self.documents + self.again


def forecast_table(
    connection: Connection,
    source: Source,
    request: WindowRequest,
    global_date_threshold: date | None = None,
    *,
    rekeyed: Collection[str] = (),
    below_emptied: bool = False,
) -> Forecast:
    """Find out what a run of a table would do; nothing is written.

    Args:
        connection: a PostgreSQL connection outside a transaction.
        global_date_threshold: see `plan_window`.
        rekeyed: tables whose pseudonyms of another key are made anew.
        below_emptied: whether a table that it points at is emptied before.

    Raises:
        psycopg.Error: PostgreSQL refused or was lost.
        Exception: what the source's driver raises.
    """
    clock = source.fetch_clock()
    with connection.transaction():
        execute(connection, sql.SQL("SET TRANSACTION READ ONLY"))
        table = place(connection, source.table)
        live = read_live_table(connection, table.name)
        stored = _read_stored(connection, table)
        state = _find_state(connection, table, live, stored)
        again = 0 if stored is None else int(fetch_value(connection, _AGAIN, {"table": table.name}))
        rows = None if live is None else _estimate_rows(connection, live)
        fault = _find_key_fault(connection, table, stored, rekeyed)
    protected = _find_protected(table, stored) if rows else []
    added, filled = _list_additions(table, live)
    below_emptied = below_emptied and live is not None
    window = plan_window(
        table,
        request,
        watermark=min(state.watermark, clock) if state.watermark and not below_emptied else None,
        has_position=table.capture == "change_stream" and state.change_position is not None and not below_emptied,
        reimport=filled or state.reimport is not None or bool(protected),
        global_date_threshold=global_date_threshold,
    )
    documents = None if window.reads_stream_alone or window.by_key else source.estimate_documents(window)
    differences = [*(find_differences(source.schema, table, live) if live else ()), *([fault] if fault else [])]
    if fault and protected and documents is not None:
        differences[-1] += f", which reads {documents:,} documents again"
    truncated = table.truncate_before_import and window.reads_everything and live is not None
    return Forecast(
        table=table.name,
        created=live is None,
        added=tuple(added),
        differences=tuple(differences),
        window=window,
        documents=documents,
        again=0 if window.reads_everything else again,
        rows=rows,
        emptied=truncated or below_emptied or must_empty(table, protected),
        protected=tuple(protected),
    )


def forecast_tables(
    schema: Schema,
    tables: Collection[str],
    connection: Connection,
    open_source: OpenSource,
    request: WindowRequest,
    global_date_threshold: date | None = None,
    *,
    rekey: bool = False,
) -> Iterator[tuple[str, Forecast | str]]:
    """Find out what runs of tables would do, parents first; where that cannot be known, the sentence that says why.

    Args:
        rekey: pseudonyms of another key are made anew.
    """
    emptied: set[str] = set()
    for table in schema.tables.values():
        if table.name not in tables:
            continue
        below_emptied = not emptied.isdisjoint(table.parents)
        found: Forecast | str
        try:
            with open_source(table) as source:
                found = forecast_table(
                    connection,
                    source,
                    request,
                    global_date_threshold,
                    rekeyed=tables if rekey else (),
                    below_emptied=below_emptied,
                )
        except Exception as error:  # noqa: BLE001 - the other tables go on, whatever it is
            found = describe_error(translate_error(error, table), table)
        if not isinstance(found, str) and found.emptied and not found.differences:
            emptied.add(table.name)
        yield table.name, found


def _read_stored(connection: Connection, table: Table) -> dict[str, Any] | None:
    """Read what the records say of a table; None where there are none, an empty one where they say nothing."""
    if not fetch_value(connection, _HAS_RECORDS):
        return None
    return fetch_value(connection, _STATE, [table.name]) or {}


def _find_key_fault(
    connection: Connection, table: Table, stored: Mapping[str, Any] | None, rekeyed: Collection[str]
) -> str:
    """Say why a run would refuse for its key; empty where it would not."""
    if stored is None:
        return find_key_fault([table])
    try:
        check_key(connection, table, stored.get("key_fingerprint"), rekeyed)
    except SmartdietError as error:
        return str(error)
    return ""


def _find_protected(table: Table, stored: Mapping[str, Any] | None) -> list[str]:
    return find_changes(table, stored.get("protection"), stored.get("key_fingerprint")) if stored is not None else []


def _find_state(
    connection: Connection, table: Table, live: LiveTable | None, known: Mapping[str, Any] | None
) -> SyncState:
    """Find where a table stands, as its run would: one that another tool filled stands at its newest date."""
    if known:
        watermark = datetime.fromisoformat(known["watermark"]) if known["watermark"] else None
        return SyncState(watermark, known["reimport"], known.get("change_position"))
    columns = set(live.columns) if live is not None and live.kind == "table" else set()
    readable = columns.issuperset(column.name for column in table.stored_columns)
    return SyncState(read_newest_date(connection, table) if readable else None)


def _list_additions(table: Table, live: LiveTable | None) -> tuple[list[str], bool]:
    """List what a run would add to a live table, and tell whether all documents are read for it."""
    if live is None or live.kind != "table":
        return [], False
    columns = find_missing_columns(table, live)
    indexes: Sequence[Sequence[str]] = find_missing_indexes(table, live)
    added = [f"column {column.name} {column.type.sql}" for column in columns]
    added += [f"index ({', '.join(names)})" for names in indexes]
    # No document fills a mark.
    mark = DELETED_AT if table.on_delete == "flag" else ""
    return added, any(not column.generated and column.name != mark for column in columns)


def _estimate_rows(connection: Connection, live: LiveTable) -> int:
    estimate = sql.SQL("SELECT reltuples::bigint FROM pg_catalog.pg_class WHERE oid = to_regclass(%s)")
    relation = sql.Identifier(live.schema, live.name)
    [(rows,)] = fetch_all(connection, estimate, [relation.as_string(None)])
    # Nobody has looked yet, or the table is small.
    if rows < 10_000 and live.kind == "table":
        rows = fetch_value(connection, sql.SQL("SELECT count(*) FROM {}").format(relation))
    return int(rows)
