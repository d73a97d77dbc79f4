"""Fixtures of the oracle tests: a mirror of the compact schema on real servers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo import MongoClient
from pymongo.database import Database

from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.integration.mirror.schema_sides import Side
from smartdiet_assets_tests.support import compact
from smartdiet_assets_tests.support.mirrored import Mirrored


@pytest.fixture
def mirrored(tmp_path: Path, mongo_database: Database[Any], postgres: psycopg.Connection[Any]) -> Mirrored:
    path = tmp_path / "compact.yaml"
    path.write_text(compact.SCHEMA)
    return Mirrored(load_schema(path), mongo_database, postgres)


@pytest.fixture
def captured(tmp_path: Path, mongo_database: Database[Any], postgres: psycopg.Connection[Any]) -> Mirrored:
    """The same, captured from the change streams."""
    path = tmp_path / "captured.yaml"
    path.write_text(compact.CAPTURED)
    return Mirrored(load_schema(path), mongo_database, postgres)


@pytest.fixture
def reconciled(tmp_path: Path, mongo_database: Database[Any], postgres: psycopg.Connection[Any]) -> Mirrored:
    """The same by the documents' dates, with deletions found by reconcile passes."""
    path = tmp_path / "reconciled.yaml"
    path.write_text(compact.RECONCILED)
    return Mirrored(load_schema(path), mongo_database, postgres)


@pytest.fixture
def protected(tmp_path: Path, mongo_database: Database[Any], postgres: psycopg.Connection[Any]) -> Mirrored:
    """The same, captured or by dates, with all ids and much else protected."""
    path, overlay = tmp_path / "protected.yaml", tmp_path / "overlay.yaml"
    path.write_text(compact.PROTECTED)
    overlay.write_text(compact.PROTECTIONS)
    schema = load_schema(path, protected=overlay, pseudonym_key=compact.KEY)
    return Mirrored(schema, mongo_database, postgres)


@pytest.fixture
def sides(
    tmp_path: Path,
    mongo_client: MongoClient[Any],
    mongo_database: Database[Any],
    postgres: psycopg.Connection[Any],
    postgres_database: str,
) -> Iterator[tuple[Side, Side]]:
    """Two mirrors in the schemas a and b; the second one's search path leads on to the first one's tables."""
    path = tmp_path / "compact.yaml"
    path.write_text(compact.SCHEMA)
    postgres.execute("CREATE SCHEMA a; CREATE SCHEMA b")
    other = f"{mongo_database.name}_other"
    first = Side(path, mongo_database, postgres_database, "a")
    second = Side(path, mongo_client[other], postgres_database, "b,a")
    with first.connection, second.connection:
        yield first, second
    mongo_client.drop_database(other)
