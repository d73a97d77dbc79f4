"""Fixtures of the checks' tests: a fresh mirror of the compact schema, with a limit of rejects."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.support import compact
from smartdiet_assets_tests.support.checked import Checked
from smartdiet_assets_tests.support.mirrored import Mirrored


@pytest.fixture
def empty(tmp_path: Path, mongo_database: Database[Any], postgres: psycopg.Connection[Any]) -> Checked:
    """Nothing in either database."""
    path = tmp_path / "compact.yaml"
    path.write_text(compact.SCHEMA.replace("  notes:    ", "  notes:\n    max_rejects: 1\n    #"))
    schema = load_schema(path)
    assert schema.tables["notes"].max_rejects is not None
    return Checked(Mirrored(schema, mongo_database, postgres))


@pytest.fixture
def unlimited(tmp_path: Path, mongo_database: Database[Any], postgres: psycopg.Connection[Any]) -> Checked:
    """Nothing in either database, and no limit of rejects, beyond which a run would fail."""
    path = tmp_path / "compact.yaml"
    path.write_text(compact.SCHEMA)
    return Checked(Mirrored(load_schema(path), mongo_database, postgres))


@pytest.fixture
def checked(empty: Checked) -> Checked:
    """A small company, mirrored."""
    empty.save_company()
    empty.sync()
    return empty
