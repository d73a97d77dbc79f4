"""Fixtures of the command line's tests."""

import os
from pathlib import Path
from typing import Any

import psycopg
import pytest
from bson import ObjectId

from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.integration.cli.companies import NOW, TABLES
from smartdiet_assets_tests.support.mirrored import Mirrored


@pytest.fixture
def source(configured_servers: None, mongo_database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two companies, one of which cannot be loaded, and a user; the variables lead to them and to an empty target."""
    path = tmp_path / "tables.yaml"
    path.write_text(TABLES)
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    company = ObjectId()
    dates = {"creation_date": NOW, "update_date": NOW}
    mongo_database.companies.insert_many(
        [{"_id": company, "name": "Acme", **dates}, {"name": "Marked-Value-Too-Long", **dates}]
    )
    mongo_database.users.insert_one({"company": company, **dates})
    return mongo_database


@pytest.fixture
def synced(source: Any, postgres: psycopg.Connection) -> Any:
    """The source above, mirrored as a run does it, but without Dagster."""
    Mirrored(load_schema(os.environ["SMARTDIET_SCHEMAS"]), source, postgres).run()
    return source
