"""A Matomo of each test's own, and what mirrors it: the declared tables on both servers."""

from collections.abc import Iterator

import psycopg
import pytest

from smartdiet_assets.demo.analytics import create_matomo_tables
from smartdiet_assets.demo.mariadb_server import EmbeddedMariaDB
from smartdiet_assets.resources.matomo import MatomoResource
from smartdiet_assets_tests.support.matomo_mirror import Matomo


@pytest.fixture
def matomo(
    mariadb_server: EmbeddedMariaDB,
    matomo_database: str,
    matomo_resource: MatomoResource,
    postgres: psycopg.Connection,
) -> Iterator[Matomo]:
    """An empty Matomo with its real tables, and the means to mirror it."""
    with mariadb_server.connect(matomo_database) as source:
        create_matomo_tables(source)
        yield Matomo(source, matomo_resource, postgres)
