"""What a PostgreSQL server says of itself and of its user, in one statement, and which rights are missing."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from smartdiet_assets.resources.checking import Finding, Part

POSTGRES = Part("postgres")
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
  clock_timestamp() AS clock,
  %(target)s::text AS target_schema,
  EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = %(target)s) AS target_exists
FROM pg_catalog.pg_database AS d
JOIN pg_catalog.pg_roles AS r ON r.rolname = current_user
LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = %(state)s
WHERE d.datname = current_database()
"""


@dataclass(frozen=True, slots=True)
class PostgresFacts:
    """What the server says of itself and of the user; `free_of_*` is None where no such limit is set.

    `schema_name` is where tables are created: None where there is no such schema, or none that the user may use.
    """

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
    target_schema: str = ""
    target_exists: bool = False


def fetch_facts(connection: psycopg.Connection, state_schema: str, target_schema: str = "") -> PostgresFacts:
    """Fetch the facts.

    Args:
        state_schema: where the mirror keeps its own tables.
        target_schema: where the mirrored ones are, if that was said.

    Raises:
        psycopg.Error: the server refused or was lost.
    """
    with connection.cursor(row_factory=class_row(PostgresFacts)) as cursor:
        facts = cursor.execute(_FACTS, {"state": state_schema, "target": target_schema}).fetchone()
    assert facts is not None
    return facts


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
                spell_statement(
                    "ALTER ROLE {} IN DATABASE {} SET default_transaction_read_only = off",
                    facts.user_name,
                    facts.database,
                )
            ],
        )
    if facts.schema_name is None and facts.target_schema:
        yield from _find_missing_target(facts, user)
    elif facts.schema_name is None:
        yield POSTGRES.failed(
            "rights",
            f"{user} has no schema to create tables in: none of its search_path exists, or may be used.",
            statements=_compose_schema_statements(facts),
        )
    elif not (facts.may_create_tables and facts.may_use_schema):
        yield POSTGRES.failed(
            "rights",
            f"{user} has no right to create a table in the schema {facts.schema_name}.",
            statements=[spell_statement("GRANT USAGE, CREATE ON SCHEMA {} TO {}", facts.schema_name, facts.user_name)],
        )
    if facts.state_exists and not facts.may_use_state:
        yield POSTGRES.failed(
            "rights",
            f"{user} may not use the schema {state_schema}, where the mirror keeps its state, or create tables in it.",
            statements=[spell_statement("GRANT USAGE, CREATE ON SCHEMA {} TO {}", state_schema, facts.user_name)],
        )
    if not facts.state_exists and not facts.may_create_schema:
        yield POSTGRES.failed(
            "rights",
            f"{user} has no right to create the schema {state_schema}, or tables in it, for the mirror's own state.",
            statements=[spell_statement("CREATE SCHEMA {} AUTHORIZATION {}", state_schema, facts.user_name)],
        )
    if not facts.may_create_temporary:
        yield POSTGRES.failed(
            "rights",
            f"{user} has no right to create temporary tables, which every run loads into.",
            statements=[spell_statement("GRANT TEMPORARY ON DATABASE {} TO {}", facts.database, facts.user_name)],
        )


def _find_missing_target(facts: PostgresFacts, user: str) -> Iterator[Finding]:
    """Find what keeps the first run from making the schema that was asked for, or a later one from using it."""
    schema = facts.target_schema
    if facts.target_exists:
        statement = spell_statement("GRANT USAGE, CREATE ON SCHEMA {} TO {}", schema, facts.user_name)
        yield POSTGRES.failed("rights", f"{user} has no right to use the schema {schema}.", statements=[statement])
    elif not facts.may_create_schema:
        statement = spell_statement("CREATE SCHEMA {} AUTHORIZATION {}", schema, facts.user_name)
        yield POSTGRES.failed(
            "rights",
            f"There is no schema {schema}, and {user[0].lower()}{user[1:]} has no right to make it.",
            statements=[statement],
        )


def _compose_schema_statements(facts: PostgresFacts) -> list[str]:
    """Compose what gives the user the first named schema of its search path, or `public`."""
    named = [entry.strip().strip('"') for entry in facts.search_path.split(",")]
    schema = next((entry for entry in named if entry and not entry.startswith(("$", "pg_"))), "public")
    return [
        spell_statement("CREATE SCHEMA IF NOT EXISTS {}", schema),
        spell_statement("GRANT USAGE, CREATE ON SCHEMA {} TO {}", schema, facts.user_name),
        spell_statement("ALTER ROLE {} IN DATABASE {} SET search_path = {}", facts.user_name, facts.database, schema),
    ]


def spell_statement(statement: LiteralString | sql.Composed, *names: str) -> str:
    """Write out a statement for a person to run; of a text, with names in the place of its `{}`."""
    composed = sql.SQL(statement).format(*map(sql.Identifier, names)) if isinstance(statement, str) else statement
    return f"{composed.as_string(None)};"
