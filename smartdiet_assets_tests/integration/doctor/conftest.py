"""The set-up that the doctor's tests spoil, one fault at a time: the compact application, mirrored and indexed."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from smartdiet_assets.doctor.collections import list_collections
from smartdiet_assets.doctor.run import examine_all
from smartdiet_assets.extract.mongodb.change_volume import list_date_fields
from smartdiet_assets.resources.checking import Finding
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.support import compact
from smartdiet_assets_tests.support.checked import Checked
from smartdiet_assets_tests.support.mirrored import Mirrored

Examine = Callable[[], list[Finding]]


@pytest.fixture
def healthy(
    configured_servers: None,
    tmp_path: Path,
    mongo_database: Database[Any],
    postgres: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Checked]:
    """A set-up in which nothing is to be found, configured by variables; its schema file is `compact.yaml`."""
    path = tmp_path / "compact.yaml"
    # Of the strategy `array`, the loading itself warns.
    path.write_text(compact.SCHEMA.replace("import_strategy: array", "import_strategy: smart_diff"))
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    checked = Checked(Mirrored(load_schema(path), mongo_database, postgres))
    checked.save_company()
    checked.sync()
    for name, tables in list_collections(checked.mirrored.schema).items():
        for field in list_date_fields(tables):
            mongo_database[name].create_index(field)
    before = dict(os.environ)
    yield checked
    # What a `.env` gave stays in the process; the next test is to have none of it.
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def faults(healthy: Checked) -> Examine:
    """Examine the set-up, and give what did not pass."""

    def examine() -> list[Finding]:
        return [finding for finding in examine_all() if finding.status != "passed"]

    return examine
