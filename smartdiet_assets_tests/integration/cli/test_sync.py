"""`smartdiet sync`: what it prints, and the exit codes a script relies on."""

import json
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from bson import ObjectId

from smartdiet_assets.demo.analytics import create_matomo_tables, write_analytics
from smartdiet_assets.demo.mariadb_server import EmbeddedMariaDB
from smartdiet_assets_tests.integration.cli.companies import NOW, TABLES
from smartdiet_assets_tests.support.running import smartdiet, smartdiet_here


def test_sync_prints_one_json_object_with_the_promised_keys(source: Any) -> None:
    result = smartdiet("sync", "--json", "--wait")
    assert result.returncode == 0, result.stderr
    printed = json.loads(result.stdout)
    assert list(printed["tables"]) == ["companies", "users", "recipes"]
    companies = printed["tables"]["companies"]
    assert set(companies) == {
        "inserted", "updated", "deleted", "unchanged", "rejected", "collapsed", "nulled", "clamped", "documents_read",
        "mode", "watermark", "seconds",
    }  # fmt: skip
    assert (companies["inserted"], companies["rejected"], companies["documents_read"]) == (1, 1, 2)
    assert companies["watermark"] == NOW.isoformat(timespec="milliseconds") + "Z"
    assert printed["seconds"] > 0
    # What Dagit's timeline and its jobs' pages find a run by.
    with dg.DagsterInstance.get() as instance:
        [run] = instance.get_runs(
            dg.RunsFilter(job_name="mirror", tags={".dagster/repository": "__repository__@smartdiet"})
        )
    assert run.remote_job_origin is not None
    assert run.remote_job_origin.location_name == "smartdiet"


def test_sync_prints_a_line_per_table_and_a_second_sync_writes_nothing(source: Any) -> None:
    smartdiet_here("sync")
    result = smartdiet("sync")
    assert result.returncode == 0, result.stderr
    line = next(line for line in result.stdout.splitlines() if line.strip().startswith("companies"))
    inserted, updated, deleted, unchanged, rejected = line.split()[2:7]
    assert (inserted, updated, deleted, unchanged, rejected) == ("0", "0", "0", "1", "1")


def test_sync_of_one_table_runs_that_table_only(source: Any) -> None:
    printed = json.loads(smartdiet("sync", "companies", "--json").stdout)
    assert list(printed["tables"]) == ["companies"]


def test_sync_exits_1_when_a_table_failed_and_the_others_still_run(source: Any, postgres: psycopg.Connection) -> None:
    postgres.execute("CREATE TABLE companies (id INTEGER PRIMARY KEY)")
    result = smartdiet("sync", "--json")
    assert result.returncode == 1
    tables = json.loads(result.stdout)["tables"]
    assert "differs from its declaration" in tables["companies"]["error"]
    assert tables["users"]["error"].startswith("not run")
    assert "error" not in tables["recipes"]
    assert "integer" in result.stderr


def test_sync_makes_the_passes_that_older_parents_need(source: Any) -> None:
    old = datetime(2020, 1, 1)
    parent = ObjectId()
    source.companies.insert_one({"_id": parent, "name": "old", "creation_date": old, "update_date": old})
    source.users.insert_one({"company": parent, "creation_date": NOW, "update_date": NOW})
    printed = json.loads(smartdiet("sync", "--json", GLOBAL_DATE_THRESHOLD="2024-01-01").stdout)
    assert (printed["tables"]["users"]["rejected"], printed["tables"]["users"]["inserted"]) == (0, 2)


def test_sync_deletes_old_runs_once_a_day_and_prune_says_what_it_deleted(source: Any, tmp_path: Path) -> None:
    def age(*statements: str) -> None:
        with closing(sqlite3.connect(tmp_path / "dagster" / "history" / "runs.db", isolation_level=None)) as runs:
            for statement in ("UPDATE runs SET create_timestamp = '2020-01-01', end_time = 1.0", *statements):
                runs.execute(statement)

    def count() -> int:
        return len(list((tmp_path / "dagster" / "history" / "runs").glob("*-*.db")))

    for _ in range(2):
        assert smartdiet_here("sync", "--wait").returncode == 0
    age()
    smartdiet_here("sync", "--wait")
    assert count() == 3, "it looked this very day"
    age("UPDATE kvs SET value = '2020-01-01T00:00:00+00:00' WHERE key LIKE 'smartdiet/pruned/%'")
    smartdiet_here("sync", "--wait")
    assert count() == 1
    smartdiet_here("sync", "--wait")
    age()
    assert smartdiet_here("prune", SMARTDIET_PRUNE_AFTER_DAYS="0").stdout.startswith("No run is deleted")
    counted = smartdiet("prune", "--dry-run")
    assert (counted.returncode, counted.stdout.strip()) == (
        0, "1 runs would be deleted; 1 older than 7 days are kept.",
    )  # fmt: skip
    assert smartdiet_here("prune").stdout.strip() == "1 runs deleted; 1 older than 7 days are kept."
    assert count() == 1


def test_a_lost_position_in_the_change_stream_says_how_to_re_import_which_then_works(
    source: Any, postgres: psycopg.Connection, tmp_path: Path
) -> None:
    (tmp_path / "tables.yaml").write_text(TABLES + "collections:\n  companies: {capture: change_stream}\n")
    assert smartdiet_here("sync", "companies").returncode == 0
    postgres.execute("UPDATE smartdiet.sync_state SET change_position = replace(change_position, '_data', 'data')")

    failed = smartdiet("sync", "companies", "--json")

    assert failed.returncode == 1
    assert "smartdiet sync companies --full" in json.loads(failed.stdout)["tables"]["companies"]["error"]
    assert "Marked" not in failed.stdout + failed.stderr
    assert smartdiet("sync", "companies", "--full").returncode == 0
    source.companies.update_one({"name": "Acme"}, {"$set": {"name": "Acme & Co"}})
    assert json.loads(smartdiet_here("sync", "companies", "--json").stdout)["tables"]["companies"]["updated"] == 1
    lines = [line.split() for line in smartdiet_here("status").stdout.splitlines() if line.strip()]
    assert {line[0]: line[-1] for line in lines[2:]} == {
        "companies": "change_stream", "users": "dates", "recipes": "dates",
    }  # fmt: skip


def test_a_table_that_is_not_declared_is_one_sentence_with_a_suggestion(source: Any) -> None:
    result = smartdiet("sync", "companyes")
    assert result.returncode == 2
    error = " ".join(result.stderr.split())
    assert "no table companyes is declared in" in error
    assert "; did you mean companies?" in error
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "variables",
    [{"POSTGRES_PORT": "1"}, {"MONGODB_URL": "mongodb://user:wrong-secret@127.0.0.1:1/?directConnection=true"}],
)
def test_sync_without_a_server_says_so_at_once_instead_of_failing_table_by_table(
    source: Any, variables: dict[str, str]
) -> None:
    result = smartdiet("sync", "--json", CONNECT_TIMEOUT="2", **variables)
    assert result.returncode == 2
    assert "no server" in " ".join(result.stderr.split())
    assert "wrong-secret" not in result.stderr + result.stdout
    assert not result.stdout


@pytest.fixture
def with_matomo(source: Any, tmp_path: Path) -> Any:
    """The tables above, and the project's tables of Matomo in the file beside them."""
    ours = Path(__file__).parents[3] / "config" / "matomo_schemas.yaml"
    (tmp_path / "matomo_schemas.yaml").write_text(ours.read_text())
    return source


def test_sync_leaves_matomo_out_in_one_line_where_nothing_says_where_it_is(with_matomo: Any) -> None:
    result = smartdiet("sync", "--json", COLUMNS="200")
    assert result.returncode == 0, result.stderr
    assert list(json.loads(result.stdout)["tables"]) == ["companies", "users", "recipes"]
    [line] = [line for line in result.stderr.splitlines() if "Matomo" in line]
    assert line.endswith("neither MATOMO_HOST nor MATOMO_DATABASE is set.")


def test_a_table_of_matomo_that_is_named_runs_and_says_what_is_missing(with_matomo: Any) -> None:
    result = smartdiet("sync", "matomo_log_action", MATOMO_PORT="1", COLUMNS="300")
    assert result.returncode == 2
    assert "no server answers; check it, MATOMO_HOST and MATOMO_PORT" in result.stderr


def test_a_source_that_is_away_fails_its_own_tables_and_not_the_others(with_matomo: Any) -> None:
    result = smartdiet("sync", "--json", MATOMO_HOST="127.0.0.1", MATOMO_PORT="1", RETRY_DELAY="0")
    assert result.returncode == 1
    tables = json.loads(result.stdout)["tables"]
    failed = {name for name, table in tables.items() if "error" in table}
    assert failed == {name for name in tables if name.startswith("matomo_")} != set()
    assert tables["companies"]["inserted"] == 1
    assert "no server answers" in tables["matomo_log_visit"]["error"]


def test_sync_mirrors_matomo_where_it_is_configured(
    with_matomo: Any, matomo_database: str, mariadb_server: EmbeddedMariaDB
) -> None:
    with mariadb_server.connect(matomo_database) as connection:
        create_matomo_tables(connection)
        counts = write_analytics(connection, seed=1, scale=0.0002)
    result = smartdiet(
        "sync", "--json", MATOMO_HOST=mariadb_server.host, MATOMO_PORT=str(mariadb_server.port),
        MATOMO_DATABASE=matomo_database, MATOMO_USER=mariadb_server.user, MATOMO_PASSWORD=mariadb_server.password,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    tables = json.loads(result.stdout)["tables"]
    assert {name: table["inserted"] for name, table in tables.items() if name in counts} == counts
