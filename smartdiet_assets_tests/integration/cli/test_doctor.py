"""`smartdiet doctor`: a line for each thing looked at, one JSON object for scripts, and exit code 1 for a failure."""

import json
from typing import Any

import psycopg
import pytest

from smartdiet_assets_tests.support.running import smartdiet
from smartdiet_assets_tests.support.webhook_server import serve_webhook

SECRET = "wrong-s3cret"


@pytest.fixture
def source(source: Any) -> Any:
    """The source of the command line's tests, with every collection that is declared."""
    source.create_collection("recipes")
    return source


def test_a_warning_is_a_line_with_its_statements_below_and_exits_0(synced: Any) -> None:
    result = smartdiet("doctor")
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    [at] = [number for number, line in enumerate(lines) if line.startswith("! MongoDB indexes")]
    assert lines[at + 1] == '    db.getCollection("companies").createIndex({"update_date": 1})'
    assert {line[0] for line in lines[:-1]} == {"✓", "!", " "}
    assert lines[-1] == "Nothing keeps the mirror from running; 1 warning."
    assert "Marked" not in result.stdout


def test_a_failure_exits_1_and_one_away_server_does_not_hide_the_others(
    synced: Any, postgres: psycopg.Connection
) -> None:
    postgres.execute("ALTER TABLE users ADD COLUMN extra INTEGER")
    url = f"mongodb://reader:{SECRET}@127.0.0.1:1/"
    result = smartdiet("doctor", MONGODB_URL=url, CONNECT_TIMEOUT="2", COLUMNS="40")
    assert result.returncode == 1
    failed = [line for line in result.stdout.splitlines() if line.startswith("✗")]
    assert [line[2:25].strip() for line in failed] == ["MongoDB connection", "PostgreSQL tables"]
    assert "no server answers" in failed[0]
    assert [line for line in result.stdout.splitlines() if line.startswith("–")]
    assert "✓ PostgreSQL rights" in result.stdout
    assert result.stdout.splitlines()[-1] == "2 failed, 0 warnings."
    assert SECRET not in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_a_test_message_is_sent_where_alerts_go_and_what_came_back_is_said(synced: Any) -> None:
    with serve_webhook() as server:
        assert smartdiet("doctor", SMARTDIET_ALERT_URL=server.url).returncode == 0
        assert server.take() == []
        done = smartdiet("doctor", "--alert", SMARTDIET_ALERT_URL=server.url)
        [line] = [line for line in done.stdout.splitlines() if "Alerts webhook" in line]
        assert line.endswith(
            "A test message was taken, in the form json, by its URL (SMARTDIET_ALERT_FORM says otherwise where that is"
            " wrong): HTTP 200 (ok)."
        )
        assert line[0] == "✓"
        assert done.returncode == 0
        [body] = server.take()
        assert body["state"] == "test"
        server.status, server.text = 404, "no_service"
        done = smartdiet("doctor", "--alert", SMARTDIET_ALERT_URL=server.url, SMARTDIET_ALERT_FORM="slack")
        assert "was not taken: Slack answered HTTP 404 (no_service)" in done.stdout
        assert done.returncode == 1
        assert "Marked-Webhook" not in done.stdout + done.stderr
    assert "set SMARTDIET_ALERT_URL to the URL of a webhook" in smartdiet("doctor", "--alert").stdout
    done = smartdiet("doctor", "--alert", SMARTDIET_ALERT_URL="ftp://Marked")
    assert "– Alerts webhook" in done.stdout
    assert "ftp" not in done.stdout


def test_json_is_one_object_with_every_finding(synced: Any) -> None:
    result = smartdiet("doctor", "--json", POSTGRES_PASSWORD=SECRET)
    assert result.returncode == 1
    printed = json.loads(result.stdout)
    assert set(printed) == {"findings", "failed", "warnings", "not_examined", "seconds"}
    assert (printed["failed"], printed["warnings"], printed["not_examined"]) == (1, 1, 1)
    for finding in printed["findings"]:
        assert set(finding) == {"part", "check", "status", "sentence", "details", "statements"}
        assert finding["status"] in ("passed", "warning", "failed", "not_examined")
    [failed] = [finding for finding in printed["findings"] if finding["status"] == "failed"]
    assert (failed["part"], failed["check"]) == ("postgres", "connection")
    [warned] = [finding for finding in printed["findings"] if finding["status"] == "warning"]
    assert len(warned["statements"]) == 6
    assert SECRET not in result.stdout + result.stderr


def test_a_schema_file_and_a_variable_that_cannot_be_used_are_lines_and_no_end(synced: Any) -> None:
    result = smartdiet("doctor", BATCH_SIZE="many", SMARTDIET_SCHEMAS="/nowhere.yaml")
    assert result.returncode == 1
    assert "✗ Settings variables" in result.stdout
    assert "✗ Schema files" in result.stdout
    assert "✓ PostgreSQL connection" in result.stdout
    assert "many" not in result.stdout


def test_nothing_that_could_be_examined_exits_2(synced: Any, tmp_path: Any) -> None:
    (tmp_path / ".env").write_bytes(b"\xff")
    assert smartdiet("doctor").returncode == 2
