"""The configured servers, opened and checked outside of a Dagster run, and PostgreSQL without importing Dagster."""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager

from psycopg import Connection

from smartdiet_assets.mirror.sources import find_opener
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.resources.postgres_server import PostgresServer
from smartdiet_assets.schema.model import Table
from smartdiet_assets.schema.sources import SourceKind


@contextmanager
def connect_postgres(environment: Environment) -> Iterator[Connection]:
    """Open a connection to the configured PostgreSQL; committed and closed at the end of the block.

    Raises:
        SmartdietError: it cannot be reached or refuses; the message says which.
    """
    with closing(PostgresServer(environment)) as postgres, postgres.connect() as connection:
        yield connection


def find_target_fault(environment: Environment) -> str:
    """Say in a sentence what keeps the mirror from writing to PostgreSQL; "" when nothing does."""
    with closing(PostgresServer(environment)) as postgres:
        return postgres.check().sentence


def find_source_faults(environment: Environment, tables: Iterable[Table]) -> dict[str, str]:
    """Check the sources that tables need, and say what keeps the mirror from reading one.

    Asked before a run: without its server every table would wait for it and try again by itself.

    Returns:
        A sentence by source (`Table.source`), for those that cannot be read.
    """
    by_kind: dict[SourceKind, list[Table]] = {}
    for table in tables:
        by_kind.setdefault(table.source_kind, []).append(table)
    faults = {}
    for kind, wanted in by_kind.items():
        opener = find_opener(kind)
        with opener.open_server(environment) as server:
            if not (check := opener.check(server, wanted)).ok:
                faults[kind.name] = check.sentence
    return faults
