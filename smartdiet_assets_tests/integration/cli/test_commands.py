"""`smartdiet` as a user meets it: what every command has in common, and the ones that only show something."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from smartdiet_assets_tests.integration.cli.companies import NOW
from smartdiet_assets_tests.support.running import smartdiet, smartdiet_here


def test_status_lists_watermark_rows_and_rejects(source: Any) -> None:
    before = smartdiet("status")
    assert before.returncode == 0, before.stderr
    smartdiet_here("sync")
    lines = {line.split()[0]: line.split() for line in smartdiet_here("status").stdout.splitlines() if line.strip()}
    assert lines["companies"][1:4] == ["1", "1", str(NOW.date())]
    assert lines["recipes"][1:4] == ["0", "0", "-"]


def test_rejects_lists_what_was_not_loaded_and_never_its_value(source: Any) -> None:
    assert "Nothing is rejected" in smartdiet("rejects").stdout
    smartdiet_here("sync")
    result = smartdiet("rejects", "companies")
    assert "too_long" in result.stdout
    assert "name" in result.stdout
    assert "Marked" not in result.stdout + result.stderr


def test_status_and_rejects_as_json_tell_a_script_the_same(source: Any) -> None:
    smartdiet_here("sync")
    tables = {table["table"]: table for table in json.loads(smartdiet_here("status", "--json").stdout)["tables"]}
    assert (tables["companies"]["rows"], tables["companies"]["rejected"]) == (1, 1)
    assert datetime.fromisoformat(tables["companies"]["watermark"]) == NOW.replace(tzinfo=UTC)
    assert tables["recipes"]["watermark"] is None
    found = smartdiet_here("rejects", "companies", "--json")
    assert [(row["table_name"], row["reason"]) for row in json.loads(found.stdout)["rejects"]] == [
        ("companies", "too_long")
    ]
    assert json.loads(found.stdout)["more"] is False
    assert "Marked" not in found.stdout
    assert json.loads(smartdiet_here("rejects", "recipes", "--json").stdout) == {"rejects": [], "more": False}


def test_no_command_is_described_by_half_a_sentence() -> None:
    assert "..." not in smartdiet("--help").stdout.partition("Commands:")[2]


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"POSTGRES_PASSWORD": "wrong-secret"}, "password"),
        ({"POSTGRES_DATABASE": "nowhere"}, "no such database"),
        ({"POSTGRES_PORT": "1"}, "no server"),
        ({"BATCH_SIZE": "many"}, "BATCH_SIZE must be"),
        ({"SMARTDIET_SCHEMAS": "/nowhere.yaml"}, "/nowhere.yaml"),
    ],
)
def test_a_wrong_setting_is_one_sentence_without_secrets(source: Any, variables: dict[str, str], sentence: str) -> None:
    result = smartdiet("status", **variables)
    assert result.returncode == 2
    assert sentence in " ".join(result.stderr.split())
    assert "wrong-secret" not in result.stderr + result.stdout
    assert "Traceback" not in result.stderr


def test_a_path_in_an_error_is_not_broken_by_a_narrow_terminal(source: Any, tmp_path: Path) -> None:
    missing = tmp_path / "a folder that is not there" / "schemas.yaml"
    assert str(missing) in smartdiet("status", SMARTDIET_SCHEMAS=str(missing), COLUMNS="20").stderr


def test_a_folder_of_runs_that_cannot_be_made_is_one_sentence(source: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = smartdiet("home", DAGSTER_HOME=str(tmp_path / "file" / "dagster"))
    assert result.returncode == 2
    assert "cannot be used: Not a directory; set DAGSTER_HOME" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    "arguments", [["demo", "--scale", "0"], ["demo", "--port", "99999"], ["rejects", "--limit", "-1"]]
)
def test_a_number_out_of_range_is_refused_before_anything_starts(source: Any, arguments: list[str]) -> None:
    result = smartdiet(*arguments)
    assert result.returncode == 2
    assert "is not in the range" in " ".join(result.stderr.split())


def test_home_prepares_the_folder_that_dagsters_own_commands_share_and_prints_it(source: Any, tmp_path: Path) -> None:
    printed = smartdiet("home")
    assert (printed.returncode, printed.stdout) == (0, f"{tmp_path / 'dagster'}\n")
    settings = tmp_path / "dagster" / "dagster.yaml"
    assert settings.read_text() == (Path(__file__).parents[3] / "config" / "dagster.yaml").read_text()
    settings.write_text("telemetry: {enabled: false}\n")
    refused = smartdiet("home", SMARTDIET_DAGSTER_POSTGRES_URL="postgresql://dagster:s3cret@db/dagster")
    assert refused.returncode == 2
    assert "does not name the storage that reads it" in " ".join(refused.stderr.split())
    assert "s3cret" not in refused.stdout + refused.stderr
