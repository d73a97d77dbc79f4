"""The folder of Dagster's settings, runs and events: where it is, and that its settings are of use. Opens nothing."""

import errno
import os
import shutil
from pathlib import Path

import yaml

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.resources.environment import find_shipped, read_dagster_postgres_url

#: The settings of an instance in its folder, and of the project in its config folder, beside the schema file.
INSTANCE_FILE = "dagster.yaml"
_DEFAULT_HOME = ".dagster"
_VARIABLE = "SMARTDIET_DAGSTER_POSTGRES_URL"
#: The class of `assets.instance.storage`.
_STORAGE = "EnvironmentStorage"
#: The class of `assets.instance.runs`.
_RUN_COORDINATOR = "TaggingRunCoordinator"
#: Modules that such a file may name, and where they are now.
_MOVED = {
    "smartdiet_assets.operations.instance_storage": "smartdiet_assets.assets.instance.storage",
    "smartdiet_assets.operations.instance_runs": "smartdiet_assets.assets.instance.runs",
}


def choose_dagster_home(config_folder: Path) -> Path:
    """Choose the folder of the Dagster instance: DAGSTER_HOME, or else `.dagster` in the current directory.

    A folder without settings gets those of the project, `config/dagster.yaml`; in settings of an earlier version
    modules that moved get their new names. The choice is put into the environment, for the processes a run starts.

    Raises:
        ConfigurationError: the folder cannot be made or written to, or its own settings would leave
            SMARTDIET_DAGSTER_POSTGRES_URL unread.
    """
    home = find_dagster_home()
    template = find_template(config_folder)
    try:
        home.mkdir(parents=True, exist_ok=True)
        if template.is_file() and not (home / INSTANCE_FILE).exists():
            shutil.copyfile(template, home / INSTANCE_FILE)
        if renamed := rename_moved(home / INSTANCE_FILE):
            (home / INSTANCE_FILE).write_text(renamed, encoding="utf-8")
    except OSError as error:
        # Of a full disk the command line tells, whatever met it.
        if error.errno == errno.ENOSPC:
            raise
        raise ConfigurationError(
            f"the folder of Dagster's runs and events, {home}, cannot be used: {error.strerror}; set DAGSTER_HOME to a "
            "folder that can be written to"
        ) from None
    check_storage(read_dagster_postgres_url(), home / INSTANCE_FILE, template)
    os.environ["DAGSTER_HOME"] = str(home.resolve())
    return home.resolve()


def find_dagster_home() -> Path:
    """Find which folder the Dagster instance has, or will have."""
    configured = os.environ.get("DAGSTER_HOME")
    return Path(configured).expanduser() if configured else Path.cwd() / _DEFAULT_HOME


def has_instance() -> bool:
    """Whether there is a Dagster instance: DAGSTER_HOME names one, or a command made one here."""
    return bool(os.environ.get("DAGSTER_HOME")) or (find_dagster_home() / INSTANCE_FILE).is_file()


def check_storage(url: str, settings: Path, template: Path) -> None:
    """Check that an instance's file reads SMARTDIET_DAGSTER_POSTGRES_URL where that is set, as `url` has it.

    Raises:
        ConfigurationError: it does not.
    """
    if url and not _reads_variable(settings):
        raise ConfigurationError(
            f"{_VARIABLE} is set, but {settings} does not name the storage that reads it; copy the "
            f"block `storage:` of {template} there, or unset the variable"
        )


def find_template(config_folder: Path) -> Path:
    """Find the project's settings: beside the schema file, or else those that come with the project."""
    template = config_folder / INSTANCE_FILE
    return template if template.is_file() else find_shipped() / INSTANCE_FILE


def rename_moved(settings: Path) -> str:
    """Give what an instance's file should hold, where it names modules that moved; "" where it names none."""
    try:
        content = renamed = settings.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    for old, new in _MOVED.items():
        renamed = renamed.replace(old, new)
    return renamed if renamed != content else ""


def tags_picked_runs(settings: Path) -> bool:
    """Whether runs of tables that are picked in Dagit are tagged as those of the jobs, so that limits hold for them."""
    return _RUN_COORDINATOR in _read_block(settings, "run_coordinator")


def _reads_variable(settings: Path) -> bool:
    """Whether the storage of an instance's file is ours, or one that names the variable itself."""
    storage = _read_block(settings, "storage")
    return _STORAGE in storage or _VARIABLE in storage


def _read_block(settings: Path, name: str) -> str:
    """Read a block of an instance's file, to look for names in; "" where there is none."""
    try:
        content = yaml.safe_load(settings.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return ""
    return str(content.get(name, "")) if isinstance(content, dict) else ""
