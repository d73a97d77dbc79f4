"""A load killed at any stage leaves everything as it was, and the next run completes it."""

import signal
import subprocess
import sys
from typing import Any

import psycopg
import pytest

from smartdiet_assets_tests.integration.load.killed_load import documents
from smartdiet_assets_tests.support.loads import EARLY, LATE, club, described, load, oid, read, rows_of

Connection = psycopg.Connection[Any]
STAGES = ["opened", "begun", "copied", "settled", "compared", "rejected", "merged", "stored"]
SCRIPT = "smartdiet_assets_tests.integration.load.killed_load"


def everything(connection: Connection) -> list[list[tuple[Any, ...]]]:
    relations = ("guests", "visits", "smartdiet.rejected_rows", "smartdiet.awaited_parents", "smartdiet.sync_state")
    return [rows_of(connection, relation) for relation in relations]


def killed_at(database: str, stage: str) -> int:
    return subprocess.run([sys.executable, "-m", SCRIPT, database, stage], check=False, timeout=60).returncode


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_load_leaves_the_tables_as_they_were(postgres: Connection, postgres_database: str, stage: str) -> None:
    load(postgres, club(), "guests", described(*[(oid(n), [(oid(n), "old")]) for n in (1, 2)]), watermark=EARLY)
    load(postgres, club(), "visits", read((oid(11), oid(2), oid(1))))
    before = everything(postgres)

    assert killed_at(postgres_database, stage) == -signal.SIGKILL

    assert everything(postgres) == before
    result = load(postgres, club(), "guests", documents(), watermark=LATE)
    assert (result.inserted, result.updated, result.deleted, result.rejected) == (1, 1, 1, 1)
    assert rows_of(postgres, "guests") == [(oid(1), "changed"), (oid(3), "new")]
    assert rows_of(postgres, "visits") == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_first_load_leaves_no_table(postgres: Connection, postgres_database: str, stage: str) -> None:
    assert killed_at(postgres_database, stage) == -signal.SIGKILL

    assert postgres.execute("SELECT to_regclass('guests')").fetchone() == (None,)
    assert rows_of(postgres, "smartdiet.sync_state") == []
    assert load(postgres, club(), "guests", documents()).inserted == 2
