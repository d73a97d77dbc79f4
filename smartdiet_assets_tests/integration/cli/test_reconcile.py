"""`smartdiet reconcile`: what it counts, removes and refuses, and its exit codes."""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.integration.cli.companies import NOW, TABLES
from smartdiet_assets_tests.support.mirrored import Mirrored
from smartdiet_assets_tests.support.running import smartdiet, smartdiet_here


@pytest.fixture
def deleted(source: Any, postgres: psycopg.Connection, tmp_path: Path) -> Any:
    """A mirrored source with `on_delete: delete`, of which one of twenty companies was deleted."""
    path = tmp_path / "tables.yaml"
    path.write_text(f"defaults: {{on_delete: delete}}\n{TABLES}")
    dates = {"creation_date": NOW, "update_date": NOW}
    source.companies.insert_many([{"name": f"{number}", **dates} for number in range(19)])
    source.recipes.insert_one(dates)
    Mirrored(load_schema(path), source, postgres).run()
    source.companies.delete_one({"name": "7"})
    return source


def test_reconcile_counts_first_and_removes_then(deleted: Any, postgres: psycopg.Connection) -> None:
    foretold = smartdiet("reconcile", "--dry-run")
    assert foretold.returncode == 0, foretold.stderr
    assert "Dry run: nothing was changed" in foretold.stdout
    assert postgres.execute("SELECT count(*) FROM companies").fetchone() == (20,)

    result = smartdiet("reconcile", "--json")

    assert result.returncode == 0, result.stderr
    printed = json.loads(result.stdout)
    assert list(printed["tables"]) == ["recipes", "users", "companies"]
    companies = printed["tables"]["companies"]
    assert set(companies) == {
        "documents", "rows", "gone", "removed", "flagged", "replaced", "restored", "cascaded", "seconds",
    }  # fmt: skip
    # One company is a reject: it was never a row.
    assert (companies["documents"], companies["rows"], companies["removed"]) == (20, 20, 1)
    assert postgres.execute("SELECT count(*) FROM companies").fetchone() == (19,)


def test_reconcile_exits_1_where_a_table_is_refused_and_does_the_others(
    deleted: Any, postgres: psycopg.Connection
) -> None:
    deleted.recipes.delete_many({})
    result = smartdiet("reconcile")
    assert result.returncode == 1
    assert "smartdiet reconcile recipes --force" in " ".join(result.stderr.split())
    assert "refused" in result.stdout
    assert postgres.execute("SELECT count(*) FROM companies").fetchone() == (19,)
    assert smartdiet("reconcile", "recipes", "--force").returncode == 0
    assert postgres.execute("SELECT count(*) FROM recipes").fetchone() == (0,)


def test_reconcile_says_which_tables_it_leaves_out(source: Any) -> None:
    smartdiet_here("sync")
    result = smartdiet("reconcile")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("left out: on_delete: keep") == 3


def test_reconcile_exits_2_where_mongodb_cannot_be_reached(deleted: Any) -> None:
    result = smartdiet("reconcile", MONGODB_URL="mongodb://127.0.0.1:9/", CONNECT_TIMEOUT="2")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
