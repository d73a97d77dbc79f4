"""Fixtures of the oracle tests: a mirror of the compact schema on real servers."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.integration.mirror import compact
from smartdiet_assets_tests.integration.mirror.mirrored import Mirrored


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
