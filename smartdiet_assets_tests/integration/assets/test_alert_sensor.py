"""The sensor that tells somebody: of failed runs and checks, rejects, stale tables and servers, as they really are."""

import logging
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import create_server
from threading import Thread
from typing import Any

import dagster as dg
import psycopg
import pytest
from pymongo.errors import (
    AutoReconnect,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from smartdiet_assets.assets.alerts.observation import _tells_away, observe_age, observe_records
from smartdiet_assets.assets.alerts.sensor import ALERT_SENSOR, EMAIL_SENSOR
from smartdiet_assets.assets.alerts.state import AlertState
from smartdiet_assets.assets.check_history import record_outcomes
from smartdiet_assets.assets.naming import build_plain_names
from smartdiet_assets.checks.judgement import judge_away
from smartdiet_assets.checks.outcome import CheckOutcome, Severity
from smartdiet_assets.definitions import build_definitions
from smartdiet_assets.errors import ForwardingFailedError, ServerUnreachableError
from smartdiet_assets.resources.environment import read_environment
from smartdiet_assets.resources.mongo import build_mongo_resource
from smartdiet_assets.resources.mongo_errors import translate_mongo_error
from smartdiet_assets.resources.postgres import build_postgres_resource
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.integration.assets.sensing import COLLECTIONS, NOW, TABLES, Sensing
from smartdiet_assets_tests.support.running import smartdiet_here
from smartdiet_assets_tests.support.tls import Authority
from smartdiet_assets_tests.support.webhook_server import WebhookServer, serve_webhook

SECRET = "Marked-Webhook-1a2B"
MARK = "Marked-Value-Too-Long-For-It"
LIMITED = TABLES.replace("  companies:\n", "  companies:\n    max_rejects: 1\n")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebhookServer]:
    """A webhook, which the variables name."""
    with serve_webhook() as served:
        monkeypatch.setenv("SMARTDIET_ALERT_URL", served.url)
        yield served


@pytest.fixture
def alerting(
    tmp_path: Path,
    mongo_database: Any,
    configured_servers: None,
    server: WebhookServer,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Sensing]:
    """The sensor on four tables, in an instance that `smartdiet sync` records in, which has looked once."""
    monkeypatch.setenv("SMARTDIET_SCHEMAS", str(tmp_path / "schemas.yaml"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    smartdiet_here("home")
    with dg.DagsterInstance.from_config(str(tmp_path / "dagster")) as instance:
        made = Sensing(tmp_path / "schemas.yaml", mongo_database, instance, ALERT_SENSOR)
        made.declare(LIMITED)
        made.index(*COLLECTIONS)
        made.add("companies", NOW - timedelta(hours=1), name="x")
        assert made.skip() == "Nothing is wrong."
        yield made


def sync(*arguments: str) -> int:
    """Run `smartdiet sync`, as cron does, until it is recorded."""
    return smartdiet_here("sync", "--wait", *arguments).returncode


def told(server: WebhookServer) -> list[tuple[str, str, list[str]]]:
    """What came since the last time: state, kind, subjects."""
    return [(body["state"], body["kind"], body["subjects"]) for body in server.take()]


def test_a_sync_of_cron_that_fails_is_told_once_and_once_when_it_is_over(
    alerting: Sensing, server: WebhookServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for _ in range(2):
        alerting.add("companies", name=MARK)
    for _ in range(2):
        assert sync() == 1
        assert alerting.skip() == "1 thing is wrong."
    [body] = server.take()
    assert (body["state"], body["kind"], body["subjects"]) == ("problem", "run", ["companies"])
    assert body["title"].endswith(": A run failed: companies")
    assert "2 documents would be rejected (0 before this run), more than its max_rejects of 1" in body["lines"][0]
    assert "Repair the documents at the source" in body["lines"][0]
    alerting.source.companies.delete_many({"name": MARK})
    assert sync() == 0
    assert alerting.skip() == "Nothing is wrong."
    assert alerting.skip() == "Nothing is wrong."
    assert told(server) == [("over", "run", ["companies"])]
    # What the drivers themselves log at this level nobody sees.
    logged = [record.getMessage() for record in caplog.records if not record.name.startswith("pymongo")]
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in (SECRET, MARK):
        assert secret not in f"{body} {alerting.cursor} {logged}"
        assert secret.encode() not in kept
    assert SECRET not in repr(alerting.definitions.sensors)


def test_rejects_beyond_their_limit_are_told(alerting: Sensing, server: WebhookServer) -> None:
    alerting.declare(TABLES)
    for _ in range(2):
        alerting.add("companies", name=MARK)
    assert sync() == 0
    alerting.declare(LIMITED)
    for _ in range(2):
        alerting.skip()
    [body] = server.take()
    assert (body["state"], body["kind"], body["subjects"]) == ("problem", "rejects", ["companies"])
    assert (
        "2 documents are rejected, more than max_rejects (1) allows: `smartdiet rejects companies`" in body["lines"][0]
    )
    alerting.source.companies.delete_one({"name": MARK})
    assert sync("--full") == 0
    alerting.skip()
    assert told(server) == [("over", "rejects", ["companies"])]


def test_a_check_that_fails_with_an_error_is_told_and_a_warning_is_not(
    alerting: Sensing, server: WebhookServer
) -> None:
    schema = load_schema(alerting.path)

    def tell(outcome: CheckOutcome) -> None:
        record_outcomes(schema, alerting.instance, [outcome])
        alerting.skip()

    def record(kind: str, passed: bool, severity: Severity = "ERROR") -> None:
        tell(CheckOutcome("users", kind, passed, "12 documents differ: do something.", severity))

    # That a server is away is told by itself, once.
    tell(judge_away(schema.tables["users"], "rows_match_source", ServerUnreachableError("no server answers")))

    record("content_matches", False)
    record("content_matches", False)
    record("no_rejects", False, "WARN")
    # What the records say at once is not told a second time.
    record("rejects_under_limit", False)
    [body] = server.take()
    assert body["title"].endswith(": A check failed: content_matches of users")
    assert body["lines"] == ["content_matches of users: 12 documents differ: do something."]
    record("content_matches", False, "WARN")
    assert told(server) == [("over", "check", ["content_matches of users"])]


def test_tables_are_stale_whose_changes_wait_and_no_others(
    alerting: Sensing, server: WebhookServer, postgres: psycopg.Connection[Any]
) -> None:
    assert sync() == 0
    # Twice max_delay is four hours. Of a table nobody changes the last run may be as old as it likes.
    postgres.execute("UPDATE smartdiet.sync_state SET updated_at = now() - interval '5 hours'")
    postgres.execute("UPDATE smartdiet.sync_state SET watermark = now() AT TIME ZONE 'UTC' - interval '5 hours'")
    alerting.add("notes", NOW - timedelta(hours=4, minutes=30), text="late")
    alerting.add("users", NOW - timedelta(hours=3), email="not yet")
    alerting.source.companies.delete_many({})
    for _ in range(2):
        alerting.skip()
    [body] = server.take()
    assert (body["state"], body["kind"], body["subjects"]) == ("problem", "stale", ["notes"])
    assert "run `smartdiet sync notes`, and see why the sensor or schedule did not" in body["lines"][0]
    assert sync() == 0
    alerting.skip()
    assert told(server) == [("over", "stale", ["notes"])]


def test_a_server_that_does_not_answer_the_sensor_is_away_after_a_while(alerting: Sensing) -> None:
    schema, now, state = load_schema(alerting.path), datetime.now(UTC), AlertState()
    environment = read_environment()
    away = environment.model_copy(update={"postgres_port": 1, "postgres_password": SECRET})
    with build_postgres_resource(environment).open() as postgres, build_postgres_resource(away).open() as lost:
        for minutes in (0, 4, 6, 20):
            state, metrics = observe_records(
                state, schema, build_plain_names(schema), ["users"], lost, now + timedelta(minutes=minutes)
            )
            assert not metrics
            assert len(state.pending) == (minutes >= 5)
        [message] = state.pending
        assert message.title == "A server is away: PostgreSQL"
        assert "no server answers" in message.lines[0]
        assert SECRET not in state.model_dump_json()
        state, _ = observe_records(
            state, schema, build_plain_names(schema), ["users"], postgres, now + timedelta(minutes=21)
        )
        assert [message.moment for message in state.pending] == ["problem", "over"]
        assert not state.away


def test_a_mongodb_that_does_not_answer_is_noticed_where_tables_have_not_run_for_long(
    alerting: Sensing, postgres: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sensor on change volume skips its ticks then, and no run fails."""
    assert sync() == 0
    postgres.execute("UPDATE smartdiet.sync_state SET updated_at = now() - interval '5 hours'")
    schema, now, state = load_schema(alerting.path), datetime.now(UTC), AlertState()
    environment = read_environment()
    with build_postgres_resource(environment).open() as target:
        _, metrics = observe_records(state, schema, build_plain_names(schema), list(schema.tables), target, now)
    monkeypatch.setenv("MONGODB_URL", f"mongodb://reader:{SECRET}@127.0.0.1:1/")
    monkeypatch.setenv("CONNECT_TIMEOUT", "2")
    names = build_plain_names(schema)
    with build_mongo_resource(read_environment()).open() as mongo:
        for minutes, asked in ((0, 0), (4, 0), (6, 6), (7, 6)):
            state = observe_age(state, schema, names, metrics, mongo, now + timedelta(minutes=minutes))
            assert state.asked == now + timedelta(minutes=asked), "it is not asked more often while it is away"
            assert len(state.pending) == (minutes >= 6)
    assert [(message.kind, message.title) for message in state.pending] == [("server", "A server is away: MongoDB")]
    assert SECRET not in state.model_dump_json()


@pytest.mark.parametrize(
    "error",
    [OperationFailure("no", 13), NetworkTimeout("slow"), ExecutionTimeout("slow", 50), OperationFailure("no", 2)],
)
def test_a_mongodb_that_refuses_or_is_slow_is_not_away(error: PyMongoError) -> None:
    assert not _tells_away(error, translate_mongo_error(error, "asking"))


@pytest.mark.parametrize(
    "error", [ServerSelectionTimeoutError("gone"), AutoReconnect("lost"), ForwardingFailedError("no way")]
)
def test_a_mongodb_that_nobody_reaches_is_away(error: Exception) -> None:
    assert _tells_away(error, translate_mongo_error(error, "asking"))


def test_a_table_that_is_not_declared_any_more_is_not_wrong_any_more(alerting: Sensing, server: WebhookServer) -> None:
    for _ in range(2):
        alerting.add("companies", name=MARK)
    assert sync() == 1
    alerting.skip()
    start = TABLES.index("  notes:")
    alerting.declare("tables:\n" + TABLES[start:])
    alerting.skip()
    assert [state for state, *_ in told(server)] == ["problem", "over"]


def test_a_dead_webhook_is_said_and_forgets_nothing(alerting: Sensing, server: WebhookServer) -> None:
    server.stop()
    for _ in range(2):
        alerting.add("companies", name=MARK)
    sync()
    said = alerting.skip()
    assert said.startswith("1 thing is wrong. 1 message waits and will be tried again at ")
    assert said.endswith("the webhook could not be reached (Connection refused).")
    assert SECRET not in said
    alerting.source.companies.delete_many({"name": MARK})
    sync()
    assert alerting.skip().startswith("Nothing is wrong. 2 messages wait ")
    server.start()
    assert alerting.skip().startswith("Nothing is wrong. 2 messages wait "), "it is asked again in a while"
    # Whoever starts the sensor anew has mended it.
    alerting.started += 1
    assert alerting.skip() == "Nothing is wrong."
    assert [state for state, *_ in told(server)] == ["problem", "over"]


def test_without_a_url_nothing_is_looked_at(alerting: Sensing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMARTDIET_ALERT_URL", "")
    monkeypatch.setenv("POSTGRES_PORT", "1")
    assert "SMARTDIET_ALERT_URL is not set" in alerting.skip()


@contextmanager
def serve_mail(folder: Path) -> Iterator[tuple[int, Path, list[str]]]:
    """Serve one e-mail by SMTP over TLS: the port, the authority's certificate, and the lines that came."""
    authority = Authority(folder)
    issued = authority.issue("mail", "127.0.0.1")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(issued.certificate, issued.key)
    lines: list[str] = []

    def take(listener: Any) -> None:
        with listener.accept()[0] as plain, tls.wrap_socket(plain, server_side=True) as connection:
            stream = connection.makefile("rwb", buffering=0)
            stream.write(b"220 mail\r\n")
            inside = False
            for raw in stream:
                lines.append(line := raw.decode().rstrip())
                if inside:
                    inside = line != "."
                    answer = b"" if inside else b"250 taken\r\n"
                else:
                    inside = line == "DATA" or line.lower() == "data"
                    answers = {
                        "EHLO": b"250-mail\r\n250 AUTH PLAIN\r\n",
                        "AUTH": b"235 in\r\n",
                        "DATA": b"354 go\r\n",
                        "QUIT": b"221 bye\r\n",
                    }
                    answer = answers.get(line[:4].upper(), b"250 ok\r\n")
                stream.write(answer)

    with closing(create_server(("127.0.0.1", 0))) as listener:
        thread = Thread(target=take, args=(listener,), daemon=True)
        thread.start()
        yield listener.getsockname()[1], authority.file, lines


def test_the_e_mail_of_a_failed_run_has_our_sentence(
    alerting: Sensing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        alerting.add("companies", name=MARK)
    with serve_mail(tmp_path) as (port, authority, lines):
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        settings = {"TO": "ops@example.org", "FROM": "mirror@example.org", "HOST": "127.0.0.1", "PASSWORD": SECRET}
        for name, value in {**settings, "PORT": str(port)}.items():
            monkeypatch.setenv(f"SMARTDIET_ALERT_EMAIL_{name}", value)
        definitions = build_definitions(load_schema(alerting.path), read_environment())
        repository = definitions.get_repository_def()
        sensor = repository.get_sensor_def(EMAIL_SENSOR)
        assert sensor.default_status == dg.DefaultSensorStatus.STOPPED
        job = definitions.resolve_job_def("mirror")
        assert job.partitions_def is not None
        result = job.execute_in_process(
            instance=alerting.instance, partition_key=job.partitions_def.get_last_partition_key(), raise_on_error=False
        )
        assert not result.success
        failure = next(event for event in result.all_events if event.event_type_value == "PIPELINE_FAILURE")
        context = dg.build_run_status_sensor_context(
            sensor_name=EMAIL_SENSOR,
            dagster_instance=alerting.instance,
            dagster_run=result.dagster_run,
            dagster_event=failure,
        ).for_run_failure()
        sensor(context)
    text = "\n".join(lines)
    assert "Subject: smartdiet: a run of mirror failed" in text
    assert "companies: 2 documents would be rejected" in text
    assert MARK not in text
    assert SECRET not in text
