"""What is looked at on the PostgreSQL server itself: whether the mirror can work there at all, whatever the tables.

Here: version, encoding, rights, free connections and clock, read in one statement that changes nothing. Not here: the
tables (`checks.live_tables`), or the check of one sentence before a run (`postgres`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from smartdiet_assets.errors import DatabaseNotFoundError, ForwardingDeniedError, PermissionDeniedError, SmartdietError
from smartdiet_assets.resources.checking import Finding, Part

POSTGRES = Part("postgres")
#: The catalogue queries need it: generated columns came with 12.
_OLDEST = 120_000
#: The server notices a killed run from here on.
_FIRST_WITH_CLIENT_CHECK = 140_000
#: A run of several processes: four tables, each with a connection and a second one that asks what the first does.
_CONNECTIONS_NEEDED = 8

_FACTS = """
SELECT
  current_setting('server_version_num')::integer AS version_number,
  current_setting('server_version') AS version,
  current_database() AS database,
  current_user AS user_name,
  pg_encoding_to_char(d.encoding) AS encoding,
  current_setting('transaction_read_only')::boolean AS read_only,
  pg_is_in_recovery() AS standby,
  current_setting('search_path') AS search_path,
  current_schema() AS schema_name,
  coalesce(has_schema_privilege(current_schema(), 'USAGE'), false) AS may_use_schema,
  coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create_tables,
  n.oid IS NOT NULL AS state_exists,
  coalesce(has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE'), false) AS may_use_state,
  has_database_privilege(d.oid, 'CREATE') AS may_create_schema,
  has_database_privilege(d.oid, 'TEMPORARY') AS may_create_temporary,
  current_setting('max_connections')::integer
    - CASE WHEN r.rolsuper THEN 0 ELSE
        current_setting('superuser_reserved_connections')::integer
        + coalesce(current_setting('reserved_connections', true), '0')::integer
      END
    - (SELECT count(*) FROM pg_stat_activity WHERE usesysid IS NOT NULL)::integer AS free_of_server,
  CASE WHEN d.datconnlimit >= 0 AND NOT r.rolsuper THEN d.datconnlimit
    - (SELECT count(*) FROM pg_stat_activity WHERE usesysid IS NOT NULL AND datid = d.oid)::integer
  END AS free_of_database,
  CASE WHEN r.rolconnlimit >= 0 AND NOT r.rolsuper THEN r.rolconnlimit
    - (SELECT count(*) FROM pg_stat_activity WHERE usesysid = r.oid)::integer
  END AS free_of_user,
  clock_timestamp() AS clock
FROM pg_catalog.pg_database AS d
JOIN pg_catalog.pg_roles AS r ON r.rolname = current_user
LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = %(state)s
WHERE d.datname = current_database()
"""


@dataclass(frozen=True, slots=True)
class PostgresFacts:
    """What the server says of itself and of the user; `free_of_*` is None where no such limit is set."""

    version_number: int
    version: str
    database: str
    user_name: str
    encoding: str
    read_only: bool
    standby: bool
    search_path: str
    schema_name: str | None
    may_use_schema: bool
    may_create_tables: bool
    state_exists: bool
    may_use_state: bool
    may_create_schema: bool
    may_create_temporary: bool
    free_of_server: int
    free_of_database: int | None
    free_of_user: int | None
    clock: datetime


def fetch_facts(connection: psycopg.Connection[Any], state_schema: str) -> PostgresFacts:
    """Fetch the facts; `state_schema` is where the mirror keeps its own tables.

    Raises:
        psycopg.Error: the server refused or was lost.
    """
    with connection.cursor(row_factory=class_row(PostgresFacts)) as cursor:
        facts = cursor.execute(_FACTS, {"state": state_schema}).fetchone()
    assert facts is not None
    return facts


def judge_server(facts: PostgresFacts, state_schema: str) -> Iterator[Finding]:
    """Judge the server and the user's rights: version, encoding, writing, rights, connections. Pure."""
    yield _judge_version(facts)
    if facts.encoding == "UTF8":
        yield POSTGRES.passed("encoding", "The database is in UTF8.")
    else:
        yield POSTGRES.failed(
            "encoding",
            f"The database is in {facts.encoding}, which cannot hold every text of MongoDB: create it anew in UTF8, "
            "and set POSTGRES_DATABASE.",
            statements=[_spell("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0", f"{facts.database}_utf8")],
        )
    faults = list(find_missing_rights(facts, state_schema))
    yield from faults
    if not faults:
        yield POSTGRES.passed(
            "rights",
            f"The user may create tables in {facts.schema_name}, the schema {state_schema} and temporary tables.",
        )
    yield _judge_connections(facts)


def _judge_version(facts: PostgresFacts) -> Finding:
    if facts.version_number < _OLDEST:
        return POSTGRES.failed("version", f"PostgreSQL {facts.version} is too old: 12 or later is needed.")
    if facts.version_number < _FIRST_WITH_CLIENT_CHECK:
        return POSTGRES.warned(
            "version",
            f"PostgreSQL {facts.version} does not notice a killed run, whose locks it keeps until its statement ends: "
            "14 and later do.",
        )
    return POSTGRES.passed("version", f"PostgreSQL {facts.version}.")


def find_missing_rights(facts: PostgresFacts, state_schema: str) -> Iterator[Finding]:
    """Find what the user may not do that every run does, each with the statement that allows it. Pure."""
    user = f"The user {facts.user_name}"
    if facts.standby:
        yield POSTGRES.failed(
            "rights", "The server is a standby, which is read only: give the primary's POSTGRES_HOST."
        )
        return
    if facts.read_only:
        yield POSTGRES.failed(
            "rights",
            f"{user} is read only, or the server is.",
            statements=[
                _spell(
                    "ALTER ROLE {} IN DATABASE {} SET default_transaction_read_only = off",
                    facts.user_name,
                    facts.database,
                )
            ],
        )
    if facts.schema_name is None:
        yield POSTGRES.failed(
            "rights",
            f"{user} has no schema to create tables in: none of its search_path exists, or may be used.",
            statements=_compose_schema_statements(facts),
        )
    elif not (facts.may_create_tables and facts.may_use_schema):
        yield POSTGRES.failed(
            "rights",
            f"{user} has no right to create a table in the schema {facts.schema_name}.",
            statements=[_spell("GRANT USAGE, CREATE ON SCHEMA {} TO {}", facts.schema_name, facts.user_name)],
        )
    if facts.state_exists and not facts.may_use_state:
        yield POSTGRES.failed(
            "rights",
            f"{user} may not use the schema {state_schema}, where the mirror keeps its state, or create tables in it.",
            statements=[_spell("GRANT USAGE, CREATE ON SCHEMA {} TO {}", state_schema, facts.user_name)],
        )
    if not facts.state_exists and not facts.may_create_schema:
        yield POSTGRES.failed(
            "rights",
            f"{user} has no right to create the schema {state_schema}, or tables in it, for the mirror's own state.",
            statements=[_spell("CREATE SCHEMA {} AUTHORIZATION {}", state_schema, facts.user_name)],
        )
    if not facts.may_create_temporary:
        yield POSTGRES.failed(
            "rights",
            f"{user} has no right to create temporary tables, which every run loads into.",
            statements=[_spell("GRANT TEMPORARY ON DATABASE {} TO {}", facts.database, facts.user_name)],
        )


def _compose_schema_statements(facts: PostgresFacts) -> list[str]:
    """Compose what gives the user the first named schema of its search path, or `public`."""
    named = [entry.strip().strip('"') for entry in facts.search_path.split(",")]
    schema = next((entry for entry in named if entry and not entry.startswith(("$", "pg_"))), "public")
    return [
        _spell("CREATE SCHEMA IF NOT EXISTS {}", schema),
        _spell("GRANT USAGE, CREATE ON SCHEMA {} TO {}", schema, facts.user_name),
        _spell("ALTER ROLE {} IN DATABASE {} SET search_path = {}", facts.user_name, facts.database, schema),
    ]


def _judge_connections(facts: PostgresFacts) -> Finding:
    limits: Mapping[str, int | None] = {
        "the server (max_connections)": facts.free_of_server,
        "the database (its CONNECTION LIMIT)": facts.free_of_database,
        "the user (its CONNECTION LIMIT)": facts.free_of_user,
    }
    free, where = min((free, where) for where, free in limits.items() if free is not None)
    if free < _CONNECTIONS_NEEDED:
        return POSTGRES.warned(
            "connections",
            f"{max(free, 0)} connections are free of those of {where}; a run takes 2, with "
            f"SMARTDIET_EXECUTOR=threads 4, with multiprocess {_CONNECTIONS_NEEDED}: close some, or raise the limit.",
        )
    return POSTGRES.passed("connections", f"{free} connections are free; a run takes at most {_CONNECTIONS_NEEDED}.")


def compose_access(error: SmartdietError, database: str, user: str) -> list[str]:
    """Compose what lets the user connect, for an administrator to run; none where no statement can."""
    if isinstance(error, DatabaseNotFoundError):
        return [_spell("CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0", database, user)]
    if isinstance(error, PermissionDeniedError) and not isinstance(error, ForwardingDeniedError):
        return [_spell("GRANT CONNECT ON DATABASE {} TO {}", database, user)]
    return []


def _spell(statement: str, *names: str) -> str:
    return f"{sql.SQL(statement).format(*map(sql.Identifier, names)).as_string(None)};"
