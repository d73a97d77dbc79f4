"""The configured servers, opened outside of a Dagster run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import Connection

from smartdiet_assets.resources.postgres import build_postgres_resource


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
