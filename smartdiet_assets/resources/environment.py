"""The settings: every variable of the environment with its kind, its default and what it is, declared once.

Here: the only reading of the process environment; what Dagit says of a setting follows from its declaration. A
message names the variable and never repeats what it holds.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.resources import variable_kinds as kinds
from smartdiet_assets.resources.env_file import apply_env_file
from smartdiet_assets.resources.patience import RETRY_DELAY
from smartdiet_assets.schema.matomo import DEFAULT_PREFIX
from smartdiet_assets.schema.pseudonyms import KEY_VARIABLE
from smartdiet_assets.schema.sources import SourceKind

_SCHEMAS = Path("config", "schemas.yaml")
#: Beside the file of the other tables.
_MATOMO_SCHEMAS = "matomo_schemas.yaml"
#: Which of them is `remote` is reached through the SSH server.
_PLACES = ("TRANSFER_SOURCE", "TRANSFER_DESTINATION", "MATOMO_SOURCE")
_NEEDED_BY_REMOTE = ("REMOTE_SERVER_URL", "REMOTE_SERVER_USER")
_EXECUTOR = "SMARTDIET_EXECUTOR"
_MAIL = "SMARTDIET_ALERT_EMAIL_TO"
#: A worker may be on another machine, where it reads the run it has a step of.
_NEEDED_BY_CELERY = ("SMARTDIET_BROKER_URL", "SMARTDIET_DAGSTER_POSTGRES_URL")
_NEEDED_BY_MAIL = ("SMARTDIET_ALERT_EMAIL_FROM", "SMARTDIET_ALERT_EMAIL_HOST", "SMARTDIET_ALERT_EMAIL_PASSWORD")


def find_shipped() -> Path:
    """Find the folder of the declarations that come with the project: an installed package's own, or the checkout's."""
    package = Path(__file__).parents[1]
    packed = package / _SCHEMAS.parent
    return packed if packed.is_dir() else package.parent / _SCHEMAS.parent


def _find_schemas() -> Path:
    """The file under the current folder, or else the one that comes with the project."""
    return _SCHEMAS if _SCHEMAS.exists() else find_shipped() / _SCHEMAS.name


class Environment(BaseModel):
    """Every setting, read once; the defaults are those of the replaced tool.

    A variable has the name of its field in upper case, where the field does not say another. The descriptions are what
    Dagit shows of those that a resource takes (`build_field`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=str.upper)

    # Where the MongoDB is that is mirrored, and the PostgreSQL that holds the mirror.
    transfer_source: kinds.Place = "local"
    transfer_destination: kinds.Place = "local"
    mongodb_url: kinds.MongoUrl = Field(
        "mongodb://localhost:27017", description="URL of the server, with user and password where it needs them"
    )
    mongodb_database: str = Field("default", description="Name of the database")
    postgres_host: str = Field("localhost", description="Host name or address")
    postgres_port: kinds.Port = Field(5432, description="TCP port")
    postgres_database: str = Field("database", description="Name of the database")
    postgres_user: str = Field("user", description="Name of the user")
    postgres_password: kinds.Secret = Field("", description="Its password")
    postgres_ssl_mode: kinds.SslMode = Field(
        "", description="Whether the connection is encrypted and the certificate checked, as libpq's sslmode"
    )
    postgres_ssl_ca: str = Field("", description="File of the certificate authority")
    postgres_ssl_cert: str = Field("", description="File of our certificate")
    postgres_ssl_key: str = Field("", description="File of its key")
    # What `refresh postgres` copies: a share of each table; names or patterns, none stands for all; what stays empty.
    postgres_data_sample_percent: kinds.Percent = 100.0
    postgres_include_tables: kinds.Names = ()
    postgres_exclude_tables: kinds.Names = ()
    postgres_include_schemas: kinds.Names = ()
    postgres_exclude_schemas: kinds.Names = ()
    postgres_exclude_data_tables: kinds.Names = ()
    # Of the replaced tool, without effect: nothing is dumped, and no file is sent.
    max_dump_size_mb: str = ""
    remote_postgres_path: str = ""
    remote_mongodb_path: str = ""
    remote_server_url: kinds.ServerName = Field("", description="Host name or address of the SSH server")
    remote_server_port: kinds.Port = Field(22, description="Its TCP port")
    remote_server_user: str = Field("", description="Who logs in there")
    remote_server_password: kinds.Secret = Field("", description="Their password")
    remote_server_key_file: str = Field("", description="File of their private key")
    remote_server_key_passphrase: kinds.Secret = Field("", description="What the key is encrypted with")
    remote_server_agent: kinds.Flag = Field(
        False,
        description="Try the keys of the SSH agent first (REMOTE_SERVER_AGENT); without a password and a key file they "
        "are tried anyway",
    )
    remote_server_host_key: kinds.HostKey = Field(
        "", description="The server's public key as one line, instead of a file of known hosts"
    )
    remote_server_known_hosts: str = Field(
        "",
        description="File of known hosts (REMOTE_SERVER_KNOWN_HOSTS); by default ~/.ssh/known_hosts, then "
        "/etc/ssh/ssh_known_hosts",
    )
    # As those without REMOTE_, and as the SSH server sees them.
    remote_mongodb_url: kinds.TunnelledMongoUrl = "mongodb://localhost:27017"
    remote_mongodb_database: str = "default"
    remote_postgres_host: str = "localhost"
    remote_postgres_port: kinds.Port = 5432
    remote_postgres_database: str = "database"
    remote_postgres_user: str = "postgres"
    remote_postgres_password: kinds.Secret = ""
    remote_postgres_ssl_mode: kinds.SslMode = ""
    remote_postgres_ssl_ca: str = ""
    remote_postgres_ssl_cert: str = ""
    remote_postgres_ssl_key: str = ""
    # Where Matomo's database is.
    matomo_source: kinds.Place = "local"
    matomo_host: str = Field("localhost", description="Host name or address")
    matomo_port: kinds.Port = Field(3306, description="TCP port")
    matomo_database: str = Field("matomo", description="Name of the database")
    matomo_user: str = Field("root", description="Name of the user")
    matomo_password: kinds.Secret = Field("", description="Its password")
    matomo_table_prefix: kinds.TablePrefix = Field(
        DEFAULT_PREFIX, description="What the names of its tables begin with"
    )
    matomo_ssl_ca: str = Field("", description="File of the certificate authority")
    matomo_ssl_cert: str = Field("", description="File of our certificate")
    matomo_ssl_key: str = Field("", description="File of its key")
    matomo_ssl_verify: kinds.Flag = Field(
        True, description="Whether the authority must vouch for the server's certificate"
    )
    # Documents from this date on (UTC) are read again by incremental runs.
    global_date_threshold: kinds.Day = None
    batch_size: kinds.Positive = Field(5000, description="Documents read at a time")
    retry_limit: kinds.Positive = Field(
        2000, description="Documents that could not be loaded and are tried again, by one run of a table"
    )
    # The file that declares the tables.
    schemas_path: Path = Field(default_factory=_find_schemas, alias="SMARTDIET_SCHEMAS")
    # That of the tables of Matomo; by default the one beside it.
    matomo_schemas_path: Path | None = Field(None, alias="SMARTDIET_MATOMO_SCHEMAS")
    # What of them is protected beyond what they say themselves, and what pseudonyms are made with.
    protected_path: Path | None = Field(None, alias="SMARTDIET_PROTECTED")
    pseudonym_key: kinds.PseudonymKey = Field("", alias=KEY_VARIABLE)
    connect_timeout: kinds.ConnectSeconds = Field(10.0, description="Seconds to open a connection")
    read_timeout: kinds.Seconds = Field(
        600.0, description="Seconds to wait for one answer; a scan without an index needs long"
    )
    stall_timeout: kinds.Seconds = Field(
        30.0,
        description="Seconds without a byte after which the server is asked, over a second connection, whether it "
        "still works for the first; where it twice does not, the connection counts as lost",
    )
    retry_delay: kinds.Delay = Field(
        RETRY_DELAY, description="Seconds before a read that failed is tried again, doubled each time"
    )
    # The tables of a run in one process, in several (`multiprocess`), for large loads, or by workers (`celery`).
    executor: kinds.Executor = Field("in_process", alias="SMARTDIET_EXECUTOR")
    # What hands the steps of runs to workers, on any machine.
    broker_url: kinds.BrokerUrl = Field("", alias="SMARTDIET_BROKER_URL")
    # Whether the jobs that write over whole databases are in Dagster's code location.
    refresh_jobs: kinds.Flag = Field(False, alias="SMARTDIET_REFRESH_JOBS")
    # When the schedule of the mirror runs, UTC.
    schedule: kinds.Schedule = Field("*/10 * * * *", alias="SMARTDIET_SCHEDULE")
    # How long Dagster's runs are kept whole; 0 keeps them for ever. Likewise failed ones.
    prune_after_days: kinds.Days = Field(7, alias="SMARTDIET_PRUNE_AFTER_DAYS")
    prune_failed_after_days: kinds.Days = Field(30, alias="SMARTDIET_PRUNE_FAILED_AFTER_DAYS")
    # The database that keeps Dagster's own runs and events; "" keeps them in files.
    dagster_postgres_url: kinds.PostgresUrl = Field("", alias="SMARTDIET_DAGSTER_POSTGRES_URL")

    # Where alerts go, and the form of their messages; "" derives it from the URL.
    alert_url: kinds.WebUrl = Field("", alias="SMARTDIET_ALERT_URL")
    alert_form: kinds.AlertForm = Field("", alias="SMARTDIET_ALERT_FORM")
    # Dagster's e-mail of each run that failed: to whom, from whom, and through which server.
    alert_email_to: kinds.Names = Field((), alias="SMARTDIET_ALERT_EMAIL_TO")
    alert_email_from: str = Field("", alias="SMARTDIET_ALERT_EMAIL_FROM")
    alert_email_host: str = Field("", alias="SMARTDIET_ALERT_EMAIL_HOST")
    alert_email_port: kinds.Port = Field(465, alias="SMARTDIET_ALERT_EMAIL_PORT")
    alert_email_security: kinds.MailSecurity = Field("SSL", alias="SMARTDIET_ALERT_EMAIL_SECURITY")
    alert_email_user: str = Field("", alias="SMARTDIET_ALERT_EMAIL_USER")
    alert_email_password: kinds.Secret = Field("", alias="SMARTDIET_ALERT_EMAIL_PASSWORD")

    @property
    def schema_files(self) -> tuple[Path, ...]:
        """The files that declare the tables, the one of Matomo's last where there is one."""
        beside = self.schemas_path.with_name(_MATOMO_SCHEMAS)
        matomo = self.matomo_schemas_path or (beside if beside.exists() else None)
        return (self.schemas_path,) if matomo is None else (self.schemas_path, matomo)

    def names(self, source: SourceKind) -> bool:
        """Whether a source's server is named here; without that, its tables are left out."""
        return not source.variables or any(map(self.gives, source.variables))

    def gives(self, variable: str) -> bool:
        """Whether a variable is set."""
        return VARIABLES[variable] in self.model_fields_set

    def get(self, variable: str) -> Any:
        """The value of a variable, its default where it is not set."""
        return getattr(self, VARIABLES[variable])

    def holds(self, variable: str, value: object) -> bool:
        """Whether a value says what a variable says, though perhaps spelled otherwise."""
        text, held = str(value), self.get(variable)
        if not text or text == str(held):
            return text == str(held)
        other, problems = read_usable({variable: text})
        return not problems and bool(other.get(variable) == held)


#: Where a resource's field keeps the name of its variable.
_VARIABLE = "variable"
#: The field of each variable.
VARIABLES = {str(info.validation_alias): field for field, info in Environment.model_fields.items()}


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
    environment, problems = read_usable(env)
    if problems:
        raise ConfigurationError("\n".join(problems.values()))
    return environment


def read_usable(env: Mapping[str, str]) -> tuple[Environment, dict[str, str]]:
    """Read the settings that can be used; the others count as not set.

    Returns:
        The settings, and by the variables that cannot be used a sentence each, which does not repeat the value.
    """
    given = {name: text for name in VARIABLES if (text := env.get(name))}
    problems: dict[str, str] = {}
    try:
        Environment.model_validate(given)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_context=False, include_input=False):
            name = str(fault["loc"][0])
            problems[name] = f"{name} must be {_spell_expected(Environment.model_fields[VARIABLES[name]])}"
    missing = [name for name in _NEEDED_BY_REMOTE if name not in given]
    for name in _PLACES:
        if given.get(name) == "remote" and missing:
            problems[name] = f"{name}=remote needs {' and '.join(missing)}"
    without = [name for name in _NEEDED_BY_MAIL if name not in given]
    if _MAIL in given and without:
        problems[_MAIL] = f"{_MAIL} needs {' and '.join(without)}"
    without = [name for name in _NEEDED_BY_CELERY if name not in given]
    if given.get(_EXECUTOR) == "celery" and without:
        problems[_EXECUTOR] = f"{_EXECUTOR}=celery needs {' and '.join(without)}"
    return Environment.model_validate({name: given[name] for name in given.keys() - problems.keys()}), problems


def read_dagster_postgres_url() -> str:
    """Read the URL of the database that keeps Dagster's own runs and events; "" where it is not set.

    Alone, for Dagster's processes need it before and whatever the other variables hold.

    Raises:
        ConfigurationError: it cannot be used.
    """
    apply_env_file()
    name = "SMARTDIET_DAGSTER_POSTGRES_URL"
    return read_environment({name: os.environ.get(name, "")}).dagster_postgres_url


def build_field(variable: str, description: str = "", **own: Any) -> Any:
    """Build the field of a resource that a variable gives: its default, and for Dagit what it is and which variable.

    Args:
        description: what it is for this resource, where that differs.
        own: what else the resource says of it, as of any field.
    """
    info = Environment.model_fields[VARIABLES[variable]]
    text = description or str(info.description)
    named = text if f"({variable})" in text else f"{text} ({variable})"
    options = {"default": info.default, "repr": info.repr, "description": f"{named}.", **own}
    return Field(**options, json_schema_extra={_VARIABLE: variable})


def find_variables(model: type[BaseModel]) -> dict[str, str]:
    """Find the variable of each field that `build_field` built."""
    extras = {field: info.json_schema_extra for field, info in model.model_fields.items()}
    return {field: str(extra[_VARIABLE]) for field, extra in extras.items() if isinstance(extra, dict)}


def _spell_expected(info: FieldInfo) -> str:
    expected = [note.text for note in info.metadata if isinstance(note, kinds.Expected)]
    return expected[0] if expected else " or ".join(get_args(info.annotation))
