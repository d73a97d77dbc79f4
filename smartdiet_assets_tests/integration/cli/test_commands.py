"""`smartdiet` as a user meets it: what every command has in common, and the ones that only show something."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from smartdiet_assets_tests.integration.cli.companies import NOW
from smartdiet_assets_tests.support.older_records import FIRST, age
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


def read_metrics() -> dict[tuple[str, str], float]:
    """What Prometheus reads of `smartdiet status`: by metric, without the first word, and table."""
    shown = smartdiet_here("status", "--format", "prometheus")
    assert shown.returncode == 0, shown.stderr
    samples = [sample for family in text_string_to_metric_families(shown.stdout) for sample in family.samples]
    assert {sample.labels["schema"] for sample in samples} <= {"public"}
    return {(sample.name.removeprefix("smartdiet_table_"), sample.labels["table"]): sample.value for sample in samples}


def test_status_tells_prometheus_what_the_records_know(source: Any, postgres: psycopg.Connection) -> None:
    assert read_metrics() == {}
    began = time.time()
    smartdiet_here("sync")
    found = read_metrics()
    assert {table for _, table in found} == {"companies", "users", "recipes"}
    assert (found["rows", "companies"], found["rejected_documents", "companies"]) == (1, 1)
    assert (found["last_run_documents_read", "companies"], found["rejected_documents", "users"]) == (2, 0)
    assert found["watermark_timestamp_seconds", "companies"] == NOW.replace(tzinfo=UTC).timestamp()
    assert ("watermark_timestamp_seconds", "recipes") not in found
    for table in ("companies", "users", "recipes"):
        assert began - 1 <= found["last_success_timestamp_seconds", table] <= time.time() + 1
        assert 0 < found["last_run_duration_seconds", table] < 60
        assert 0 <= found["lag_seconds", table] < 60
    # One that reads the same again says how long it took, too.
    postgres.execute("UPDATE smartdiet.sync_state SET seconds = 1000")
    smartdiet_here("sync")
    assert all(0 < read_metrics()["last_run_duration_seconds", table] < 60 for table in ("companies", "users"))


def test_metrics_are_read_of_the_records_of_an_earlier_version(synced: Any, postgres: psycopg.Connection) -> None:
    age(postgres, FIRST)
    found = read_metrics()
    assert found["last_run_documents_read", "companies"] == 2
    assert not [name for name, _ in found if name == "last_run_duration_seconds"]
    assert [name for name, _ in found].count("rows") == 3


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
