"""What the replaced tool got wrong in the tables it filled from arrays, and this mirror must not."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from bson import ObjectId

from smartdiet_assets.errors import LoadHinderedError
from smartdiet_assets_tests.integration.replaced_tool.old_mirror import (
    FULL,
    JANUARY,
    MARCH,
    MAY,
    NEWEST,
    OldMirror,
    identify,
)

#: Link table: the collection and array it is filled from, the collection its items point at.
LINKS = {
    "user_events": ("users", "registered_events", "events"),
    "users_contents_reads": ("contents", "viewed_by", "users"),
    "quizzs_links_questions": ("quizzs", "questions", "quizzquestions"),
    "users_quizzs_links_questions": ("userquizzs", "questions", "userquizzquestions"),
    "days_contents_links": ("days", "contents", "contents"),
    "days_logbooks_links": ("days", "main_logbooks", "userquizzs"),
}
ABSENT = object()
EMPTIED: tuple[Any, ...] = ([], None, ABSENT)


@contextmanager
def counted(connection: psycopg.Connection[Any]) -> Iterator[list[int]]:
    """Count the statements a block sends: the list grows by one for each."""
    sent: list[int] = []

    class CountingCursor(psycopg.Cursor[Any]):
        def execute(self, *arguments: Any, **options: Any) -> Any:
            sent.append(1)
            return super().execute(*arguments, **options)

    usual = connection.cursor_factory
    connection.cursor_factory = CountingCursor
    try:
        yield sent
    finally:
        connection.cursor_factory = usual


@pytest.mark.parametrize("request_", [NEWEST, FULL], ids=["newest", "full"])
@pytest.mark.parametrize("table", LINKS)
def test_the_last_item_leaves_too_whether_its_array_is_empty_null_or_gone(
    mirror: OldMirror, table: str, request_: Any
) -> None:
    collection, array, items = LINKS[table]
    mirror.declare(table)
    period = mirror.save("periods", 1)
    item = mirror.save(items, 9, period=period)
    for number in range(len(EMPTIED)):
        mirror.save(collection, number, period=period, **{array: [item]})
    mirror.sync()
    assert len(mirror.rows(table, mirror.schema.tables[table].document_column)) == len(EMPTIED)
    for number, value in enumerate(EMPTIED):
        left = {} if value is ABSENT else {array: value}
        mirror.save(collection, number, MAY, period=period, **left)
    assert mirror.sync(request_)[table].load.deleted == len(EMPTIED)
    assert mirror.rows(table, mirror.schema.tables[table].document_column) == []


@pytest.mark.parametrize("request_", [NEWEST, FULL], ids=["newest", "full"])
def test_the_last_item_of_several_arrays_leaves_in_incremental_and_forced_runs(
    mirror: OldMirror, request_: Any
) -> None:
    mirror.declare("users_targets", "coaching_reasons")
    targets = [mirror.save("targets", number) for number in range(3)]
    arrays = dict(zip(("targets", "specificity_targets", "health_targets"), ([t] for t in targets), strict=True))
    mirror.save("users", 1, **arrays)
    mirror.save("coachings", 1, reasons=targets, health_reason=targets[:1])
    mirror.sync()
    assert mirror.rows("users_targets", "type") == ["basic", "health", "specificity"]
    assert mirror.rows("coaching_reasons", "type") == ["health_reason", "reason", "reason", "reason"]
    mirror.save("users", 1, MAY, targets=[], health_targets=None)
    mirror.save("coachings", 1, MAY, reasons=[])
    runs = mirror.sync(request_)
    assert runs["coaching_reasons"].window.kind == "full", "its file forces a re-import"
    assert mirror.rows("users_targets", "type") == mirror.rows("coaching_reasons", "type") == []


def test_an_incremental_run_of_several_arrays_reads_the_changed_documents_only(mirror: OldMirror) -> None:
    mirror.declare("users_targets")
    target = mirror.save("targets", 1)
    for number in range(20):
        mirror.save("users", number, targets=[target])
    mirror.sync()
    mirror.save("users", 7, MAY, health_targets=[target])
    mirror.sync()
    assert mirror.sync()["users_targets"].documents_read == 1
    assert mirror.rows("users_targets", "user_id", "type").count((str(identify("users", 7)), "health")) == 1


def test_link_rows_have_the_dates_of_their_document_and_never_the_wall_clock(mirror: OldMirror) -> None:
    mirror.declare("user_events", "coaching_reasons", "days_contents_links")
    event, target, content = (mirror.save(name, 1) for name in ("events", "targets", "contents"))
    mirror.save("users", 1, registered_events=[{"event": event, "date": MAY, "_id": ObjectId()}])
    mirror.save("coachings", 1, reasons=[target])
    mirror.save("days", 1, period=mirror.save("periods", 1), contents=[content])
    mirror.sync()
    for table in ("user_events", "coaching_reasons", "days_contents_links"):
        assert mirror.rows(table, "created_at", "updated_at") == [(JANUARY, MARCH)]


def test_a_change_made_while_a_run_was_reading_is_read_by_the_next(mirror: OldMirror) -> None:
    """It is dated before the run ended, and on the clock of the source."""
    mirror.declare("user_events")
    events = [mirror.save("events", number) for number in range(2)]
    mirror.save("users", 1, registered_events=events[:1])
    before = mirror.source.client.admin.command("hello")["localTime"]
    mirror.sync()
    mirror.save("users", 1, before, registered_events=events)
    mirror.sync()
    assert mirror.rows("user_events", "event_id") == [str(event) for event in events]


def test_links_that_stay_keep_their_dates_however_many_others_change(mirror: OldMirror) -> None:
    mirror.declare("user_events")
    events = [mirror.save("events", number) for number in range(10)]
    mirror.save("users", 1, registered_events=events[:6])
    mirror.sync()
    mirror.save("users", 1, MAY, registered_events=events[4:])
    result = mirror.sync()["user_events"].load
    assert (result.mode, result.change_ratio) == ("replace", pytest.approx(4 / 6))
    dates = dict(mirror.rows("user_events", "event_id", "updated_at"))
    assert {number: dates[str(event)] for number, event in enumerate(events) if str(event) in dates} == {
        **dict.fromkeys((4, 5), MARCH),
        **dict.fromkeys((6, 7, 8, 9), MAY),
    }


@pytest.mark.parametrize("changed", [1, 8], ids=["delta", "replacement"])
def test_a_run_takes_as_many_statements_and_one_transaction_however_many_documents_change(
    mirror: OldMirror, changed: int
) -> None:
    """A duplicate among their items is no exception."""
    mirror.declare("user_events")
    events = [mirror.save("events", number) for number in range(10)]
    statements = []
    for run, users in enumerate((2, 60)):
        numbers = [run * 100 + number for number in range(users)]
        for number in numbers:
            mirror.save("users", number, MARCH + timedelta(365 * run), registered_events=events[:8])
        mirror.sync()
        for number in numbers:
            kept = [*events[changed:8], events[9], events[9]]
            mirror.save("users", number, MAY + timedelta(365 * run), registered_events=kept)
        mirror.sync(tables=["users"])
        with counted(mirror.target) as sent:
            result = mirror.sync(tables=["user_events"])["user_events"].load
        assert result.mode == ("delta" if changed == 1 else "replace")
        statements.append(len(sent))
        written = mirror.target.execute("SELECT count(DISTINCT xmin::text) FROM user_events WHERE event_id = %s", [
            str(events[9])
        ]).fetchone()  # fmt: skip
        assert written == (run + 1,)
    assert statements[0] == statements[1] < 40


def test_a_failing_delete_fails_the_run_and_nothing_is_inserted(mirror: OldMirror) -> None:
    mirror.declare("user_events")
    events = [mirror.save("events", number) for number in range(2)]
    mirror.save("users", 1, registered_events=events[:1])
    mirror.sync()
    forbid(mirror, "DELETE")
    mirror.save("users", 1, MAY, registered_events=events[1:])
    mirror.sync(tables=["users", "events"])
    with pytest.raises(LoadHinderedError, match="the trigger forbidden"):
        mirror.sync(tables=["user_events"])
    assert mirror.rows("user_events", "event_id") == [str(events[0])]


def test_a_failing_insert_undoes_the_deletes_and_the_watermark(mirror: OldMirror) -> None:
    mirror.declare("user_events")
    events = [mirror.save("events", number) for number in range(2)]
    mirror.save("users", 1, registered_events=events[:1])
    mirror.sync()
    state = mirror.target.execute("SELECT * FROM smartdiet.sync_state WHERE table_name = 'user_events'").fetchall()
    forbid(mirror, "INSERT")
    mirror.save("users", 1, MAY, registered_events=events[1:])
    with pytest.raises(LoadHinderedError, match="the trigger forbidden"):
        mirror.sync(tables=["user_events"])
    assert mirror.rows("user_events", "event_id") == [str(events[0])]
    assert (
        mirror.target.execute("SELECT * FROM smartdiet.sync_state WHERE table_name = 'user_events'").fetchall() == state
    )
    mirror.target.execute("DROP TRIGGER forbidden ON user_events")
    mirror.sync()
    assert mirror.rows("user_events", "event_id") == [str(events[1])]


def forbid(mirror: OldMirror, action: str) -> None:
    """Make one kind of write to the links fail, as a broken trigger of the operator's would."""
    mirror.target.execute(f"""
        CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'forbidden'; END $$;
        CREATE TRIGGER forbidden BEFORE {action} ON user_events FOR EACH ROW EXECUTE FUNCTION forbid()""")


def test_null_is_an_empty_array_and_null_items_are_passed_over(mirror: OldMirror) -> None:
    mirror.declare("user_events", "users_targets", "users_contents_reads")
    event, target = mirror.save("events", 1), mirror.save("targets", 1)
    user = mirror.save("users", 1, registered_events=None, targets=None, health_targets=[None, target, None])
    mirror.save("users", 2, registered_events=[None, event])
    mirror.save("contents", 1, viewed_by=[user, None])
    runs = mirror.sync()
    assert mirror.rows("user_events", "event_id") == [str(event)]
    assert mirror.rows("users_targets", "target_id", "type") == [(str(target), "health")]
    assert mirror.rows("users_contents_reads", "user_id") == [str(user)]
    assert all(run.load.rejected == 0 for run in runs.values())


def test_a_duplicate_item_is_one_row_and_costs_its_batch_nothing(mirror: OldMirror) -> None:
    mirror.declare("user_events")
    event = mirror.save("events", 1)
    for number in range(50):
        mirror.save("users", number, registered_events=[event, {"event": event, "date": datetime(2024, 1, 1)}, event])
    result = mirror.sync()["user_events"].load
    assert (result.inserted, result.rejected) == (50, 0)
