"""The settings of the environment and their defaults.

Here: the only reading of the process environment. Not here: `.env` (`env_file`), what each variable may hold
(`variables`), connecting (`mongo`, `postgres`), and DAGSTER_HOME, which is Dagster's own. A message names the variable
and never repeats what it holds.
"""

import os
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.resources.env_file import apply_env_file
from smartdiet_assets.resources.patience import RETRY_DELAY
from smartdiet_assets.resources.variables import DAGSTER_POSTGRES, VARIABLES, Executor, Place, read_postgres_url
from smartdiet_assets.schema.matomo import DEFAULT_PREFIX

_SCHEMAS = Path("config", "schemas.yaml")
#: Beside the file of the other tables.
_MATOMO_SCHEMAS = "matomo_schemas.yaml"
#: Which of them is `remote` is reached through the SSH server.
_PLACES = ("TRANSFER_SOURCE", "TRANSFER_DESTINATION", "MATOMO_SOURCE")
_NEEDED_BY_REMOTE = ("REMOTE_SERVER_URL", "REMOTE_SERVER_USER")


class Environment(BaseModel):
    """Every setting, read once; the defaults are those of the replaced tool.

    Attributes:
        global_date_threshold: documents from this date on (UTC) are read again by incremental runs.
        batch_size: documents in a batch.
        retry_limit: documents that could not be loaded before, and are tried again by one run of a table.
        transfer_source: where the MongoDB is that is mirrored: reached directly, or through the SSH server.
        transfer_destination: where the PostgreSQL is that holds the mirror, likewise.
        postgres_ssl_mode: libpq's `sslmode`; "" leaves it to libpq.
        postgres_ssl_ca: file of the certificate authority.
        postgres_data_sample_percent: share of each table that `refresh postgres` copies.
        postgres_include_tables: names or patterns of the tables that `refresh postgres` copies; none stands for all.
        postgres_exclude_data_tables: tables that `refresh postgres` makes, and leaves empty.
        max_dump_size_mb: of the replaced tool; without effect, for nothing is dumped.
        remote_postgres_path, remote_mongodb_path: of the replaced tool; without effect, for no file is sent.
        remote_server_url: host name or address of the SSH server.
        remote_server_key_file: file of the private key to log in with, "" for none.
        remote_server_agent: whether keys of the SSH agent are tried; without a password and a key file they are anyway.
        remote_server_host_key: the server's public key, as one line; "" looks for it in the known hosts.
        remote_server_known_hosts: file of known hosts; "" is the user's own and the machine's.
        remote_mongodb_url: as the SSH server sees it.
        remote_postgres_host: as the SSH server sees it.
        matomo_source: where Matomo's database is: reached directly, or through the SSH server.
        matomo_host: with the source `remote`, as the SSH server sees it.
        matomo_table_prefix: what the names of Matomo's tables begin with.
        matomo_ssl_ca: file of the certificate authority; with it the connection is encrypted.
        matomo_ssl_verify: whether the server's certificate must be the authority's, for its host.
        schemas_path: the file that declares the tables.
        matomo_schemas_path: the file that declares the tables of Matomo; by default the one beside `schemas_path`.
        connect_timeout: seconds to open a connection to any server.
        read_timeout: seconds to wait for one answer of MongoDB or Matomo.
        stall_timeout: seconds without a byte from PostgreSQL before it is asked whether it still works for us.
        retry_delay: seconds before a table, or a read of MongoDB, that failed for a passing reason is tried again.
        executor: `in_process` runs the tables of a run one after another, `threads` side by side in one process, and
            `multiprocess` each in a process of its own.
        refresh_jobs: whether the jobs that write over whole databases are in Dagster's code location.
        schedule: when the schedule of the mirror runs, as a cron expression, UTC.
        prune_after_days: how many days Dagster's runs are kept whole; 0 keeps them for ever.
        prune_failed_after_days: likewise of failed runs.
        dagster_postgres_url: the database that keeps Dagster's own runs and events; "" keeps them in files.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    transfer_source: Place = "local"
    transfer_destination: Place = "local"
    mongodb_url: str = Field(default="mongodb://localhost:27017", repr=False)
    mongodb_database: str = "default"
    postgres_host: str = "localhost"
    postgres_port: int = 5432
    postgres_database: str = "database"
    postgres_user: str = "user"
    postgres_password: str = Field(default="", repr=False)
    postgres_ssl_mode: str = ""
    postgres_ssl_ca: str = ""
    postgres_ssl_cert: str = ""
    postgres_ssl_key: str = ""
    postgres_data_sample_percent: float = 100.0
    postgres_include_tables: tuple[str, ...] = ()
    postgres_exclude_tables: tuple[str, ...] = ()
    postgres_include_schemas: tuple[str, ...] = ()
    postgres_exclude_schemas: tuple[str, ...] = ()
    postgres_exclude_data_tables: tuple[str, ...] = ()
    max_dump_size_mb: str = ""
    remote_postgres_path: str = ""
    remote_mongodb_path: str = ""
    remote_server_url: str = ""
    remote_server_port: int = 22
    remote_server_user: str = ""
    remote_server_password: str = Field(default="", repr=False)
    remote_server_key_file: str = ""
    remote_server_key_passphrase: str = Field(default="", repr=False)
    remote_server_agent: bool = False
    remote_server_host_key: str = ""
    remote_server_known_hosts: str = ""
    remote_mongodb_url: str = Field(default="mongodb://localhost:27017", repr=False)
    remote_mongodb_database: str = "default"
    remote_postgres_host: str = "localhost"
    remote_postgres_port: int = 5432
    remote_postgres_database: str = "database"
    remote_postgres_user: str = "postgres"
    remote_postgres_password: str = Field(default="", repr=False)
    remote_postgres_ssl_mode: str = ""
    remote_postgres_ssl_ca: str = ""
    remote_postgres_ssl_cert: str = ""
    remote_postgres_ssl_key: str = ""
    matomo_source: Place = "local"
    matomo_host: str = "localhost"
    matomo_port: int = 3306
    matomo_database: str = "matomo"
    matomo_user: str = "root"
    matomo_password: str = Field(default="", repr=False)
    matomo_table_prefix: str = DEFAULT_PREFIX
    matomo_ssl_ca: str = ""
    matomo_ssl_cert: str = ""
    matomo_ssl_key: str = ""
    matomo_ssl_verify: bool = True
    global_date_threshold: date | None = None
    batch_size: int = 5000
    retry_limit: int = 2000
    schemas_path: Path = _SCHEMAS
    matomo_schemas_path: Path | None = None
    connect_timeout: float = 10.0
    read_timeout: float = 600.0
    stall_timeout: float = 30.0
    retry_delay: float = RETRY_DELAY
    executor: Executor = "in_process"
    refresh_jobs: bool = False
    schedule: str = "*/10 * * * *"
    prune_after_days: int = 7
    prune_failed_after_days: int = 30
    dagster_postgres_url: str = Field(default="", repr=False)

    @property
    def target_database(self) -> str:
        """The name of the PostgreSQL database that is written to."""
        return self.remote_postgres_database if self.transfer_destination == "remote" else self.postgres_database

    @property
    def schema_files(self) -> tuple[Path, ...]:
        """The files that declare the tables, the one of Matomo's last where there is one."""
        beside = Path(self.schemas_path).with_name(_MATOMO_SCHEMAS)
        matomo = self.matomo_schemas_path or (beside if beside.exists() else None)
        return (self.schemas_path,) if matomo is None else (self.schemas_path, matomo)

    @property
    def matomo_configured(self) -> bool:
        """Whether the environment says where Matomo's database is."""
        return self.gives("MATOMO_HOST") or self.gives("MATOMO_DATABASE")

    def gives(self, variable: str) -> bool:
        """Whether a variable of a server is set."""
        return variable.lower() in self.model_fields_set

    def get(self, variable: str) -> Any:
        """The value of a variable of a server, its default where it is not set."""
        return getattr(self, variable.lower())

    def holds(self, variable: str, value: object) -> bool:
        """Whether a value says what a variable of a server says, though perhaps spelled otherwise."""
        text, held = str(value), self.get(variable)
        if not text or text == str(held):
            return text == str(held)
        try:
            return bool(read_environment({variable: text}).get(variable) == held)
        except ConfigurationError:
            return False


def read_environment(env: Mapping[str, str] | None = None) -> Environment:
    """Read every setting; an empty variable counts as one that is not set.

    Args:
        env: variables to read instead of the process environment and its `.env`.

    Raises:
        ConfigurationError: one or more variables cannot be used; names all of them.
    """
    if env is None:
        apply_env_file()
        env = os.environ
    if problems := find_unusable_variables(env):
        raise ConfigurationError("\n".join(problems.values()))
    values = {field: convert(text) for name, (field, convert, _) in VARIABLES.items() if (text := env.get(name))}
    values.setdefault("schemas_path", _find_schemas())
    return Environment.model_validate(values)


def find_unusable_variables(env: Mapping[str, str]) -> dict[str, str]:
    """Find the variables that cannot be used as they are set, each with a sentence that does not repeat its value."""
    problems: dict[str, str] = {}
    for name, (_, convert, expected) in VARIABLES.items():
        if text := env.get(name):
            try:
                convert(text)
            except ValueError:
                problems[name] = f"{name} must be {expected}"
    missing = [name for name in _NEEDED_BY_REMOTE if not env.get(name)]
    for name in _PLACES:
        if env.get(name) == "remote" and missing:
            problems[name] = f"{name}=remote needs {' and '.join(missing)}"
    return problems


def read_dagster_postgres_url() -> str:
    """Read the URL of the database that keeps Dagster's own runs and events; "" where it is not set.

    Alone, for Dagster's processes need it before and whatever the other variables hold.

    Raises:
        ConfigurationError: it cannot be used.
    """
    apply_env_file()
    text = os.environ.get(DAGSTER_POSTGRES, "")
    try:
        return read_postgres_url(text) if text else ""
    except ValueError:
        raise ConfigurationError(f"{DAGSTER_POSTGRES} must be {VARIABLES[DAGSTER_POSTGRES][2]}") from None


def _find_schemas() -> Path:
    """The file under the current folder, or else the one of the checkout this package is in."""
    beside = Path(__file__).parents[2] / _SCHEMAS
    return _SCHEMAS if _SCHEMAS.exists() or not beside.exists() else beside
