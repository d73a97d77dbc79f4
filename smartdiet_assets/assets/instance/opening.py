"""The Dagster instance of this process."""

from pathlib import Path

from dagster import DagsterInstance

from smartdiet_assets.resources.dagster_home import choose_dagster_home


def open_instance(config_folder: Path) -> DagsterInstance:
    """Open the configured instance; a context manager."""
    choose_dagster_home(config_folder)
    return DagsterInstance.get()
