"""Fixtures of the refresh tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo import MongoClient

from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.demo.postgres_server import EmbeddedPostgres
from smartdiet_assets.resources.environment import VARIABLES
from smartdiet_assets_tests.integration.refresh.postgres_refreshed import PostgresPair, create_database, drop_database
from smartdiet_assets_tests.integration.refresh.refreshed import Mongo, Pair
from smartdiet_assets_tests.ssh_servers import PASSWORD, USER, InProcessSshServer


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
def configured(filled: Pair, ssh_server: InProcessSshServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pair:
    """Two databases, filled, and the variables that say so: the source behind an SSH server, the target here."""
    monkeypatch.chdir(tmp_path)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "MONGODB_URL": filled.server.uri,
        "MONGODB_DATABASE": filled.target.name,
        "REMOTE_MONGODB_URL": filled.server.uri,
        "REMOTE_MONGODB_DATABASE": filled.source.name,
        "REMOTE_SERVER_URL": ssh_server.host,
        "REMOTE_SERVER_PORT": str(ssh_server.port),
        "REMOTE_SERVER_USER": USER,
        "REMOTE_SERVER_PASSWORD": PASSWORD,
        "REMOTE_SERVER_HOST_KEY": ssh_server.keys.public("host"),
        "DAGSTER_HOME": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    return filled


@pytest.fixture
def postgres_pair(postgres_server: EmbeddedPostgres, postgres_database: str) -> Iterator[PostgresPair]:
    """Two PostgreSQL databases, both empty."""
    source = str(psycopg.conninfo.conninfo_to_dict(postgres_database)["dbname"])
    pair = PostgresPair(postgres_server, source, f"{source}_target")
    with psycopg.connect(postgres_server.dsn(), autocommit=True) as admin:
        create_database(admin, pair.target_name)
        yield pair
        drop_database(admin, pair.target_name)
