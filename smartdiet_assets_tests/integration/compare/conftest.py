"""Fixtures of the comparison's tests: two empty databases of the shared server."""

from collections.abc import Iterator

import psycopg
import pytest

from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets_tests.conftest import create_database
from smartdiet_assets_tests.integration.compare.pair import Database, Pair


@pytest.fixture(scope="module")
def _databases(postgres_server: EmbeddedPostgres, postgres_admin: psycopg.Connection) -> Iterator[Pair]:
    with (
        create_database(postgres_server, postgres_admin) as left,
        create_database(postgres_server, postgres_admin) as right,
        psycopg.connect(left, autocommit=True) as one,
        psycopg.connect(right, autocommit=True) as other,
    ):
        yield Pair(Database(left, one), Database(right, other))


@pytest.fixture
def pair(_databases: Pair) -> Pair:
    """Two empty databases; created once for all tests of a module, and emptied before each."""
    for side in (_databases.left, _databases.right):
        side.forget()
    return _databases
