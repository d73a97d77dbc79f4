"""What is looked at in Dagster's own folder and storage: whether a run could be recorded there.

Here: reading them as they are; nothing is created, not even the folder.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import yaml
from dagster import DagsterError
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from smartdiet_assets.errors import (
    AuthenticationError,
    ConfigurationError,
    DatabaseNotFoundError,
    PermissionDeniedError,
    ServerUnreachableError,
)
from smartdiet_assets.mirror.spool import Spool
from smartdiet_assets.resources.checking import Finding, Part
from smartdiet_assets.resources.dagster_home import (
    INSTANCE_FILE,
    check_storage,
    find_dagster_home,
    find_template,
    rename_moved,
    tags_picked_runs,
)
from smartdiet_assets.resources.dagster_private import InstanceRef
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.resources.postgres_errors import explain_sqlstate, translate_postgres_error
from smartdiet_assets.resources.postgres_watch import WatchedConnection

DAGSTER = Part("dagster")
_VARIABLE = "SMARTDIET_DAGSTER_POSTGRES_URL"
#: Where the runs, the events and the schedules are, below the folder.
_FILES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")
_RIGHTS = """
SELECT current_schema(), has_schema_privilege(current_schema(), 'CREATE'), to_regclass('runs') IS NOT NULL,
  current_setting('transaction_read_only')::boolean, current_user
"""


def examine_instance(environment: Environment) -> Iterator[Finding]:
    """Examine the folder of the Dagster instance and its storage."""
    home, template = find_dagster_home(), find_template(environment.schemas_path.resolve().parent)
    settings = home / INSTANCE_FILE
    if fault := _find_fault(home):
        yield DAGSTER.failed("home", fault)
        yield DAGSTER.skipped("storage", "Not examined: the folder cannot be used.")
        return
    if rename_moved(settings):
        yield DAGSTER.failed(
            "home", f"{settings} names modules of an earlier version: `smartdiet home` gives them their new names."
        )
        yield DAGSTER.skipped("storage", "Not examined: it is one of them.")
        return
    if settings.exists() and not _is_usable(home):
        yield DAGSTER.failed(
            "home",
            f"{settings} cannot be used: `dagster instance info` says why. A file that can be is {template}.",
        )
        yield DAGSTER.skipped("storage", "Not examined: nothing says which it is.")
        return
    if settings.exists():
        yield DAGSTER.passed("home", f"{home} holds Dagster's settings, runs and events.")
        if kept := Spool(home).describe_kept():
            yield DAGSTER.warned("records", kept)
        if not tags_picked_runs(settings):
            yield DAGSTER.warned(
                "queue",
                f"The limits of {settings} on runs do not hold for tables picked in Dagit, nor for backfills: copy the "
                f"block `run_coordinator:` of {template} there.",
            )
    else:
        yield DAGSTER.passed("home", f"{home} is not there yet: the first run prepares it as {template} says.")
    try:
        url = environment.dagster_postgres_url
        if settings.exists():
            check_storage(url, settings, template)
    except ConfigurationError as error:
        yield DAGSTER.failed("storage", f"{error}.")
        return
    yield from _examine_postgres(url, environment.connect_timeout) if url else _examine_files(home)


def _find_fault(home: Path) -> str:
    """Say what keeps us from writing to the folder, or from making it; "" when nothing does."""
    nearest = next(folder for folder in (home, *home.absolute().parents) if folder.exists())
    if not nearest.is_dir():
        return f"{nearest} is a file, and has to be a folder: set DAGSTER_HOME, or move the file."
    if not os.access(nearest, os.W_OK | os.X_OK):
        what = "be written to" if nearest == home else f"be made in {nearest}"
        return f"{home} cannot {what}: set DAGSTER_HOME to a folder of the user who runs this, or change its owner."
    return ""


def _is_usable(home: Path) -> bool:
    """Whether Dagster takes the folder's file. Its text says more than may be shown: the file may hold a password."""
    try:
        InstanceRef.from_dir(str(home))
    except (DagsterError, OSError, UnicodeDecodeError, yaml.YAMLError, ImportError, ValueError):
        return False
    return True


def _examine_files(home: Path) -> Iterator[Finding]:
    present = [home / name for name in _FILES if (home / name).exists()]
    for path in present:
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            unusable = not os.access(path, os.W_OK)
        except sqlite3.Error:
            unusable = True
        if unusable:
            yield DAGSTER.failed(
                "storage", f"{path} cannot be read and written: give it back its owner, or move it away to begin anew."
            )
            return
    state = "files beside it" if present else "files beside it, which the first run makes"
    yield DAGSTER.passed("storage", f"Runs and events are kept in {state}.")


def _examine_postgres(url: str, connect_timeout: float) -> Iterator[Finding]:
    # The driver's name is SQLAlchemy's.
    plain = f"postgresql://{url.partition('://')[2]}"
    try:
        parts = conninfo_to_dict(plain)
    except psycopg.ProgrammingError:
        yield DAGSTER.failed("storage", f"{_VARIABLE} cannot be read as a URL; special characters are percent-encoded.")
        return
    database = str(parts.get("dbname") or parts.get("user") or "")
    where = f"the database {database} at {parts.get('host', 'localhost')}:{parts.get('port', 5432)}"
    try:
        with WatchedConnection.connect(plain, connect_timeout=round(connect_timeout), autocommit=True) as connection:
            connection.stall_timeout = connect_timeout
            row = connection.execute(_RIGHTS).fetchone()
    except psycopg.Error as error:
        yield _describe_refusal(error, where, database)
        return
    assert row is not None
    schema, may_create, exists, read_only, user = row
    if read_only:
        yield DAGSTER.failed("storage", f"The user {user} of {where} is read only, or the server is.")
    elif schema is None or not (may_create or exists):
        grant = sql.SQL("GRANT USAGE, CREATE ON SCHEMA {} TO {};").format(
            sql.Identifier(schema or "public"), sql.Identifier(user)
        )
        yield DAGSTER.failed(
            "storage",
            f"The user {user} may not create Dagster's tables in {where}.",
            statements=[grant.as_string(None)],
        )
    else:
        yield DAGSTER.passed("storage", f"Runs and events are kept in {where} ({_VARIABLE}).")


def _describe_refusal(error: psycopg.Error, where: str, database: str) -> Finding:
    """Say why Dagster's database cannot be used, with its own variable where a mirror's error names others."""
    fault = translate_postgres_error(error, "")
    statements = []
    if isinstance(fault, DatabaseNotFoundError):
        reason = "there is no such database"
        statements = [sql.SQL("CREATE DATABASE {};").format(sql.Identifier(database)).as_string(None)]
    elif isinstance(fault, AuthenticationError):
        reason = "the server refuses the user or the password"
    elif isinstance(fault, PermissionDeniedError):
        reason = "the user may not connect to it"
    elif isinstance(fault, ServerUnreachableError):
        reason = "no server answers, or it takes no connections now"
    else:
        reason = explain_sqlstate(error)
    return DAGSTER.failed(
        "storage",
        f"Dagster cannot keep its runs in {where}: {reason}. Check {_VARIABLE}.",
        statements=statements,
    )
