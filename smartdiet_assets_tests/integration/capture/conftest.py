"""The fixture of these tests: a captured mirror on real servers."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from smartdiet_assets_tests.support.captured import Captured


@pytest.fixture
def captured(tmp_path: Path, mongo_database: Database[Any], postgres: psycopg.Connection[Any]) -> Captured:
    return Captured(tmp_path / "captured.yaml", mongo_database, postgres)
