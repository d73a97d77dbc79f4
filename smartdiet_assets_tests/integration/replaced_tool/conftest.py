"""Fixtures of the tests against the replaced tool: a mirror of its file on this test's databases."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from smartdiet_assets_tests.integration.replaced_tool.old_mirror import OldMirror


@pytest.fixture
def mirror(tmp_path: Path, mongo_database: Database[Any], postgres: psycopg.Connection[Any]) -> OldMirror:
    return OldMirror(tmp_path, mongo_database, postgres)
