"""The kinds of values that variables hold: how each is read, and what a user is told to put there."""

import warnings
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from smartdiet_assets.resources.ssh_host_keys import read_public_key
from smartdiet_assets.schema.pseudonyms import A_KEY, is_key

#: How an empty table prefix is written, as an empty variable counts as one that is not set.
_NO_PREFIX = "-"
#: Names the driver too: where SQLAlchemy chooses it, it may be one on which dagster-postgres cannot NOTIFY.
_POSTGRES_SCHEME = "postgresql+psycopg2"
#: A day: longer is as good as never, and drivers count in milliseconds of 32 bits.
_MOST_SECONDS = 86_400
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class Expected:
    """What a user is told to put where a value cannot be used; of choices, they are told these."""

    text: str


def _split_names(text: str) -> tuple[str, ...]:
    return tuple(name for part in text.split(",") if (name := part.strip()))


def _read_flag(text: str) -> bool:
    try:
        return _FLAGS[text.lower()]
    except KeyError:
        raise ValueError from None


def _check_web_url(text: str) -> str:
    parts = urlsplit(text)
    # A user in it would not be sent.
    if not parts.hostname or parts.port == 0 or parts.username is not None:
        raise ValueError
    return text


def _check_schedule(text: str) -> str:
    # Importing Dagster takes a second, which every command would wait for.
    from dagster import DagsterInvalidDefinitionError, ScheduleDefinition

    try:
        with warnings.catch_warnings(action="ignore"):
            ScheduleDefinition(name="asked", job_name="asked", cron_schedule=text)
    except DagsterInvalidDefinitionError:
        raise ValueError from None
    return text


def _check_key(text: str) -> str:
    if not is_key(text):
        raise ValueError
    return text


Executor = Annotated[
    Literal["in_process", "multiprocess", "celery"],
    Expected(
        "in_process, multiprocess or celery; `threads` is gone: in_process, where a sync has two collections at work"
    ),
]
#: Where a server is: reached directly, or through the SSH server.
Place = Literal["local", "remote"]
Secret = Annotated[str, Field(repr=False)]
PseudonymKey = Annotated[
    Secret,
    AfterValidator(_check_key),
    Expected(f"a secret of {A_KEY}"),
]
Names = Annotated[tuple[str, ...], BeforeValidator(_split_names)]
Flag = Annotated[bool, BeforeValidator(_read_flag), Expected("true or false")]
Port = Annotated[int, BeforeValidator(int), Field(ge=1, le=65535), Expected("a port, 1 to 65535")]
Positive = Annotated[int, BeforeValidator(int), Field(ge=1), Expected("a whole number, 1 or more")]
Days = Annotated[int, BeforeValidator(int), Field(ge=0), Expected("a whole number of days, 0 or more")]
Percent = Annotated[float, BeforeValidator(float), Field(gt=0, le=100), Expected("a number above 0, 100 at most")]
Day = Annotated[date | None, BeforeValidator(date.fromisoformat), Expected("a date such as 2024-01-31")]
Delay = Annotated[
    float, BeforeValidator(float), Field(ge=0, le=_MOST_SECONDS), Expected(f"a number of seconds, 0 to {_MOST_SECONDS}")
]
Seconds = Annotated[
    float, BeforeValidator(float), Field(ge=1, le=_MOST_SECONDS), Expected(f"a number of seconds, 1 to {_MOST_SECONDS}")
]
#: libpq takes anything shorter for 2 seconds.
ConnectSeconds = Annotated[
    float, BeforeValidator(float), Field(ge=2, le=_MOST_SECONDS), Expected(f"a number of seconds, 2 to {_MOST_SECONDS}")
]
Schedule = Annotated[str, AfterValidator(_check_schedule), Expected("a cron expression such as */10 * * * *")]
SslMode = Annotated[str, Field(pattern=f"^({'|'.join(_SSL_MODES)})$"), Expected(f"one of {', '.join(_SSL_MODES)}")]
MongoUrl = Annotated[
    Secret,
    Field(pattern=r"^mongodb(\+srv)?://"),
    Expected("a URL that starts with mongodb:// or mongodb+srv://"),
]
TunnelledMongoUrl = Annotated[
    Secret,
    Field(pattern="^mongodb://"),
    Expected(
        "a URL that starts with mongodb:// (mongodb+srv:// finds its servers by DNS, which does not lead through an "
        "SSH tunnel: name one server)"
    ),
]
WebUrl = Annotated[
    Secret,
    Field(pattern=r"^https?://\S+$"),
    AfterValidator(_check_web_url),
    Expected("a URL that starts with https:// or http://, without a user and password"),
]
#: Of the messages to it; "" is derived from the URL.
AlertForm = Annotated[
    Literal["", "slack", "teams", "mattermost", "json"], Expected("one of slack, teams, mattermost, json")
]
MailSecurity = Literal["SSL", "STARTTLS"]
PostgresUrl = Annotated[
    Secret,
    Field(pattern=r"^postgres(ql(\+psycopg2)?)?://"),
    AfterValidator(lambda text: f"{_POSTGRES_SCHEME}://{text.partition('://')[2]}"),
    Expected("a URL that starts with postgresql://"),
]
BrokerUrl = Annotated[
    Secret,
    Field(pattern=r"^(rediss?|amqps?)://"),
    Expected("a URL that starts with redis://, rediss://, amqp:// or amqps://"),
]
#: The replaced tool's variable is called a URL and holds an address.
ServerName = Annotated[
    str,
    Field(pattern="^[^/@ ]+$"),
    Expected("a host name or address; the user is REMOTE_SERVER_USER, the port REMOTE_SERVER_PORT"),
]
HostKey = Annotated[
    str,
    AfterValidator(lambda text: str(read_public_key(text))),
    Expected("one public key line such as ssh-ed25519 AAAA..., as ssh-keyscan prints it"),
]
TablePrefix = Annotated[
    str,
    Field(pattern=f"^([A-Za-z0-9_]+|{_NO_PREFIX})$"),
    AfterValidator(lambda text: text.removeprefix(_NO_PREFIX)),
    Expected("letters, digits and _, or - for no prefix"),
]
