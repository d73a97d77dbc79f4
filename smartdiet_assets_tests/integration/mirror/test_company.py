"""The project's own file, all of its tables: a generated company equals the oracle, day after day."""

from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo.database import Database

from smartdiet_assets.demo.company import apply_day_of_changes, write_company
from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.support.mirrored import Mirrored

SCHEMAS = Path(__file__).parents[3] / "config" / "schemas.yaml"
SCALE = 0.0005
#: What an unchanged table may cost in write-ahead log: the run's bookkeeping, the staging tables' entries.
BYTES_PER_IDLE_TABLE = 200_000


@pytest.mark.slow
def test_all_tables_of_the_project_equal_the_oracle_day_after_day(
    mongo_database: Database[Any], postgres: psycopg.Connection[Any]
) -> None:
    mirrored = Mirrored(load_schema(SCHEMAS), mongo_database, postgres, batch_size=100)
    write_company(mongo_database, seed=7, scale=SCALE)
    assert not mirrored.sync()
    assert all(expected.rows for expected in mirrored.oracle.expected.values()), "the generator fills every table"
    for day in (datetime(2025, 10, 1), datetime(2025, 10, 5)):
        apply_day_of_changes(mongo_database, seed=7, day=day)
        assert not mirrored.sync(), f"{day:%d %B}"
    before, written = mirrored.versions(), wal_position(postgres)
    assert not mirrored.sync()
    assert mirrored.versions() == before
    assert wal_position(postgres) - written < BYTES_PER_IDLE_TABLE * len(mirrored.schema.tables)
    assert not mirrored.sync(WindowRequest("full"))
    assert mirrored.versions() == before, "reading everything again writes nothing either"


def wal_position(connection: psycopg.Connection[Any]) -> int:
    with connection.transaction():
        found = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
    assert found is not None
    return int(found[0])
