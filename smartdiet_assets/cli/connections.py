"""The configured servers, opened and checked outside of a Dagster run, and PostgreSQL without importing Dagster."""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager

from psycopg import Connection

from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.resources.postgres_server import PostgresServer
from smartdiet_assets.schema.model import Table


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
    from smartdiet_assets.resources.matomo import build_matomo_resource
    from smartdiet_assets.resources.mongo import build_mongo_resource

    tables = list(tables)
    checks = {}
    if any(table.source == "mongodb" for table in tables):
        with build_mongo_resource(environment).open() as mongo:
            checks["mongodb"] = mongo.check()
    if sources := [table.source_table for table in tables if table.source == "matomo"]:
        with build_matomo_resource(environment).open() as matomo:
            checks["matomo"] = matomo.check(sources)
    return {source: check.sentence for source, check in checks.items() if not check.ok}
