"""The Dagster instance the command line runs in."""

import os
import shutil
from pathlib import Path

from dagster import DagsterInstance

#: Beside the schema file, in the project's config folder.
_INSTANCE_FILE = "dagster.yaml"
_DEFAULT_HOME = ".dagster"


def choose_dagster_home(config_folder: Path) -> Path:
    """Choose the folder of the Dagster instance: DAGSTER_HOME, or else `.dagster` in the current directory.

    A folder without settings gets those of the project, `config/dagster.yaml`. The choice is put into the
    environment, for the processes a run starts.
    """
    configured = os.environ.get("DAGSTER_HOME")
    home = Path(configured).expanduser() if configured else Path.cwd() / _DEFAULT_HOME
    home.mkdir(parents=True, exist_ok=True)
    template = config_folder / _INSTANCE_FILE
    if template.is_file() and not (home / _INSTANCE_FILE).exists():
        shutil.copyfile(template, home / _INSTANCE_FILE)
    os.environ["DAGSTER_HOME"] = str(home.resolve())
    return home


def open_instance(config_folder: Path) -> DagsterInstance:
    """Open the configured instance; a context manager."""
    choose_dagster_home(config_folder)
    return DagsterInstance.get()
