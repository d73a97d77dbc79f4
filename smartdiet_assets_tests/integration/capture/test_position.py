"""Where a captured table goes on: kept with its rows, never lost silently, never held by a busy writer."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from bson import Int64, Timestamp, json_util
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.errors import ConfigurationError, PositionLostError, SourceBehindError, TransientError
from smartdiet_assets.extract.mongodb.change_stream import fetch_changes
from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.mirror.sources.mongodb import MongoSource
from smartdiet_assets.mirror.table_run import mirror_source
from smartdiet_assets.resources.mongo_errors import translate_mongo_error
from smartdiet_assets_tests.support.captured import Captured
from smartdiet_assets_tests.support.command_proxy import CommandProxy, Rule

FULL = WindowRequest("full")


class Watcher(CommandListener):
    """Sees every command of a client; `before` and `after` are called with the names of the commands."""

    def __init__(
        self, before: Callable[[str], object] = lambda name: None, after: Callable[[str], object] = lambda name: None
    ) -> None:
        self.seen: list[dict[str, Any]] = []
        self._before = before
        self._after = after

    def started(self, event: CommandStartedEvent) -> None:
        self.seen.append(dict(event.command))
        self._before(event.command_name)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        self._after(event.command_name)

    def failed(self, event: CommandFailedEvent) -> None:
        """No test makes a command fail while it watches."""


@contextmanager
def watched(captured: Captured, watcher: Watcher) -> Iterator[None]:
    """Let the runs of the block use a client of their own, which is watched."""
    source = captured.source
    host, port = source.client.address or ("", 0)
    with MongoClient[dict[str, Any]](host, port, directConnection=True, event_listeners=[watcher]) as client:
        captured.source = client[source.name]
        try:
            yield
        finally:
            captured.source = source


class FailingSource(MongoSource):
    """A source that is lost when the changed documents are read, after the stream was."""

    def fetch_by_ids(self, document_ids: Sequence[str]) -> Iterator[bytes]:
        raise ZeroDivisionError


@pytest.mark.parametrize("moment", ["before", "after"])
def test_what_changes_while_the_first_run_reads_arrives_with_the_next(captured: Captured, moment: str) -> None:
    """The stream is opened before the first document is read."""
    people = captured.source.people
    people.insert_many([{"_id": 1, "name": "Ann"}, {"_id": 2, "tags": ["a"]}])

    def meddle(command: str) -> None:
        if command == "find":
            people.update_one({"_id": 1}, {"$set": {"name": "Anna"}})
            people.insert_one({"_id": 3})

    with watched(captured, Watcher(**{moment: meddle})):
        captured.sync()
    captured.sync()

    assert captured.rows("people", "id", "name") == [("1", "Anna"), ("2", None), ("3", None)]


def test_position_and_rows_commit_together_or_not_at_all(captured: Captured) -> None:
    captured.sync()
    before = captured.position()
    captured.source.people.insert_many([{"_id": 1}, {"_id": 2}])
    captured.source.people.delete_one({"_id": 1})

    with captured.source.client.start_session() as session:
        source = FailingSource(captured.schema, captured.schema.tables["people"], captured.source, 5000, session)
        with pytest.raises(ZeroDivisionError):
            mirror_source(source, captured.connection, run_id="lost", request=WindowRequest("newest"))

    assert captured.position() == before
    assert captured.rows("people", "id") == []
    repeated = captured.sync()
    assert repeated.capture is not None
    assert (repeated.capture.events, repeated.documents_read) == (3, 1)
    assert captured.position() != before
    assert captured.rows("people", "id") == ["2"]


def test_every_table_of_a_collection_has_a_position_of_its_own(captured: Captured) -> None:
    captured.sync("people")
    captured.source.people.insert_one({"_id": 1, "tags": ["a"]})
    captured.sync("tags")
    captured.source.people.update_one({"_id": 1}, {"$set": {"tags": ["b"]}})

    assert captured.sync("people").documents_read == 1
    assert captured.sync("tags").documents_read == 1
    assert captured.rows("tags", "tag") == ["b"]


def test_a_writer_that_never_pauses_does_not_hold_the_run(captured: Captured) -> None:
    """Each time the server is asked for more, there is more; the run ends with what was there when it began."""
    captured.sync()
    people = captured.source.people
    people.insert_one({"_id": 0})
    written = [0]

    def write(command: str) -> None:
        if command == "getMore":
            written.append(len(written))
            assert len(written) < 100, "the run follows the writer"
            people.insert_one({"_id": written[-1]})

    with watched(captured, Watcher(before=write)):
        captured.sync()
    captured.sync()

    assert len(written) > 1
    assert captured.rows("people", "id") == [str(number) for number in written]


def test_all_reads_of_a_run_are_at_least_as_new_as_what_the_stream_told(captured: Captured) -> None:
    """A member that lags, asked for the documents, would give them as they were, and the change would be lost."""
    captured.source.people.insert_one({"_id": 1})
    captured.sync()
    captured.source.people.insert_one({"_id": 2})
    captured.source.people.delete_one({"_id": 1})

    watcher = Watcher()
    with watched(captured, watcher):
        captured.sync()
        captured.sync(request=FULL)

    reads = [command for command in watcher.seen if "find" in command]
    # A deleted document is looked for under each id that columns do not tell from its own.
    assert len(reads) == 4
    assert all(command["readConcern"]["afterClusterTime"] for command in reads)


# --- lost positions


def lost(captured: Captured, reason: str) -> None:
    """A run is refused with the reason and the way out, as often as it is tried, and writes nothing."""
    before = captured.position()
    for _ in range(2):
        with pytest.raises(PositionLostError, match=reason) as caught:
            captured.sync()
        assert "smartdiet sync people --full" in str(caught.value)
    assert captured.position() == before


def recovers(captured: Captured) -> None:
    """A full run begins anew, and the next one goes on from there."""
    full = captured.sync(request=FULL)
    assert full.capture is not None
    assert full.capture.start == "renewed"
    captured.source.people.insert_one({"_id": "later"})
    following = captured.sync()
    assert following.capture is not None
    assert (following.capture.start, following.load.inserted) == ("resumed", 1)


@pytest.mark.parametrize(
    "ending",
    [
        lambda people: people.drop(),
        lambda people: people.rename("persons"),
        lambda people: people.database.client.drop_database(people.database.name),
    ],
    ids=["dropped", "renamed", "database dropped"],
)
def test_a_collection_that_went_as_a_whole_is_a_lost_position(captured: Captured, ending: Any) -> None:
    captured.source.people.insert_one({"_id": 1})
    captured.sync()
    ending(captured.source.people)
    captured.source.people.insert_one({"_id": 2})

    lost(captured, "was dropped|was renamed")
    assert captured.rows("people", "id") == ["1"]
    recovers(captured)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"token": {"_data": "8263"}}, "the server cannot read it"),
        ({"namespace": "elsewhere.people"}, "it belongs to another database or collection"),
        ({"token": 5}, "what was stored cannot be read"),
    ],
    ids=["token", "database", "text"],
)
def test_a_position_the_server_does_not_know_is_lost(captured: Captured, change: Any, reason: str) -> None:
    captured.source.people.insert_one({"_id": 1})
    captured.sync()
    with captured.changed_position() as position:
        position.update(change)

    lost(captured, reason)
    recovers(captured)


def test_a_position_beyond_what_the_oplog_keeps_is_lost(tmp_path: Path, postgres: psycopg.Connection[Any]) -> None:
    with (
        EmbeddedMongo(tmp_path / "mongo", options={"oplog_max_entries": 10}) as server,
        # The server does not come back at the end: nobody shall wait for it for long.
        MongoClient[dict[str, Any]](server.uri, serverSelectionTimeoutMS=2_000) as client,
    ):
        captured = Captured(tmp_path / "captured.yaml", client.test, postgres)
        captured.sync()
        # The server looks after its oplog every thousand writes.
        client.test.people.insert_many([{"_id": number} for number in range(2500)])

        lost(captured, "no longer reaches back")
        recovers(captured)
        assert len(captured.rows("people", "id")) == 2501

        server.kill()
        with pytest.raises(PyMongoError) as caught:
            captured.sync()
        assert isinstance(translate_mongo_error(caught.value, "reading people"), TransientError)


def test_a_server_restored_from_a_backup_is_not_followed(captured: Captured) -> None:
    """Its stream would be silent until its clock has caught up with the position."""
    captured.sync()
    with captured.changed_position() as position:
        position["time"] = Timestamp(position["time"].time + 3600, 1)

    with pytest.raises(SourceBehindError, match="restored from a backup, re-import the table: smartdiet sync people"):
        captured.sync()
    recovers(captured)


def test_a_full_run_with_a_good_position_goes_on_from_it(captured: Captured) -> None:
    captured.source.people.insert_many([{"_id": 1}, {"_id": 2}])
    captured.sync()
    captured.source.people.delete_one({"_id": 1})

    full = captured.sync(request=FULL)

    assert full.capture is not None
    assert (full.capture.start, full.capture.events, full.capture.deleted) == ("resumed", 1, 1)


def test_a_server_without_change_streams_is_told_apart(tmp_path: Path, postgres: psycopg.Connection[Any]) -> None:
    with (
        EmbeddedMongo(tmp_path / "mongo", options={"replica_set_name": None}) as server,
        MongoClient[dict[str, Any]](server.uri) as client,
    ):
        captured = Captured(tmp_path / "captured.yaml", client.test, postgres)
        with pytest.raises(ConfigurationError, match=r"run MongoDB as a replica set .* or declare capture: dates"):
            captured.sync()
        captured.declare(capture="dates")
        captured.sync()


# --- switching


def test_a_table_captured_by_dates_so_far_goes_on_without_a_re_import(captured: Captured) -> None:
    early, late = datetime(2024, 1, 1), datetime(2024, 6, 1)
    captured.declare(capture="dates")
    captured.source.people.insert_many(
        [{"_id": 1, "creation_date": early, "update_date": early}, {"_id": 2, "update_date": late}]
    )
    captured.sync()
    captured.declare()

    first = captured.sync()

    assert first.capture is not None
    assert (first.window.kind, first.capture.start, first.documents_read) == ("incremental", "begun", 1)
    captured.source.people.update_one({"_id": 1}, {"$set": {"name": "Ann"}})
    assert captured.sync().load.updated == 1


def test_back_to_dates_the_watermark_is_where_it_should_be_and_the_position_is_kept(captured: Captured) -> None:
    early, late = datetime(2024, 1, 1), datetime(2024, 6, 1)
    captured.source.people.insert_one({"_id": 1, "creation_date": early, "update_date": early})
    captured.sync()
    captured.source.people.insert_one({"_id": 2, "creation_date": late, "update_date": late})
    captured.sync()
    position = captured.position()

    captured.declare(capture="dates")
    by_dates = captured.sync()
    assert (by_dates.window.kind, by_dates.documents_read, by_dates.capture) == ("incremental", 1, None)
    assert captured.position() == position

    captured.source.people.update_one({"_id": 1}, {"$set": {"name": "Ann"}})
    assert captured.sync().documents_read == 1
    captured.declare()
    assert captured.sync().load.updated == 1


def test_a_table_that_was_emptied_is_read_whole_and_begins_anew(captured: Captured) -> None:
    captured.source.people.insert_one({"_id": 1})
    captured.sync()
    captured.connection.execute("UPDATE smartdiet.sync_state SET watermark = NULL, change_position = NULL")
    captured.connection.execute("TRUNCATE people")

    result = captured.sync()

    assert result.capture is not None
    assert (result.window.kind, result.capture.start) == ("full", "begun")
    assert captured.rows("people", "id") == ["1"]


# --- servers that have nothing to say yet


def test_a_stream_that_gets_nowhere_says_how_far_it_came_and_is_read_on_from_there(
    captured: Captured, mongo_server: EmbeddedMongo
) -> None:
    captured.source.people.insert_one({"_id": 1})
    captured.sync()
    stored = captured.position()
    text = json_util.dumps(stored, json_options=json_util.CANONICAL_JSON_OPTIONS)
    captured.source.people.insert_many([{"_id": number} for number in range(2, 300)])
    table = captured.schema.tables["people"]
    nothing = {
        "id": Int64(1),
        "ns": f"{captured.source.name}.people",
        "firstBatch": [],
        "postBatchResumeToken": stored["token"],
    }

    with CommandProxy(mongo_server) as proxy, MongoClient[dict[str, Any]](proxy.uri) as client:
        database = client[captured.source.name]
        proxy.act(
            Rule("aggregate", how="merge", fields={"cursor": nothing}, times=None),
            Rule("getMore", how="empty", times=None),
        )
        with client.start_session(causal_consistency=True) as session:
            [stuck] = fetch_changes(database, table, text, session, patience=0.2)
        proxy.act()
        with client.start_session(causal_consistency=True) as session:
            [whole] = fetch_changes(database, table, stuck.position, session, patience=0.2)

    assert stuck.events == 0
    assert stuck.behind == stored["time"].as_datetime().replace(tzinfo=None)
    assert (whole.events, whole.behind) == (298, None)
