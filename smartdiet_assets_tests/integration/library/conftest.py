"""The servers of two companies, and a project that mirrors both."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import dagster as dg
import psycopg
import pytest
from pymongo import MongoClient
from pymongo.database import Database

from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets_tests.integration.library.companies import Company
from smartdiet_assets_tests.integration.library.project import CLINIC, SHOP

_numbers = count(1)


@pytest.fixture
def companies(
    own_environment: Any,
    mongo_server: EmbeddedMongo,
    mongo_client: MongoClient[dict[str, Any]],
    postgres_resource: PostgresResource,
    postgres_database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[dict[str, Company]]:
    """A shop and a clinic, by the name of their mirror, in Mongo databases of their own, and nowhere yet in PostgreSQL.

    The variables are those of a project that is not this one.
    """
    sources: dict[str, Database[dict[str, Any]]] = {
        name: mongo_client[f"library_{name}_{next(_numbers)}"] for name in ("shop", "clinic")
    }
    for name, source in sources.items():
        monkeypatch.setenv(f"{name.upper()}_MONGODB_URL", mongo_server.uri)
        monkeypatch.setenv(f"{name.upper()}_MONGODB_DATABASE", source.name)
    for field in ("host", "port", "user", "password", "database"):
        monkeypatch.setenv(f"WAREHOUSE_{field.upper()}", str(getattr(postgres_resource, field)))
    with psycopg.connect(postgres_database) as shop, psycopg.connect(postgres_database) as clinic:
        yield {
            "shop": Company("shop", SHOP, ("shop",), "shop", sources["shop"], shop),
            "clinic": Company("clinic", CLINIC, ("health", "clinic"), 'Clinic "A"', sources["clinic"], clinic),
        }
    for source in sources.values():
        mongo_client.drop_database(source.name)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made
