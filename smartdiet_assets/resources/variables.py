"""The environment variables: which there are, and what each may hold.

Here: a variable's field in `environment.Environment`, its conversion, and what a user is told to put there. Not here:
reading them, and their defaults (`environment`).
"""

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Literal, get_args

from smartdiet_assets.resources.ssh_host_keys import read_public_key

Executor = Literal["in_process", "threads", "multiprocess"]
#: Where a server is: reached directly, or through the SSH server.
Place = Literal["local", "remote"]

#: How an empty table prefix is written, as an empty variable counts as one that is not set.
_NO_PREFIX = "-"
DAGSTER_POSTGRES = "SMARTDIET_DAGSTER_POSTGRES_URL"
#: Names the driver too: where SQLAlchemy chooses it, it may be one on which dagster-postgres cannot NOTIFY.
_POSTGRES_SCHEME = "postgresql+psycopg2"


def _read_text(text: str) -> str:
    return text


def _read_mongodb_url(text: str) -> str:
    if not text.startswith(("mongodb://", "mongodb+srv://")):
        raise ValueError
    return text


def _read_tunnelled_url(text: str) -> str:
    if not text.startswith("mongodb://"):
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


def _read_count(text: str) -> int:
    if (number := int(text)) < 0:
        raise ValueError
    return number


def _read_percent(text: str) -> float:
    if not 0 < (percent := float(text)) <= 100:
        raise ValueError
    return percent


def _read_names(text: str) -> tuple[str, ...]:
    return tuple(name for part in text.split(",") if (name := part.strip()))


def _read_connect_timeout(text: str) -> float:
    # libpq takes anything shorter for 2 seconds.
    return _read_seconds(text, 2)


def _read_seconds(text: str, least: float = 1) -> float:
    if not least <= (seconds := float(text)) <= _MOST_SECONDS:
        raise ValueError
    return seconds


def _read_delay(text: str) -> float:
    return _read_seconds(text, 0)


def _read_place(text: str) -> str:
    if text not in get_args(Place):
        raise ValueError
    return text


def _read_server(text: str) -> str:
    # The replaced tool's variable is called a URL and holds an address.
    if any(sign in text for sign in "/@ "):
        raise ValueError
    return text


def _read_host_key(text: str) -> str:
    return str(read_public_key(text))


def _read_ssl_mode(text: str) -> str:
    if text not in _SSL_MODES:
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
    # Importing Dagster takes a second, which every command would wait for.
    from dagster._utils.schedules import is_valid_cron_schedule

    if not is_valid_cron_schedule(text):
        raise ValueError
    return text


def read_postgres_url(text: str) -> str:
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
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
#: Variable: field, conversion, and what a user is told to put there.
VARIABLES: dict[str, tuple[str, Callable[[str], object], str]] = {
    "TRANSFER_SOURCE": ("transfer_source", _read_place, "local or remote"),
    "TRANSFER_DESTINATION": ("transfer_destination", _read_place, "local or remote"),
    "MONGODB_URL": ("mongodb_url", _read_mongodb_url, "a URL that starts with mongodb:// or mongodb+srv://"),
    "MONGODB_DATABASE": ("mongodb_database", _read_text, "a name"),
    "POSTGRES_HOST": ("postgres_host", _read_text, "a host name or address"),
    "POSTGRES_PORT": ("postgres_port", _read_port, "a port, 1 to 65535"),
    "POSTGRES_DATABASE": ("postgres_database", _read_text, "a name"),
    "POSTGRES_USER": ("postgres_user", _read_text, "a name"),
    "POSTGRES_PASSWORD": ("postgres_password", _read_text, "a password"),
    "POSTGRES_SSL_MODE": ("postgres_ssl_mode", _read_ssl_mode, f"one of {', '.join(_SSL_MODES)}"),
    "POSTGRES_SSL_CA": ("postgres_ssl_ca", _read_text, "a path"),
    "POSTGRES_SSL_CERT": ("postgres_ssl_cert", _read_text, "a path"),
    "POSTGRES_SSL_KEY": ("postgres_ssl_key", _read_text, "a path"),
    "POSTGRES_DATA_SAMPLE_PERCENT": (
        "postgres_data_sample_percent",
        _read_percent,
        "a number above 0, 100 at most",
    ),
    "POSTGRES_INCLUDE_TABLES": ("postgres_include_tables", _read_names, "names with commas between them"),
    "POSTGRES_EXCLUDE_TABLES": ("postgres_exclude_tables", _read_names, "names with commas between them"),
    "POSTGRES_INCLUDE_SCHEMAS": ("postgres_include_schemas", _read_names, "names with commas between them"),
    "POSTGRES_EXCLUDE_SCHEMAS": ("postgres_exclude_schemas", _read_names, "names with commas between them"),
    "POSTGRES_EXCLUDE_DATA_TABLES": ("postgres_exclude_data_tables", _read_names, "names with commas between them"),
    "MAX_DUMP_SIZE_MB": ("max_dump_size_mb", _read_text, "anything"),
    "REMOTE_POSTGRES_PATH": ("remote_postgres_path", _read_text, "anything"),
    "REMOTE_MONGODB_PATH": ("remote_mongodb_path", _read_text, "anything"),
    "REMOTE_SERVER_URL": (
        "remote_server_url",
        _read_server,
        "a host name or address; the user is REMOTE_SERVER_USER, the port REMOTE_SERVER_PORT",
    ),
    "REMOTE_SERVER_PORT": ("remote_server_port", _read_port, "a port, 1 to 65535"),
    "REMOTE_SERVER_USER": ("remote_server_user", _read_text, "a name"),
    "REMOTE_SERVER_PASSWORD": ("remote_server_password", _read_text, "a password"),
    "REMOTE_SERVER_KEY_FILE": ("remote_server_key_file", _read_text, "a path"),
    "REMOTE_SERVER_KEY_PASSPHRASE": ("remote_server_key_passphrase", _read_text, "a passphrase"),
    "REMOTE_SERVER_AGENT": ("remote_server_agent", _read_flag, "true or false"),
    "REMOTE_SERVER_HOST_KEY": (
        "remote_server_host_key",
        _read_host_key,
        "one public key line such as ssh-ed25519 AAAA..., as ssh-keyscan prints it",
    ),
    "REMOTE_SERVER_KNOWN_HOSTS": ("remote_server_known_hosts", _read_text, "a path"),
    "REMOTE_MONGODB_URL": (
        "remote_mongodb_url",
        _read_tunnelled_url,
        "a URL that starts with mongodb:// (mongodb+srv:// finds its servers by DNS, which does not lead through an "
        "SSH tunnel: name one server)",
    ),
    "REMOTE_MONGODB_DATABASE": ("remote_mongodb_database", _read_text, "a name"),
    "REMOTE_POSTGRES_HOST": ("remote_postgres_host", _read_text, "a host name or address"),
    "REMOTE_POSTGRES_PORT": ("remote_postgres_port", _read_port, "a port, 1 to 65535"),
    "REMOTE_POSTGRES_DATABASE": ("remote_postgres_database", _read_text, "a name"),
    "REMOTE_POSTGRES_USER": ("remote_postgres_user", _read_text, "a name"),
    "REMOTE_POSTGRES_PASSWORD": ("remote_postgres_password", _read_text, "a password"),
    "REMOTE_POSTGRES_SSL_MODE": ("remote_postgres_ssl_mode", _read_ssl_mode, f"one of {', '.join(_SSL_MODES)}"),
    "REMOTE_POSTGRES_SSL_CA": ("remote_postgres_ssl_ca", _read_text, "a path"),
    "REMOTE_POSTGRES_SSL_CERT": ("remote_postgres_ssl_cert", _read_text, "a path"),
    "REMOTE_POSTGRES_SSL_KEY": ("remote_postgres_ssl_key", _read_text, "a path"),
    "MATOMO_SOURCE": ("matomo_source", _read_place, "local or remote"),
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
    "RETRY_DELAY": ("retry_delay", _read_delay, f"a number of seconds, 0 to {_MOST_SECONDS}"),
    "SMARTDIET_EXECUTOR": ("executor", _read_executor, " or ".join(get_args(Executor))),
    "SMARTDIET_REFRESH_JOBS": ("refresh_jobs", _read_flag, "true or false"),
    "SMARTDIET_SCHEDULE": ("schedule", _read_schedule, "a cron expression such as */10 * * * *"),
    "SMARTDIET_PRUNE_AFTER_DAYS": ("prune_after_days", _read_count, "a whole number of days, 0 or more"),
    "SMARTDIET_PRUNE_FAILED_AFTER_DAYS": ("prune_failed_after_days", _read_count, "a whole number of days, 0 or more"),
    DAGSTER_POSTGRES: ("dagster_postgres_url", read_postgres_url, "a URL that starts with postgresql://"),
}
