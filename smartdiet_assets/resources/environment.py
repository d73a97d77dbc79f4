"""The settings of the environment: which variables there are, their defaults and what they may hold.

Here: the only reading of `.env` and of the process environment. Not here: connecting (`mongo`, `postgres`),
and DAGSTER_HOME, which is Dagster's own. A message names the variable and never repeats what it holds.
"""

import os
import re
from collections.abc import Callable, Mapping
from copy import copy
from datetime import date
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from dagster import ConfigurableResource, EnvVar
from dagster._config.field_utils import IntEnvVar
from dagster._utils.schedules import is_valid_cron_schedule
from dotenv import dotenv_values, find_dotenv
from pydantic import BaseModel, ConfigDict, Field, create_model

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.schema.matomo import DEFAULT_PREFIX

_SCHEMAS = Path("config", "schemas.yaml")
#: Beside the file of the other tables.
_MATOMO_SCHEMAS = "matomo_schemas.yaml"
#: How an empty table prefix is written, as an empty variable counts as one that is not set.
_NO_PREFIX = "-"
_DAGSTER_POSTGRES = "SMARTDIET_DAGSTER_POSTGRES_URL"
#: Names the driver too: where SQLAlchemy chooses it, it may be one on which dagster-postgres cannot NOTIFY.
_POSTGRES_SCHEME = "postgresql+psycopg2"
ResourceT = TypeVar("ResourceT", bound=ConfigurableResource[Any])
Executor = Literal["in_process", "multiprocess"]


class Environment(BaseModel):
    """Every setting, read once; the defaults are those of the replaced tool.

    Attributes:
        global_date_threshold: documents from this date on (UTC) are read again by incremental runs.
        batch_size: documents in a batch.
        retry_limit: documents that could not be loaded before, and are tried again by one run of a table.
        matomo_source: `local`, a server that is reached directly.
        matomo_table_prefix: what the names of Matomo's tables begin with.
        matomo_ssl_ca: file of the certificate authority; with it the connection is encrypted.
        matomo_ssl_verify: whether the server's certificate must be the authority's, for its host.
        schemas_path: the file that declares the tables.
        matomo_schemas_path: the file that declares the tables of Matomo; by default the one beside `schemas_path`.
        connect_timeout: seconds to open a connection to any server.
        read_timeout: seconds to wait for one answer of MongoDB or Matomo.
        stall_timeout: seconds without a byte from PostgreSQL before it is asked whether it still works for us.
        mark_partitions: whether a first load marks all partitions it covers as materialised.
        executor: `in_process` or `multiprocess`: whether each table of a run has a process of its own.
        schedule: when the schedule of the mirror runs, as a cron expression, UTC.
        dagster_postgres_url: the database that keeps Dagster's own runs and events; "" keeps them in files.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mongodb_url: str = Field(default="mongodb://localhost:27017", repr=False)
    mongodb_database: str = "default"
    postgres_host: str = "localhost"
    postgres_port: int = 5432
    postgres_database: str = "database"
    postgres_user: str = "user"
    postgres_password: str = Field(default="", repr=False)
    matomo_source: str = "local"
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
    mark_partitions: bool = True
    executor: Executor = "in_process"
    schedule: str = "*/10 * * * *"
    dagster_postgres_url: str = Field(default="", repr=False)

    @property
    def schema_files(self) -> tuple[Path, ...]:
        """The files that declare the tables, the one of Matomo's last where there is one."""
        beside = Path(self.schemas_path).with_name(_MATOMO_SCHEMAS)
        matomo = self.matomo_schemas_path or (beside if beside.exists() else None)
        return (self.schemas_path,) if matomo is None else (self.schemas_path, matomo)

    @property
    def matomo_configured(self) -> bool:
        """Whether the environment says where Matomo's database is."""
        return not self.model_fields_set.isdisjoint({"matomo_host", "matomo_database"})


def apply_env_file() -> Path | None:
    """Put the variables of the nearest `.env`, from the current folder upwards, into the process environment.

    What is already set there wins. Dagster's `EnvVar` reads the process environment, so it sees both.

    Returns:
        The file, None when there is none.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    found = find_dotenv(usecwd=True)
    if not found:
        return None
    try:
        values = dotenv_values(found)
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"{found} cannot be read; it must be a UTF-8 text file") from None
    for name, value in values.items():
        if value is not None:
            os.environ.setdefault(name, value)
    return Path(found)


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
    values: dict[str, object] = {}
    problems: list[str] = []
    for name, (field, convert, expected) in _VARIABLES.items():
        text = env.get(name, "")
        if not text:
            continue
        try:
            values[field] = convert(text)
        except ValueError:
            problems.append(f"{name} must be {expected}")
    values.setdefault("schemas_path", _find_schemas())
    if problems:
        raise ConfigurationError("\n".join(problems))
    return Environment.model_validate(values)


def read_dagster_postgres_url() -> str:
    """Read the URL of the database that keeps Dagster's own runs and events; "" where it is not set.

    Alone, for Dagster's processes need it before and whatever the other variables hold.

    Raises:
        ConfigurationError: it cannot be used.
    """
    apply_env_file()
    text = os.environ.get(_DAGSTER_POSTGRES, "")
    try:
        return _read_postgres_url(text) if text else ""
    except ValueError:
        raise ConfigurationError(f"{_DAGSTER_POSTGRES} must be {_VARIABLES[_DAGSTER_POSTGRES][2]}") from None


def build_configured(
    resource_type: type[ResourceT],
    variables: Mapping[str, str],
    settings: Environment,
    converted: Mapping[str, object] | None = None,
) -> ResourceT:
    """Build a resource whose fields default to the environment: Dagit shows a variable's name, not what it holds.

    The defaults are those of a class of its own, because a run config that overrides one field of a resource sets
    the others back to their class's defaults, not to the instance's values. A variable that is not set leaves the
    setting's default: a reference to it would fail the run instead.

    Args:
        variables: the variable of each field; the setting of that name has its lower-case name.
        converted: values of further fields, whose variables are not spelled as the field's type is.
    """
    fields: dict[str, Any] = {}
    defaults: dict[str, object] = {
        field: {"env": variable} if os.environ.get(variable) else getattr(settings, variable.lower())
        for field, variable in variables.items()
    }
    for field, default in {**defaults, **(converted or {})}.items():
        info = copy(resource_type.model_fields[field])
        info.default = default
        fields[field] = (info.annotation, info)
    configured = create_model(
        resource_type.__name__, __base__=resource_type, __module__=resource_type.__module__,
        __doc__=resource_type.__doc__, **fields,
    )  # fmt: skip
    return configured()


def require_read(resource: ConfigurableResource[Any]) -> None:
    """Refuse to connect with a resource that still holds names of variables.

    Raises:
        ConfigurationError: Dagster has not initialized it.
    """
    if any(isinstance(value, EnvVar | IntEnvVar | dict) for _, value in resource):
        raise ConfigurationError(f"the {type(resource).__name__} is not initialized: its variables are not read")


def _find_schemas() -> Path:
    """The file under the current folder, or else the one of the checkout this package is in."""
    beside = Path(__file__).parents[2] / _SCHEMAS
    return _SCHEMAS if _SCHEMAS.exists() or not beside.exists() else beside


def _read_text(text: str) -> str:
    return text


def _read_mongodb_url(text: str) -> str:
    if not text.startswith(("mongodb://", "mongodb+srv://")):
        raise ValueError
    return text


def _read_port(text: str) -> int:
    if not 1 <= (port := int(text)) <= 65535:
        raise ValueError
    return port


def _read_positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError
    return number


def _read_connect_timeout(text: str) -> float:
    # libpq takes anything shorter for 2 seconds.
    return _read_seconds(text, 2)


def _read_seconds(text: str, least: float = 1) -> float:
    if not least <= (seconds := float(text)) <= _MOST_SECONDS:
        raise ValueError
    return seconds


def _read_matomo_source(text: str) -> str:
    if text not in ("local", "remote"):
        raise ValueError
    return text


def _read_prefix(text: str) -> str:
    if text == _NO_PREFIX:
        return ""
    if not _PREFIX.fullmatch(text):
        raise ValueError
    return text


def _read_flag(text: str) -> bool:
    try:
        return _FLAGS[text.lower()]
    except KeyError:
        raise ValueError from None


def _read_schedule(text: str) -> str:
    if not is_valid_cron_schedule(text):
        raise ValueError
    return text


def _read_postgres_url(text: str) -> str:
    if not text.startswith(("postgresql://", "postgres://", f"{_POSTGRES_SCHEME}://")):
        raise ValueError
    return f"{_POSTGRES_SCHEME}://{text.partition('://')[2]}"


def _read_executor(text: str) -> str:
    if text not in get_args(Executor):
        raise ValueError
    return text


#: A day: longer is as good as never, and drivers count in milliseconds of 32 bits.
_MOST_SECONDS = 86_400
_PREFIX = re.compile(r"[A-Za-z0-9_]+")
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
#: Variable: field, conversion, and what a user is told to put there.
_VARIABLES: dict[str, tuple[str, Callable[[str], object], str]] = {
    "MONGODB_URL": ("mongodb_url", _read_mongodb_url, "a URL that starts with mongodb:// or mongodb+srv://"),
    "MONGODB_DATABASE": ("mongodb_database", _read_text, "a name"),
    "POSTGRES_HOST": ("postgres_host", _read_text, "a host name or address"),
    "POSTGRES_PORT": ("postgres_port", _read_port, "a port, 1 to 65535"),
    "POSTGRES_DATABASE": ("postgres_database", _read_text, "a name"),
    "POSTGRES_USER": ("postgres_user", _read_text, "a name"),
    "POSTGRES_PASSWORD": ("postgres_password", _read_text, "a password"),
    "MATOMO_SOURCE": ("matomo_source", _read_matomo_source, "local or remote"),
    "MATOMO_HOST": ("matomo_host", _read_text, "a host name or address"),
    "MATOMO_PORT": ("matomo_port", _read_port, "a port, 1 to 65535"),
    "MATOMO_DATABASE": ("matomo_database", _read_text, "a name"),
    "MATOMO_USER": ("matomo_user", _read_text, "a name"),
    "MATOMO_PASSWORD": ("matomo_password", _read_text, "a password"),
    "MATOMO_TABLE_PREFIX": ("matomo_table_prefix", _read_prefix, "letters, digits and _, or - for no prefix"),
    "MATOMO_SSL_CA": ("matomo_ssl_ca", _read_text, "a path"),
    "MATOMO_SSL_CERT": ("matomo_ssl_cert", _read_text, "a path"),
    "MATOMO_SSL_KEY": ("matomo_ssl_key", _read_text, "a path"),
    "MATOMO_SSL_VERIFY": ("matomo_ssl_verify", _read_flag, "true or false"),
    "GLOBAL_DATE_THRESHOLD": ("global_date_threshold", date.fromisoformat, "a date such as 2024-01-31"),
    "BATCH_SIZE": ("batch_size", _read_positive, "a whole number, 1 or more"),
    "RETRY_LIMIT": ("retry_limit", _read_positive, "a whole number, 1 or more"),
    "SMARTDIET_SCHEMAS": ("schemas_path", Path, "a path"),
    "SMARTDIET_MATOMO_SCHEMAS": ("matomo_schemas_path", Path, "a path"),
    "CONNECT_TIMEOUT": ("connect_timeout", _read_connect_timeout, f"a number of seconds, 2 to {_MOST_SECONDS}"),
    "READ_TIMEOUT": ("read_timeout", _read_seconds, f"a number of seconds, 1 to {_MOST_SECONDS}"),
    "STALL_TIMEOUT": ("stall_timeout", _read_seconds, f"a number of seconds, 1 to {_MOST_SECONDS}"),
    "SMARTDIET_MARK_PARTITIONS": ("mark_partitions", _read_flag, "true or false"),
    "SMARTDIET_EXECUTOR": ("executor", _read_executor, " or ".join(get_args(Executor))),
    "SMARTDIET_SCHEDULE": ("schedule", _read_schedule, "a cron expression such as */10 * * * *"),
    _DAGSTER_POSTGRES: ("dagster_postgres_url", _read_postgres_url, "a URL that starts with postgresql://"),
}
VARIABLES = tuple(_VARIABLES)
