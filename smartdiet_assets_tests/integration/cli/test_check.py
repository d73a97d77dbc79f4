"""`smartdiet check`: a table for people, an object for scripts, and exit code 1 for what is more than a warning."""

import json
from typing import Any

import psycopg

from smartdiet_assets.checks.outcome import KINDS
from smartdiet_assets_tests.integration.cli.running import smartdiet


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


def test_a_server_that_is_away_is_a_sentence_and_exits_1(synced: Any) -> None:
    result = smartdiet("check", POSTGRES_PORT="1", COLUMNS="200")
    assert result.returncode == 1
    assert result.stdout.count("no server answers") == 1
    assert "Traceback" not in result.stderr


def test_a_sample_of_everything_is_refused(synced: Any) -> None:
    assert smartdiet("check", "--all", "--sample", "5").returncode == 2
