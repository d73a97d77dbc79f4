"""Names of Dagster's private modules that load SQLAlchemy, which only who opens an instance needs.

What `resources.dagster_private` says of names holds here too.
"""

from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.event_log.schema import AssetKeyTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage

__all__ = [  # noqa: RUF022 - by what they are for
    # What a class must be that a dagster.yaml names as `storage`.
    "DagsterStorage",
    # What writes events to any database, and the tables it writes to: some at a time, by statements of our own.
    "SqlEventLogStorage",
    "AssetKeyTable",
    "SqlEventLogStorageTable",
    # The storage in files, which opens one anew for each event; that in PostgreSQL is public.
    "DagsterSqliteStorage",
    "SqliteEventLogStorage",
    "SqliteRunStorage",
]
