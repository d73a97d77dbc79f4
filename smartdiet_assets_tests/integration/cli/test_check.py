"""`smartdiet check`: a table for people, an object for scripts, and exit code 1 for what is more than a warning."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from smartdiet_assets.checks.outcome import KINDS
from smartdiet_assets.mirror.spool import Spool
from smartdiet_assets_tests.support.running import smartdiet, smartdiet_here


def test_warnings_are_shown_and_exit_0(synced: Any) -> None:
    result = smartdiet("check", COLUMNS="140")
    assert result.returncode == 0, result.stdout + result.stderr
    [line] = [line for line in result.stdout.splitlines() if line.strip().startswith("companies ")]
    assert (line.count("✓"), line.count("!"), line.count("✗")) == (len(KINDS) - 1, 1, 0)
    assert "smartdiet rejects companies" in " ".join(result.stdout.split())


def test_an_error_exits_1_and_json_has_the_numbers(synced: Any, postgres: psycopg.Connection) -> None:
    postgres.execute("DELETE FROM users")
    result = smartdiet("check", "users", "--json", "--all")
    assert result.returncode == 1, result.stderr
    printed = json.loads(result.stdout)
    assert list(printed["tables"]) == ["users"]
    assert list(printed["tables"]["users"]) == list(KINDS)
    rows = printed["tables"]["users"]["rows_match_source"]
    assert (rows["passed"], rows["severity"], rows["numbers"]["missing"]) == (False, "ERROR", 1)
    assert (printed["errors"], printed["warnings"]) == (2, 0)
    assert "Marked" not in result.stdout


def test_what_is_found_and_is_news_is_a_run_of_the_checks_in_dagster(synced: Any, postgres: psycopg.Connection) -> None:
    def check() -> dict[str, bool]:
        """Check, and read what the newest run recorded by table."""
        smartdiet_here("check", "--wait")
        with dg.DagsterInstance.get() as instance:
            runs = instance.get_runs()
            assert {(run.job_name, run.status.value) for run in runs} == {("checks", "SUCCESS")}
            entries = instance.all_logs(runs[0].run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
            found = [entry.get_dagster_event().asset_check_evaluation_data for entry in entries]
            return {f"{one.asset_key.to_user_string()}.{one.check_name}": one.passed for one in found} | {
                "": len(runs) > 1
            }

    first = check()
    assert set(first) == {"", *(f"{table}.{kind}" for table in ("companies", "users", "recipes") for kind in KINDS)}
    assert [name for name, passed in first.items() if name and not passed] == ["companies.no_rejects"]
    assert check() == first, "nothing new, no other run"
    postgres.execute("DELETE FROM users")
    assert check() == {"": True, "users.rows_match_source": False, "users.content_matches": False}


def test_nobody_waits_until_dagster_has_it(synced: Any, tmp_path: Path) -> None:
    smartdiet_here("check", "companies")
    spool = Spool(tmp_path / "dagster")
    assert len(spool.list_files()) == 1
    (spool.folder / "01-1.checks").write_text('{"outcomes": [{}]}')
    said = smartdiet_here("check", "users", "--wait").stderr
    assert "cannot be read as a run of this version" in " ".join(said.split())
    with dg.DagsterInstance.get() as instance:
        newer, older = instance.get_runs()
        found = [
            {
                entry.get_dagster_event().asset_check_evaluation_data.asset_key.to_user_string()
                for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
            }
            for run in (older, newer)
        ]
    assert found == [{"companies"}, {"users"}]
    assert [file.path.name for file in spool.list_files()] == ["01-1.checks"]


def test_without_a_dagster_instance_none_is_made(synced: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME")
    monkeypatch.chdir(tmp_path)
    assert smartdiet_here("check").returncode == 0
    assert not (tmp_path / ".dagster").exists()


def test_a_server_that_is_away_is_a_sentence_and_exits_1(synced: Any) -> None:
    result = smartdiet("check", POSTGRES_PORT="1", COLUMNS="200")
    assert result.returncode == 1
    assert result.stdout.count("no server answers") == 1
    assert "Traceback" not in result.stderr


def test_a_sample_of_everything_is_refused(synced: Any) -> None:
    assert smartdiet("check", "--all", "--sample", "5").returncode == 2
