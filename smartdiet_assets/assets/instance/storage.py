"""Where Dagster keeps its own runs, events and schedules: files in DAGSTER_HOME, or a PostgreSQL database.

Here: the choice by one variable, as `config/dagster.yaml` names it. Not here: that file's way into DAGSTER_HOME
(`resources.dagster_home`), how they are reached (`assets.instance.held_sqlite`, `assets.instance.held_postgres`), or
where the mirrored tables are.
"""

import os
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from smartdiet_assets.assets.instance.dagster_storages import DagsterStorage
from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.resources.dagster_private import ConfigurableClass, ConfigurableClassData
from smartdiet_assets.resources.environment import read_dagster_postgres_url

#: Held while the files are opened, and made where they are missing.
_LOCK = ".storage.lock"
_SECONDS_TO_OPEN = 60
#: Events of one write, at most.
_BATCH_SIZE = "1000"


class EnvironmentStorage(DagsterStorage, ConfigurableClass):
    """The storage that SMARTDIET_DAGSTER_POSTGRES_URL chooses; every process of Dagster reads it anew.

    So neither a file nor what one process hands to the next holds the password.
    """

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Take no configuration."""
        return {}

    @classmethod
    def from_config_value(  # type: ignore[override]
        cls, inst_data: ConfigurableClassData | None, config_value: dict[str, Any]
    ) -> DagsterStorage:
        """Open the storage.

        Raises:
            ConfigurationError: the variable cannot be used, DAGSTER_HOME is not set, or somebody holds its files.
        """
        # Dagster's own switch: a run's tables are announced by one write, and so are the partitions of a range.
        os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", _BATCH_SIZE)
        # Imported here: an instance needs one of them.
        if url := read_dagster_postgres_url():
            from smartdiet_assets.assets.instance.held_postgres import HeldPostgresStorage

            return HeldPostgresStorage(url, inst_data)
        home = os.environ.get("DAGSTER_HOME")
        if not home:
            raise ConfigurationError(
                "DAGSTER_HOME is not set: it names the folder that keeps Dagster's runs and events"
            )
        from smartdiet_assets.assets.instance.held_sqlite import HeldSqliteStorage

        folder = Path(home).expanduser()
        # The page, the daemon and a code server start at once; of two that make the same tables one would fail.
        try:
            with FileLock(folder / _LOCK, timeout=_SECONDS_TO_OPEN):
                return HeldSqliteStorage.from_local(str(folder), inst_data=inst_data)
        except Timeout:
            raise ConfigurationError(
                f"another process has held {folder / _LOCK} for {_SECONDS_TO_OPEN} seconds; end it and try again"
            ) from None
