"""How the facts of a PostgreSQL server are judged: whether the mirror can work there at all, whatever the tables."""

from collections.abc import Iterator, Mapping

from smartdiet_assets.errors import DatabaseNotFoundError, ForwardingDeniedError, PermissionDeniedError, SmartdietError
from smartdiet_assets.resources.checking import Finding
from smartdiet_assets.resources.postgres_rights import POSTGRES, PostgresFacts, find_missing_rights, spell_statement

#: The catalogue queries need it: generated columns came with 12.
_OLDEST = 120_000
#: The server notices a killed run from here on.
_FIRST_WITH_CLIENT_CHECK = 140_000
#: A run of several processes: four tables, each with a connection and a second one that asks what the first does.
_CONNECTIONS_NEEDED = 8


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
            statements=[
                spell_statement("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0", f"{facts.database}_utf8")
            ],
        )
    faults = list(find_missing_rights(facts, state_schema))
    yield from faults
    if not faults:
        yield POSTGRES.passed(
            "rights",
            f"The user may create tables in {facts.schema_name or facts.target_schema}, the schema {state_schema} and "
            "temporary tables.",
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
            f"{max(free, 0)} connections are free of those of {where}; a run takes 2, a "
            f"sync 4, with SMARTDIET_EXECUTOR=multiprocess {_CONNECTIONS_NEEDED}: close some, or raise the limit.",
        )
    return POSTGRES.passed("connections", f"{free} connections are free; a run takes at most {_CONNECTIONS_NEEDED}.")


def compose_access(error: SmartdietError, database: str, user: str) -> list[str]:
    """Compose what lets the user connect, for an administrator to run; none where no statement can."""
    if isinstance(error, DatabaseNotFoundError):
        return [spell_statement("CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0", database, user)]
    if isinstance(error, PermissionDeniedError) and not isinstance(error, ForwardingDeniedError):
        return [spell_statement("GRANT CONNECT ON DATABASE {} TO {}", database, user)]
    return []
