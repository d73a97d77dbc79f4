"""`smartdiet sync` tells of fields that nobody declared, and `--dry-run` of what it would do."""

import json
from pathlib import Path
from typing import Any

import psycopg
from bson import ObjectId

from smartdiet_assets_tests.integration.cli.companies import NOW, TABLES
from smartdiet_assets_tests.integration.conftest import Smartdiet

RELATIONS = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace OR relname = 'sync_state'"


def plant(source: Any) -> None:
    source.recipes.insert_one({"_id": ObjectId(), "name": "x", "rating": 5, "creation_date": NOW, "update_date": NOW})


def test_sync_says_what_is_not_declared_and_what_to_do(source: Any, smartdiet: Smartdiet) -> None:
    assert "declares" not in smartdiet("sync").err
    plant(source)
    for _ in range(2):
        printed = smartdiet("sync")
        assert printed.code == 0
        assert "Documents of recipes have 1 field that no table declares: rating (int)." in printed.err
        assert "`smartdiet infer recipes --update`" in printed.err
    assert json.loads(smartdiet("sync", "--json").out)["drift"] == {"recipes": {"undeclared": {"rating (int)": 1}}}
    assert "drift" not in json.loads(smartdiet("sync", "users", "--json").out)


def test_sync_fails_where_that_is_declared(
    source: Any, smartdiet: Smartdiet, tmp_path: Path, postgres: psycopg.Connection
) -> None:
    (tmp_path / "tables.yaml").write_text(TABLES + "collections:\n  recipes: {undeclared: fail}\n")
    plant(source)
    printed = smartdiet("sync")
    assert printed.code == 1
    assert "recipes has undeclared: fail" in printed.err
    assert postgres.execute("SELECT to_regclass('recipes')").fetchone() == (None,)


def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    source: Any, smartdiet: Smartdiet, postgres: psycopg.Connection
) -> None:
    before = postgres.execute(RELATIONS).fetchall()
    printed = smartdiet("sync", "--dry-run")
    assert printed.code == 0, printed.err
    lines = {line.split()[0]: line for line in printed.out.splitlines() if line.strip()}
    assert lines["companies"].split()[1:4] == ["created", "everything", "2"]
    assert postgres.execute(RELATIONS).fetchall() == before
    smartdiet("sync")
    told = json.loads(smartdiet("sync", "--dry-run", "--json").out)
    assert told["dry_run"]
    companies = told["tables"]["companies"]
    assert (companies["created"], companies["window"], companies["rows"], companies["again"]) == (
        False, "incremental", 1, 1,
    )  # fmt: skip
    full = json.loads(smartdiet("sync", "--dry-run", "--full", "--json", "companies").out)["tables"]
    assert (list(full), full["companies"]["window"], full["companies"]["documents"]) == (["companies"], "full", 2)


def test_a_dry_run_exits_1_where_a_table_would_fail(
    source: Any, smartdiet: Smartdiet, postgres: psycopg.Connection
) -> None:
    postgres.execute("CREATE TABLE companies (id INTEGER PRIMARY KEY)")
    printed = smartdiet("sync", "--dry-run")
    assert printed.code == 1
    assert "the run stops" in printed.out
    assert "companies: column id: live integer" in printed.err
