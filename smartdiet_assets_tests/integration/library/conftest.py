"""The servers of two companies, and a project that mirrors both."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import dagster as dg
import psycopg
import pytest
from pymongo import MongoClient

from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets_tests.conftest import run_server
from smartdiet_assets_tests.integration.library.companies import Company
from smartdiet_assets_tests.integration.library.project import CLINIC, SHOP

_numbers = count(1)


@pytest.fixture(scope="session")
def other_mongo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedMongo]:
    """The clinic's: no company's documents are on the other's server."""
    yield from run_server(EmbeddedMongo(tmp_path_factory.mktemp("servers") / "other_mongo"))


@pytest.fixture
def companies(
    own_environment: Any,
    mongo_server: EmbeddedMongo,
    other_mongo_server: EmbeddedMongo,
    postgres_resource: PostgresResource,
    postgres_database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[dict[str, Company]]:
    """A shop and a clinic, by the name of their mirror, on Mongo servers of their own, and nowhere yet in PostgreSQL.

    The variables are those of a project that is not this one.
    """
    servers, sources = {"shop": mongo_server, "clinic": other_mongo_server}, {}
    for name, server in servers.items():
        client: MongoClient[dict[str, Any]] = MongoClient(server.uri)
        sources[name] = client[f"library_{name}_{next(_numbers)}"]
        monkeypatch.setenv(f"{name.upper()}_MONGODB_URL", server.uri)
        monkeypatch.setenv(f"{name.upper()}_MONGODB_DATABASE", sources[name].name)
    for field in ("host", "port", "user", "password", "database"):
        monkeypatch.setenv(f"WAREHOUSE_{field.upper()}", str(getattr(postgres_resource, field)))
    with psycopg.connect(postgres_database) as shop, psycopg.connect(postgres_database) as clinic:
        yield {
            "shop": Company("shop", SHOP, ("shop",), "shop", sources["shop"], shop),
            "clinic": Company("clinic", CLINIC, ("health", "clinic"), 'Clinic "A"', sources["clinic"], clinic),
        }
    for source in sources.values():
        source.client.drop_database(source.name)
        source.client.close()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made
