"""Dagster's runs and events in PostgreSQL, with a connection held open between its uses.

Here: Dagster's own storages on another engine. Dagster connects anew for each statement, as each of its processes might
be one of many; a run is one of a few, and most of what it waits for is connections and the server's disk. Not here:
what is written of an event (`assets.instance.held_events`). What this builds on is not of Dagster's public API, whose
storages make their engine by themselves: `_engine` of both, and `_run_storage` and `_event_log_storage`, the two that a
storage is made of.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as db
from dagster import EventLogEntry
from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage, PostgresRunStorage
from dagster_postgres.utils import retry_pg_connection_fn
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection, Engine

from smartdiet_assets.assets.instance.dagster_storages import SqlEventLogStorageTable
from smartdiet_assets.assets.instance.held_events import INSERT, HeldEvents, hold
from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.resources.dagster_private import ConfigurableClassData

#: Of the advisory lock under which the tables are looked for, and made where they are missing; any number, but one.
_LOCK = 5_274_001
_TAKE_LOCK = db.text("SELECT set_config('lock_timeout', :seconds, true), pg_advisory_xact_lock(:lock)")
_LOCK_NOT_AVAILABLE = "55P03"
_SECONDS_TO_OPEN = 60
#: A host that is gone is noticed within about a minute, also by who waits for its answer.
_NOTICING = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
_INSERT = INSERT.returning(SqlEventLogStorageTable.c.id, sort_by_parameter_order=True)


def _open(url: str) -> Engine:
    engine = hold(
        db.create_engine(
            url,
            isolation_level="AUTOCOMMIT",
            pool_size=1,
            # Threads of one process that find it taken open connections of their own, and close them.
            max_overflow=-1,
            # A run may do without for hours; the server, or what is between, may have ended the connection since.
            pool_pre_ping=True,
            connect_args=_NOTICING,
        )
    )
    db.event.listen(engine, "connect", _relax)
    return engine


def _relax(connection: Any, _record: Any) -> None:
    # Nothing is damaged by it. Where the server goes down, not just its client, the last moments may be missing, whole
    # transactions of them; the mirror does not rely on them.
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")


@contextmanager
def locked(url: str, seconds: int = _SECONDS_TO_OPEN) -> Iterator[None]:
    """Have the processes that start at once open the storage one after the other.

    Raises:
        ConfigurationError: somebody has held the lock for that long.
    """
    engine = db.create_engine(url, poolclass=db.NullPool, connect_args=_NOTICING)
    # A transaction, not a session, holds the lock: there may be a pooler of transactions in between.
    with retry_pg_connection_fn(engine.connect) as connection, connection.begin():
        try:
            connection.execute(_TAKE_LOCK, {"seconds": f"{seconds}s", "lock": _LOCK})
        except db.exc.OperationalError as error:
            if getattr(error.orig, "pgcode", None) != _LOCK_NOT_AVAILABLE:
                raise
            raise ConfigurationError(
                f"another process has held the database of Dagster's runs and events for {seconds} seconds; "
                "end it and try again"
            ) from None
        yield


class HeldRunStorage(PostgresRunStorage):
    """The runs."""

    def __init__(self, postgres_url: str) -> None:
        # The tables are there by now.
        super().__init__(postgres_url, should_autocreate_tables=False)
        self._engine = _open(postgres_url)

    def dispose(self) -> None:
        super().dispose()
        self._engine.dispose()


class HeldEventLogStorage(HeldEvents, PostgresEventLogStorage):
    """The events."""

    _compose_insert = insert

    def __init__(self, postgres_url: str) -> None:
        super().__init__(postgres_url, should_autocreate_tables=False)
        self._engine = _open(postgres_url)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        self._store(events, self._build_rows(events))

    def _insert(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[int]:
        return connection.execute(_INSERT, rows).scalars().all()

    def dispose(self) -> None:
        super().dispose()
        self._engine.dispose()


class HeldPostgresStorage(DagsterPostgresStorage):
    """Dagster's storage in a database, with connections that are held."""

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        # Of two that make the same tables one would fail.
        with locked(postgres_url):
            super().__init__(postgres_url, inst_data=inst_data)
        self._run_storage = HeldRunStorage(postgres_url)
        self._event_log_storage = HeldEventLogStorage(postgres_url)
