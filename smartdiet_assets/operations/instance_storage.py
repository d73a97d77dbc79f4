"""Where Dagster keeps its own runs, events and schedules: files in DAGSTER_HOME, or a PostgreSQL database.

Here: the choice by one variable, as `config/dagster.yaml` names it. Not here: that file's way into DAGSTER_HOME
(`operations.instance`), or where the mirrored tables are.
"""

import os
from typing import Any

from dagster._config.config_schema import UserConfigSchema
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.resources.environment import read_dagster_postgres_url


class EnvironmentStorage(DagsterStorage, ConfigurableClass):
    """The storage that SMARTDIET_DAGSTER_POSTGRES_URL chooses; every process of Dagster reads it anew.

    So neither a file nor what one process hands to the next holds the password.
    """

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """Take no configuration."""
        return {}

    @classmethod
    def from_config_value(  # type: ignore[override]
        cls, inst_data: ConfigurableClassData | None, config_value: dict[str, Any]
    ) -> DagsterStorage:
        """Open the storage.

        Raises:
            ConfigurationError: the variable cannot be used, or DAGSTER_HOME is not set.
        """
        if url := read_dagster_postgres_url():
            # Imported here: most instances do without.
            from dagster_postgres import DagsterPostgresStorage

            return DagsterPostgresStorage(postgres_url=url, inst_data=inst_data)
        home = os.environ.get("DAGSTER_HOME")
        if not home:
            raise ConfigurationError(
                "DAGSTER_HOME is not set: it names the folder that keeps Dagster's runs and events"
            )
        return DagsterSqliteStorage.from_local(os.path.expanduser(home), inst_data=inst_data)
