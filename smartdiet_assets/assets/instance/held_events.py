"""How events get into Dagster's tables, on files and in PostgreSQL: some at a time, by statements that are built once.

Here: what both storages have in common. Not here: where the tables are (`assets.instance.held_sqlite`,
`assets.instance.held_postgres`). Dagster's own way does the same for each event by itself: a transaction for the event
and one for its asset, each statement built and compiled anew. What this builds on is not of Dagster's public API: what
`store_event` calls for a row, an asset's line, tags and checks; `integration/assets/test_instance_storage.py` notices a
change.
"""

import json
import os
import weakref
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any
from uuid import uuid4

from dagster import EventLogEntry
from sqlalchemy.engine import Connection, Engine

from smartdiet_assets.assets.instance.dagster_storages import AssetKeyTable, SqlEventLogStorage, SqlEventLogStorageTable
from smartdiet_assets.resources.dagster_private import ASSET_CHECK_EVENTS, ASSET_EVENTS, StepMaterializationData

INSERT = SqlEventLogStorageTable.insert()
_ASSET_KINDS = {kind.value for kind in ASSET_EVENTS}
_CHECK_KINDS = {kind.value for kind in ASSET_CHECK_EVENTS}
#: What a child of this process must not use.
_engines: "weakref.WeakSet[Engine]" = weakref.WeakSet()


def hold(engine: Engine) -> Engine:
    """Have the children of this process open connections of their own: none may share its parent's."""
    _engines.add(engine)
    return engine


def _forget() -> None:
    for engine in _engines:
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_forget)


class HeldEvents(SqlEventLogStorage):
    """Stores events; those of a batch all or none."""

    #: Builds an INSERT of the database's kind.
    _compose_insert: Callable[..., Any]

    def store_event(self, event: EventLogEntry) -> None:
        self.store_event_batch([event])

    @abstractmethod
    def _insert(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[int]:
        """Insert events and give their ids, in their order."""

    def _store(self, events: Sequence[EventLogEntry], rows: Sequence[dict[str, Any]]) -> None:
        with self.index_transaction() as connection:
            numbered = list(zip(events, rows, self._insert(connection, rows), strict=True))
            of_assets = [line for line in numbered if line[1]["dagster_event_type"] in _ASSET_KINDS]
            if of_assets:
                self._store_asset_event_tags(
                    connection, [line[0] for line in of_assets], [line[2] for line in of_assets]
                )
            # Of several events of a kind, an asset's line shows the last.
            shown = {(row["asset_key"], row["dagster_event_type"]): (event, number) for event, row, number in of_assets}
            for event, number in shown.values():
                self._store_asset_event(connection, event, number)
        for event, row, number in numbered:
            if row["dagster_event_type"] in _CHECK_KINDS:
                self.store_asset_check_event(event, number)

    def _build_rows(self, events: Sequence[EventLogEntry]) -> list[dict[str, Any]]:
        """Build the rows of events; those that differ in their partition alone are spelled out once."""
        bare = [_take_partition(event, None) for event in events] if len(events) > 1 else []
        if not bare or bare[0] is None or any(event != bare[0] for event in bare):
            return [self._event_to_row(event) for event in events]
        # Stands in nothing else that an event may hold.
        place = uuid4().hex
        example = _take_partition(events[0], place)
        assert example is not None
        row = self._event_to_row(example)
        keys = [event.get_dagster_event().partition or "" for event in events]
        return [{**row, "partition": key, "event": row["event"].replace(place, json.dumps(key)[1:-1])} for key in keys]

    def _store_asset_event(self, conn: Connection, event: EventLogEntry, event_id: int) -> None:
        values = self._get_asset_entry_values(event, event_id, self._has_asset_key_index_cols_on_connection(conn))
        key = event.get_dagster_event().asset_key
        if values and key:
            statement = _compose_upsert(type(self)._compose_insert, tuple(values))
            conn.execute(statement, {"asset_key": key.to_string(), **values})

    def _has_asset_key_index_cols_on_connection(self, conn: Connection) -> bool:
        # Dagster looks for each event; the tables were made, or migrated, before.
        if "_has_index_cols" not in vars(self):
            self._has_index_cols = super()._has_asset_key_index_cols_on_connection(conn)
        return self._has_index_cols

    def has_table(self, table_name: str) -> bool:
        # As above, for each event with tags.
        tables: set[str] = vars(self).setdefault("_tables", set())
        if table_name not in tables and super().has_table(table_name):  # type: ignore[safe-super]
            tables.add(table_name)
        return table_name in tables


def _take_partition(event: EventLogEntry, other: str | None) -> EventLogEntry | None:
    """Give the materialisation of a partition as it is of another one, or of none; None where an event is no such."""
    own = event.dagster_event
    if own is None or not isinstance(data := own.event_specific_data, StepMaterializationData):
        return None
    if data.materialization.partition is None:
        return None
    data = data._replace(materialization=data.materialization._replace(partition=other))
    return event._replace(dagster_event=own._replace(event_specific_data=data))


@cache
def _compose_upsert(compose_insert: Callable[..., Any], columns: tuple[str, ...]) -> Any:
    statement = compose_insert(AssetKeyTable)
    return statement.on_conflict_do_update(
        index_elements=[AssetKeyTable.c.asset_key], set_={column: statement.excluded[column] for column in columns}
    )
