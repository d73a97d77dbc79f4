"""Fixtures of the refresh tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo import MongoClient

from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets_tests.conftest import create_database
from smartdiet_assets_tests.integration.refresh.postgres_refreshed import PostgresPair
from smartdiet_assets_tests.support.refreshed import Mongo, Pair
from smartdiet_assets_tests.support.remote import build_access, set_ssh_variables
from smartdiet_assets_tests.support.ssh_servers import InProcessSshServer


@pytest.fixture
def pair(
    mongo_server: EmbeddedMongo, mongo_client: MongoClient[dict[str, Any]], mongo_database: Mongo
) -> Iterator[Pair]:
    """Two databases, both empty."""
    target = mongo_client[f"{mongo_database.name}_target"]
    yield Pair(mongo_server, mongo_database, target)
    mongo_client.drop_database(target.name)


@pytest.fixture
def filled(pair: Pair) -> Pair:
    """Two databases, filled."""
    pair.fill()
    return pair


@pytest.fixture
def configured(
    filled: Pair, ssh_server: InProcessSshServer, own_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> Pair:
    """Two databases, filled, and the variables that say so: the source behind an SSH server, the target here."""
    set_ssh_variables(monkeypatch, build_access(ssh_server))
    for name, value in {
        "MONGODB_URL": filled.server.uri,
        "MONGODB_DATABASE": filled.target.name,
        "REMOTE_MONGODB_URL": filled.server.uri,
        "REMOTE_MONGODB_DATABASE": filled.source.name,
        "DAGSTER_HOME": str(own_environment),
    }.items():
        monkeypatch.setenv(name, value)
    return filled


@pytest.fixture
def postgres_pair(
    postgres_server: EmbeddedPostgres, postgres_admin: psycopg.Connection, postgres_database: str
) -> Iterator[PostgresPair]:
    """Two PostgreSQL databases, both empty."""
    with create_database(postgres_server, postgres_admin) as target:
        yield PostgresPair(postgres_server, postgres_database, target)
