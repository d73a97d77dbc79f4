"""What a side of a comparison is: how it is named on the command line, and opening it.

A message names the variable or the server, never what a URL holds beside that.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from pymongo.errors import PyMongoError

from smartdiet_assets.checks.target import open_snapshot
from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.load.execution import Connection, execute
from smartdiet_assets.resources.access import choose_prefix
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.resources.mongo import build_mongo_resource
from smartdiet_assets.resources.mongo_reading import Read
from smartdiet_assets.resources.postgres import build_postgres_resource
from smartdiet_assets.resources.postgres_errors import translate_postgres_error
from smartdiet_assets.resources.postgres_session import SettledConnection
from smartdiet_assets.resources.variable_kinds import Place

EXPECTED = "schema, local, remote, mongo, mongo:local, mongo:remote, env:VARIABLE or postgresql://…"
_URL_SCHEMES = ("postgresql://", "postgres://")
_OUR_VARIABLES = re.compile(r"POSTGRES_\w+( and POSTGRES_\w+)?")
#: Values as text are then the same, whatever the version and the settings of a server.
_SPELLING = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "xmlbinary": "base64",
    # A full scan may take longer than a server allows an analyst.
    "statement_timeout": "0",
}


@dataclass(frozen=True, slots=True)
class Side:
    """One side; `label` is what messages call it. `conninfo` and `place` are of those kinds that have one.

    `connection` is what the connection to a `conninfo` is.
    """

    kind: Literal["schema", "postgres", "mongo"]
    label: str
    environment: Environment
    place: Place | None = None
    conninfo: str = ""
    connection: type[SettledConnection] = SettledConnection

    def __repr__(self) -> str:
        return f"Side({self.label})"


def parse_side(text: str, environment: Environment, variables: Mapping[str, str]) -> Side:
    """Read a side as it is written on the command line.

    Args:
        variables: those that a side may name, `.env` included.

    Raises:
        ConfigurationError: it is none of the forms, or its variable is not set.
    """
    match text:
        case "schema":
            return Side("schema", text, environment)
        case "local" | "remote":
            return Side("postgres", text, environment, place=text)
        case "mongo":
            return Side("mongo", text, environment)
        case "mongo:local" | "mongo:remote":
            return Side("mongo", text, environment, place="local" if text == "mongo:local" else "remote")
    if text.startswith("env:"):
        variable = text.removeprefix("env:")
        if not variables.get(variable):
            raise ConfigurationError(f"the variable {variable} is not set; it should hold postgresql://…")
        conninfo = _check_conninfo(variables[variable], f"the variable {variable}")
        return Side("postgres", text, environment, conninfo=conninfo)
    if text.startswith(_URL_SCHEMES):
        conninfo = _check_conninfo(text, "the URL")
        return Side("postgres", _describe(conninfo), environment, conninfo=conninfo)
    raise ConfigurationError(f"a side of a comparison is one of {EXPECTED}")


def parse_pair(left: str, right: str, environment: Environment, variables: Mapping[str, str]) -> tuple[Side, Side]:
    """Read both sides, as `parse_side` does.

    Raises:
        ConfigurationError: one cannot be read, or they are the same.
    """
    sides = parse_side(left, environment, variables), parse_side(right, environment, variables)
    if sides[0] == sides[1]:
        raise ConfigurationError(f"{sides[0].label} is compared with itself; name another side")
    if all(side.kind == "mongo" for side in sides):
        raise ConfigurationError("two MongoDB databases cannot be compared; one side must be local, remote or a URL")
    return sides


def _check_conninfo(text: str, what: str) -> str:
    if not text.startswith(_URL_SCHEMES):
        raise ConfigurationError(f"{what} should hold postgresql://user:password@host:port/database")
    try:
        conninfo_to_dict(text)
    except psycopg.Error:
        raise ConfigurationError(
            f"{what} is no URL that PostgreSQL understands; percent-encode special characters of the password"
        ) from None
    return text


def _describe(conninfo: str) -> str:
    parts = conninfo_to_dict(conninfo)
    return f"{parts.get('dbname') or 'database'} at {parts.get('host') or 'localhost'}:{parts.get('port') or 5432}"


@contextmanager
def open_side(side: Side, namespace: str | None = None) -> Iterator[Connection]:
    """Open a snapshot of a PostgreSQL side, read only, with values spelled as on every other.

    Args:
        namespace: the PostgreSQL schema to look at; None is the first of the search path.

    Raises:
        SmartdietError: it cannot be reached or refuses.
    """
    with open_mirror(side) as connection, open_snapshot(connection):
        settings = dict(_SPELLING)
        if namespace is not None:
            settings["search_path"] = sql.Identifier(namespace).as_string(None)
        applied = sql.SQL(", ").join(
            sql.SQL("set_config({}, {}, true)").format(sql.Literal(key), sql.Literal(value))
            for key, value in settings.items()
        )
        execute(connection, sql.SQL("SELECT {}").format(applied))
        yield connection


@contextmanager
def open_mirror(side: Side) -> Iterator[Connection]:
    """Open a plain connection to a PostgreSQL side, which sees what is written meanwhile.

    Raises:
        SmartdietError: it cannot be reached, refuses or is lost, now or in the block.
    """
    if side.conninfo:
        with _translating(side, "connecting to"):
            connection = side.connection.connect(
                side.conninfo,
                application_name="smartdiet",
                client_encoding="UTF8",
                connect_timeout=round(side.environment.connect_timeout),
                autocommit=True,
            )
            connection.settle()
            connection.autocommit = False
        with _translating(side, "reading"), connection:
            yield connection
        return
    with (
        build_postgres_resource(side.environment, side.place).open() as postgres,
        _translating(side, "reading", choose_prefix(postgres.access)),
        postgres.connect() as connection,
    ):
        yield connection


@contextmanager
def open_mongo(side: Side) -> Iterator[Read]:
    """Open a MongoDB side for reading.

    Raises:
        SmartdietError: it cannot be reached, refuses or is lost, now or in the block.
    """
    with build_mongo_resource(side.environment, side.place).open() as mongo:
        try:
            yield mongo.read
        except PyMongoError as error:
            raise mongo.translate(error, f"reading {mongo.describe()}") from None


@contextmanager
def _translating(side: Side, action: str, prefix: str = "") -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        translated = translate_postgres_error(error, f"{action} {side.label}", prefix=prefix)
        if side.conninfo:
            # No variables of ours say where it is.
            raise type(translated)(_OUR_VARIABLES.sub("its URL", str(translated))) from None
        raise translated from None
