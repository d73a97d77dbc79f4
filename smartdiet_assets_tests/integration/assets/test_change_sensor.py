"""When the sensor asks for a run, for which tables, and what it says when it does not."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from bson import Timestamp
from dagster._core.test_utils import create_run_for_test

from smartdiet_assets.assets.jobs import build_tags
from smartdiet_assets.demo.company import write_company
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.integration.assets.sensing import COLLECTIONS, NOW, TABLES, Sensing, tables_of

CONFIG = Path(__file__).parents[3] / "config" / "schemas.yaml"


@pytest.fixture
def sensing(tmp_path: Path, mongo_database: Any, configured_servers: None) -> Iterator[Sensing]:
    """The sensor on four tables of three indexed collections, which no run has mirrored yet."""
    with dg.DagsterInstance.ephemeral() as instance:
        made = Sensing(tmp_path / "schemas.yaml", mongo_database, instance)
        made.declare(TABLES)
        made.index(*COLLECTIONS)
        for collection in COLLECTIONS:
            made.add(collection, NOW - timedelta(hours=1), name="x")
        yield made


@pytest.fixture
def mirrored(sensing: Sensing) -> Sensing:
    """The same after the first load."""
    sensing.sync()
    return sensing


def test_tables_that_never_ran_are_asked_for_once_and_together(sensing: Sensing) -> None:
    request = sensing.sync()
    assert tables_of(request) == ["companies", "users", "user_events", "notes"]
    assert request.partition_key == NOW.strftime("%Y-%m-01")
    assert sensing.skip() == "Nothing is due.\n3 collections have no change."


def test_an_empty_collection_is_asked_for_once_too(sensing: Sensing) -> None:
    sensing.source.notes.delete_many({})
    sensing.sync()
    assert "Nothing is due." in sensing.skip()
    sensing.add("notes")
    assert tables_of(sensing.sync()) == ["notes"]
    assert "Nothing is due." in sensing.skip()


def test_below_the_threshold_nothing_is_asked_for_and_the_numbers_are_said(mirrored: Sensing) -> None:
    for _ in range(2):
        mirrored.add("users")
    # Dagit shows them as one paragraph: each is a sentence.
    first, users, others = mirrored.skip().splitlines()
    assert first == "Nothing is due."
    assert re.fullmatch(r"users: 2 changed, the oldest .* ago; a run is due after 2 or 2 h\.", users)
    assert others == "2 collections have no change."


def test_above_the_threshold_the_collections_tables_run_and_what_depends_on_them(mirrored: Sensing) -> None:
    for _ in range(3):
        mirrored.add("companies", name="x")
    mirrored.add("notes")
    request = mirrored.sync()
    assert tables_of(request) == ["companies", "users", "user_events"]
    assert request.tags["smartdiet/reason"] == "companies: at least 3 changed documents, more than 2"
    assert request.tags["smartdiet/source"] == "mongodb"
    assert "notes: 1 changed" in mirrored.skip()


def test_several_collections_at_once_are_one_run(mirrored: Sensing) -> None:
    for collection in ("users", "notes"):
        for _ in range(3):
            mirrored.add(collection)
    request = mirrored.sync()
    assert tables_of(request) == ["users", "user_events", "notes"]
    assert request.tags["smartdiet/reason"].startswith("users: at least 3 changed documents, more than 2; notes: ")


def test_an_edited_document_counts_once_and_one_without_an_edit_by_its_creation(mirrored: Sensing) -> None:
    known = mirrored.source.notes.find_one({})
    assert known is not None
    mirrored.source.notes.update_one({"_id": known["_id"]}, {"$set": {"update_date": NOW}})
    mirrored.source.notes.insert_one({"creation_date": NOW})
    assert "notes: 2 changed" in mirrored.skip()
    # Without any date, the time in its ObjectId tells.
    mirrored.source.notes.insert_one({"text": "x"})
    assert mirrored.ask().tags["smartdiet/reason"].startswith("notes: ")


def test_a_share_is_of_the_collection(sensing: Sensing) -> None:
    sensing.declare(TABLES.replace("sync_after: 2", "sync_after: 50%"))
    for _ in range(3):
        sensing.add("notes", NOW - timedelta(hours=1))
    sensing.sync()
    # 4 documents were there. 4 of 8 are half of them, 5 of 9 are more.
    for _ in range(4):
        sensing.add("notes")
    assert re.search("notes: 4 changed, .* due after 50% or", sensing.skip())
    sensing.add("notes")
    assert sensing.ask().tags["smartdiet/reason"] == "notes: at least 5 changed documents, more than 50%"


def test_an_old_change_is_enough_whatever_the_threshold(sensing: Sensing) -> None:
    for collection in COLLECTIONS:
        sensing.source[collection].update_many(
            {}, {"$set": dict.fromkeys(("creation_date", "update_date"), NOW - timedelta(hours=5))}
        )
    sensing.sync()
    sensing.add("notes", NOW - timedelta(hours=1))
    assert "1 h" in sensing.skip() or "min" in sensing.skip()
    sensing.add("notes", NOW - timedelta(hours=4))
    assert sensing.sync().tags["smartdiet/reason"] == "notes: its oldest change is 4 h old"
    assert "Nothing is due." in sensing.skip()


def test_nothing_is_asked_for_twice_for_the_same_change(mirrored: Sensing) -> None:
    for _ in range(3):
        mirrored.add("notes")
    first = mirrored.ask()
    # Before the run is there: the same key, which the instance deduplicates.
    assert mirrored.cursor is not None
    mirrored.cursor = None
    again = mirrored.ask()
    assert again.run_key == first.run_key
    assert mirrored.run(again)
    assert "Nothing is due." in mirrored.skip()
    for _ in range(3):
        mirrored.add("notes", NOW + timedelta(milliseconds=1))
    assert mirrored.ask().run_key != first.run_key


def test_a_document_dated_ahead_of_the_clock_is_mirrored_once_and_not_for_ever(sensing: Sensing) -> None:
    sensing.declare(TABLES.replace("sync_after: 2", "sync_after: 0"))
    sensing.add("notes", datetime(2999, 1, 1))
    sensing.sync()
    # The first load did not count what it would read; one more run settles that.
    sensing.sync()
    assert "Nothing is due." in sensing.skip()
    sensing.add("notes", datetime(2999, 1, 1))
    assert tables_of(sensing.sync()) == ["notes"]
    for _ in range(2):
        assert "Nothing is due." in sensing.skip()


def test_while_a_run_is_in_progress_nothing_is_counted(mirrored: Sensing) -> None:
    schema = load_schema(mirrored.path)
    tags = build_tags(schema, list(schema.tables))
    run = create_run_for_test(mirrored.instance, job_name="mirror", tags=tags, status=dg.DagsterRunStatus.STARTED)
    for _ in range(3):
        mirrored.add("notes")
    assert mirrored.skip() == f"The run {run.run_id[:8]} is started; nothing was counted."
    mirrored.instance.report_run_canceled(run)
    assert tables_of(mirrored.ask()) == ["notes"]


def test_a_failed_run_is_asked_for_again_after_a_wait_and_nothing_is_lost(
    mirrored: Sensing, postgres: psycopg.Connection
) -> None:
    for _ in range(3):
        mirrored.add("notes", text="x")
    postgres.execute("ALTER TABLE notes RENAME COLUMN text TO other")
    first = mirrored.ask()
    assert not mirrored.run(first)
    lines = mirrored.skip().splitlines()
    assert lines[0] == "Nothing is asked for now."
    assert lines[1].startswith(
        "notes: at least 3 changed documents, more than 2, but its run failed; asked for again in "
    )
    # What changes meanwhile does not shorten the wait.
    mirrored.add("notes", text="y")
    assert "its run failed" in mirrored.skip()
    mirrored.age()
    second = mirrored.ask()
    assert second.run_key != first.run_key
    assert not mirrored.run(second)
    postgres.execute("ALTER TABLE notes RENAME COLUMN other TO text")
    mirrored.age()
    third = mirrored.sync()
    assert third.run_key not in (first.run_key, second.run_key)
    assert "Nothing is due." in mirrored.skip()
    assert postgres.execute("SELECT count(*) FROM notes").fetchone() == (5,)


def test_a_run_that_was_asked_for_and_never_came_to_be_is_asked_for_again(
    mirrored: Sensing,
) -> None:
    for _ in range(3):
        mirrored.add("notes")
    first = mirrored.ask()
    assert "asked for again in" in mirrored.skip()
    mirrored.age()
    assert mirrored.sync().run_key != first.run_key


def test_a_missing_index_is_said_once_a_start_with_the_statement_that_creates_it(
    sensing: Sensing, mongo_database: Any
) -> None:
    mongo_database.notes.drop_indexes()
    sensing.sync()
    told = sensing.skip().splitlines()
    assert told[-3].startswith(
        "Without an index on their dates, these collections are scanned at each tick, 2 s at most"
    )
    assert told[-2:] == [
        'db.getCollection("notes").createIndex({"update_date": 1});',
        'db.getCollection("notes").createIndex({"creation_date": 1});',
    ]
    assert "createIndex" not in sensing.skip()
    sensing.started += 1
    assert "createIndex" in sensing.skip()
    # Counted all the same.
    for _ in range(3):
        sensing.add("notes")
    sensing.sync()
    sensing.index("notes")
    sensing.started += 1
    assert "createIndex" not in sensing.skip()


def test_a_collection_read_whole_each_time_runs_when_its_last_run_is_old_enough(
    sensing: Sensing, postgres: psycopg.Connection
) -> None:
    sensing.declare(TABLES + "    incremental: none\n")
    sensing.sync()
    assert "notes: its changes are not counted" in sensing.skip()
    postgres.execute("UPDATE smartdiet.sync_state SET updated_at = now() - interval '3 hours'")
    request = sensing.sync()
    assert request.tags["smartdiet/reason"] == "notes: its dates say nothing; its last run is 3 h old"
    assert "Nothing is due." in sensing.skip()


def test_documents_whose_dates_are_no_dates_are_counted_once_and_then_run_when_the_last_run_is_old_enough(
    mirrored: Sensing, postgres: psycopg.Connection
) -> None:
    found = [mirrored.add("notes", value) for value in (1_700_000_000_000, "2026-03-01", Timestamp(1, 1))]  # type: ignore[arg-type]
    request = mirrored.sync()
    assert request.tags["smartdiet/reason"] == "notes: at least 3 changed documents, more than 2"
    assert "Nothing is due." in mirrored.skip()
    # No date tells of an edit.
    mirrored.source.notes.update_one({"_id": found[0]}, {"$set": {"update_date": 1_800_000_000_000, "text": "x"}})
    assert "Nothing is due." in mirrored.skip()
    postgres.execute("UPDATE smartdiet.sync_state SET updated_at = now() - interval '3 hours'")
    request = mirrored.sync()
    assert request.tags["smartdiet/reason"] == (
        "notes: the dates of some documents are no dates and say nothing; its last run is 3 h old"
    )
    assert "Nothing is due." in mirrored.skip()


def test_a_change_stream_is_read_on_after_the_delay_whatever_the_dates_say(
    sensing: Sensing, postgres: psycopg.Connection
) -> None:
    sensing.declare(TABLES.replace("tables:", "collections:\n  notes: {capture: change_stream}\ntables:"))
    sensing.sync()
    assert sensing.skip() == "Nothing is due.\n3 collections have no change."
    for _ in range(3):
        sensing.add("notes")
    assert tables_of(sensing.sync()) == ["notes"]
    sensing.source.notes.delete_many({})
    assert "Nothing is due." in sensing.skip()
    postgres.execute("UPDATE smartdiet.sync_state SET updated_at = now() - interval '3 hours'")
    request = sensing.sync()
    assert request.tags["smartdiet/reason"] == (
        "notes: its change stream may tell more than dates; its last run is 3 h old"
    )


def test_a_table_whose_watermark_was_reset_is_read_whole(mirrored: Sensing, postgres: psycopg.Connection) -> None:
    postgres.execute("UPDATE smartdiet.sync_state SET watermark = NULL WHERE table_name = 'notes'")
    assert mirrored.sync().tags["smartdiet/reason"] == "notes: has to be read whole: a table of it has no watermark"
    assert "Nothing is due." in mirrored.skip()


@pytest.mark.parametrize("server", ["MONGODB_URL", "POSTGRES_PORT"])
def test_a_server_that_is_away_is_one_sentence_without_a_secret(
    mirrored: Sensing, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    away = {
        "MONGODB_URL": {"MONGODB_URL": "mongodb://reader:s3cret@127.0.0.1:1/", "CONNECT_TIMEOUT": "2"},
        "POSTGRES_PORT": {"POSTGRES_PORT": "1", "POSTGRES_PASSWORD": "s3cret"},
    }
    for name, value in away[server].items():
        monkeypatch.setenv(name, value)
    reason = mirrored.skip()
    assert "failed" in reason
    assert len(reason.splitlines()) == 1
    assert "s3cret" not in reason


def test_a_cursor_of_another_version_starts_anew(mirrored: Sensing) -> None:
    mirrored.cursor = '{"version": 7}'
    assert "Nothing is due." in mirrored.skip()


def test_the_sensor_of_all_tables(sensing: Sensing, mongo_database: Any) -> None:
    for collection in COLLECTIONS:
        mongo_database.drop_collection(collection)
    sensing.declare(CONFIG.read_text().replace("start: 2020-01-01", "start: 2026-01-01"))
    write_company(mongo_database, 1, 0.001)
    request = sensing.sync()
    assert len(tables_of(request)) == 31
    reason = sensing.skip()
    assert "Nothing is due." in reason
    assert f"{len(load_schema(CONFIG).collections)} collections have no change." in reason
