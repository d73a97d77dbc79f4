"""Dagster's runs and events in SQLite files, with one connection to each file held open between its uses.

Here: Dagster's own storages with another way to their files. Dagster opens a file anew for each event and closes it
behind it, which makes SQLite write all of its log back and wait for the disk. Not here: what is written of an event
(`assets.instance.held_events`). What this builds on is not of Dagster's public API, whose storages make their
connections by themselves; `integration/assets/test_instance_storage.py` notices a change:

- `SqliteEventLogStorage._connect`, `SqliteRunStorage.connect`: the one way each has to its files;
- `_initdb`, `_initialized_dbs`: which makes the tables of a new file;
- `_conn_string`, `_base_dir`: where the files of a storage are;
- `_run_storage`, `_event_log_storage`: the two that a storage is made of.
"""

import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as db
from dagster import EventLogEntry
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection, Engine

from smartdiet_assets.assets.instance.dagster_storages import (
    DagsterSqliteStorage,
    SqlEventLogStorageTable,
    SqliteEventLogStorage,
    SqliteRunStorage,
)
from smartdiet_assets.assets.instance.held_events import INSERT, HeldEvents, hold
from smartdiet_assets.resources.dagster_private import (
    ASSET_CHECK_EVENTS,
    ASSET_EVENTS,
    EVENT_TYPE_TO_PIPELINE_RUN_STATUS,
    ConfigurableClassData,
)

#: Files of single runs, beside that of all: a run has one, and Dagit looks at many.
_MOST_HELD = 4
#: Seconds to wait for another process that writes.
_BUSY_TIMEOUT = 30
_REVISION = db.text("SELECT version_num FROM alembic_version")
_NEWEST = db.select(db.func.max(SqlEventLogStorageTable.c.id))
#: Events that are looked for across runs.
_INDEXED = {kind.value for kind in {*ASSET_EVENTS, *ASSET_CHECK_EVENTS, *EVENT_TYPE_TO_PIPELINE_RUN_STATUS}}


class _File:
    """An SQLite file and the engine that holds it open; opened anew where another file has its name."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._engine: Engine | None = None
        self._identity: tuple[int, int] | None = None

    @property
    def is_held(self) -> bool:
        return self._engine is not None and self._identity is not None and self._identity == self._identify()

    def open(self) -> Engine:
        """Open the file, or give what holds it."""
        if not self.is_held or self._engine is None:
            self.close()
            # Any thread may have it, one at a time. What finds it taken opens another connection, and closes that.
            self._engine = hold(
                db.create_engine(
                    f"sqlite:///{self._path}",
                    pool_size=1,
                    max_overflow=-1,
                    connect_args={"timeout": _BUSY_TIMEOUT, "check_same_thread": False},
                )
            )
            db.event.listen(self._engine, "connect", _relax)
            with self._engine.connect():
                self._identity = self._identify()
        return self._engine

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
        self._engine = self._identity = None

    def _identify(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        return status.st_dev, status.st_ino


def _relax(connection: Any, _record: Any) -> None:
    # With a write-ahead log a file cannot be damaged by it. Where the machine goes down, not just a process, the last
    # moments may be missing, whole transactions of them; the mirror does not rely on them.
    connection.execute("PRAGMA synchronous = NORMAL")


class HeldRunStorage(SqliteRunStorage):
    """The runs."""

    def __init__(self, conn_string: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(conn_string, inst_data)
        self._file = _File(str(db.make_url(conn_string).database))

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        with self._file.open().begin() as connection:
            yield connection

    def dispose(self) -> None:
        super().dispose()
        self._file.close()


class HeldEventLogStorage(HeldEvents, SqliteEventLogStorage):
    """The events: a file of each run, and one of those that are looked for across runs."""

    _compose_insert = insert

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        # The one that was not used for longest comes first.
        self._files: OrderedDict[str, _File] = OrderedDict()
        super().__init__(base_dir, inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock, self._open(shard).begin() as connection:
            yield connection

    def _open(self, shard: str) -> Engine:
        file = self._files.setdefault(shard, _File(self.path_for_shard(shard)))
        self._files.move_to_end(shard)
        if not file.is_held:
            # A new file needs its tables, also one in the place of a file that was deleted.
            self._initdb(file.open())
            self._initialized_dbs.add(shard)
        while len(self._files) > _MOST_HELD:
            self._files.popitem(last=False)[1].close()
        return file.open()

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:
        # Dagster reads all of its migrations first. A file with a revision has its tables.
        with engine.connect() as connection:
            if engine.dialect.has_table(connection, "alembic_version") and connection.scalar(_REVISION):
                return
        super()._initdb(engine, for_index_shard)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        rows = self._build_rows(events)
        for run_id in dict.fromkeys(event.run_id for event in events):
            with self.run_connection(run_id) as connection:
                connection.execute(INSERT, [row for row in rows if row["run_id"] == run_id])
            # Dagit watches the run's own file for changes, and a connection that stays open writes beside it.
            os.utime(self.path_for_shard(run_id))
        indexed = [pair for pair in zip(events, rows, strict=True) if pair[1]["dagster_event_type"] in _INDEXED]
        if indexed:
            self._store(*zip(*indexed, strict=True))

    def _insert(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[int]:
        connection.execute(INSERT, rows)
        # They are the last, and in their order: nobody else writes meanwhile.
        newest: int = connection.execute(_NEWEST).scalar_one()
        return range(newest - len(rows) + 1, newest + 1)

    def dispose(self) -> None:
        super().dispose()
        with self._db_lock:
            while self._files:
                self._files.popitem()[1].close()


class HeldSqliteStorage(DagsterSqliteStorage):
    """Dagster's storage in a folder, with connections that are held."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._run_storage = HeldRunStorage(self._run_storage._conn_string)
        self._event_log_storage = HeldEventLogStorage(self._event_log_storage._base_dir)
