"""Fixtures of the reconcile tests."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from smartdiet_assets_tests.integration.reconcile.clinic import Clinic


@pytest.fixture
def clinic(tmp_path: Path, mongo_database: Database[Any], postgres: psycopg.Connection[Any]) -> Clinic:
    """The clinic's collections, filled; nothing is mirrored yet."""
    clinic = Clinic(tmp_path, mongo_database, postgres)
    clinic.fill()
    return clinic
