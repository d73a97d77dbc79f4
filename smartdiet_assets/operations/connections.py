"""The configured servers, opened and checked outside of a Dagster run."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import Connection

from smartdiet_assets.resources.matomo import build_matomo_resource
from smartdiet_assets.resources.mongo import build_mongo_resource
from smartdiet_assets.resources.postgres import build_postgres_resource
from smartdiet_assets.schema.model import Table


@contextmanager
def connect_postgres() -> Iterator[Connection[Any]]:
    """Open a connection to the configured PostgreSQL; committed and closed at the end of the block.

    Raises:
        SmartdietError: it cannot be reached or refuses; the message says which.
    """
    with (
        build_postgres_resource().process_config_and_initialize_cm() as postgres,
        postgres.connect() as connection,
    ):
        yield connection


def find_faults(tables: Iterable[Table]) -> list[str]:
    """Check the servers that tables need, and say in a sentence each what keeps the mirror from using one.

    Asked before a run: without a server every table would wait for it and try again by itself.
    """
    tables = list(tables)
    checks = []
    with build_postgres_resource().process_config_and_initialize_cm() as postgres:
        checks.append(postgres.check())
    if any(table.source == "mongodb" for table in tables):
        with build_mongo_resource().process_config_and_initialize_cm() as mongo:
            checks.append(mongo.check())
    if sources := [table.source_table for table in tables if table.source == "matomo"]:
        with build_matomo_resource().process_config_and_initialize_cm() as matomo:
            checks.append(matomo.check(sources))
    return [check.sentence for check in checks if not check.ok]
