"""When a run is due and when it may be asked for: thresholds, delays, waits after failures, run keys. No server."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from smartdiet_assets.assets.change_cursor import ChangeCursor, CollectionMemory, RunAsked, compose_run_key
from smartdiet_assets.assets.change_decisions import (
    CollectionState,
    compose_sentences,
    describe_age,
    judge_change,
    judge_request,
    measure_cap,
    remember,
)
from smartdiet_assets.extract.mongodb.change_volume import ChangeVolume
from smartdiet_assets.schema.limits import Limit
from smartdiet_assets.schema.model import CollectionRules

CLOCK = datetime(2026, 3, 1, 12)
RULES = CollectionRules(sync_after=Limit(count=10), max_delay=timedelta(hours=1))
NOTHING = CollectionMemory()


def state(volume: ChangeVolume | None = None, **fields: Any) -> CollectionState:
    given: dict[str, Any] = {
        "rules": RULES,
        "partition": "2026-03-01",
        "clock": CLOCK,
        "watermark": CLOCK - timedelta(days=1),
        "last_run": CLOCK - timedelta(days=1),
        **fields,
    }
    return CollectionState(volume=volume, **given)


def changed(count: int, minutes: int = 1, **fields: Any) -> ChangeVolume:
    oldest = CLOCK - timedelta(minutes=minutes)
    return ChangeVolume(due=count, oldest=oldest, newest=CLOCK, **fields)


def asked_at(one: CollectionState, *, attempt: int = 1, ahead: int = 0) -> RunAsked:
    return RunAsked(run_key="k", base=one.base, position=one.position, attempt=attempt, asked_at=CLOCK, ahead=ahead)


@pytest.mark.parametrize(
    ("volume", "due"),
    [
        (ChangeVolume(), False),
        (changed(10), False),
        (changed(11), True),
        (changed(1, minutes=60), False),
        (changed(1, minutes=61), True),
    ],
)
def test_a_run_is_due_beyond_the_threshold_or_beyond_the_delay(volume: ChangeVolume, due: bool) -> None:
    assert bool(judge_change(state(volume), NOTHING).reason) is due


@pytest.mark.parametrize(("documents", "due"), [(200, True), (220, False), (0, True)])
def test_a_share_is_of_what_the_collection_holds(documents: int, due: bool) -> None:
    rules = CollectionRules(sync_after=Limit(share=0.05))
    assert bool(judge_change(state(changed(11), rules=rules, documents=documents), NOTHING).reason) is due


def test_the_cap_is_the_least_that_tells_whether_the_threshold_is_passed() -> None:
    assert measure_cap(RULES, None, 0) == 11
    assert measure_cap(RULES, None, 4) == 15
    assert measure_cap(CollectionRules(sync_after=Limit(share=0.05)), 1_010, 0) == 51


def test_documents_dated_ahead_count_until_a_run_has_read_them_and_age_from_when_they_were_first_seen() -> None:
    ahead = ChangeVolume(ahead=3, newest=datetime(2999, 1, 1))
    first = remember(NOTHING, state(ahead), "unknown")
    assert judge_change(state(ahead), first).changed == 3
    later = state(ahead, clock=CLOCK + timedelta(hours=2))
    assert judge_change(later, remember(first, later, "unknown")).reason == "its oldest change is 2 h old"
    read = remember(first.model_copy(update={"asked": asked_at(later, ahead=3)}), later, "success")
    assert judge_change(later, read).changed == 0
    failed = remember(first.model_copy(update={"asked": asked_at(later, ahead=3)}), later, "failure")
    assert judge_change(later, failed).changed == 3


def test_what_cannot_be_counted_runs_after_the_delay() -> None:
    assert not judge_change(state(uncounted="no", last_run=CLOCK - timedelta(minutes=59)), NOTHING).reason
    late = judge_change(state(uncounted="it cannot be counted", last_run=CLOCK - timedelta(hours=3)), NOTHING)
    assert late.reason == "it cannot be counted; its last run is 3 h old"


def test_the_same_change_is_asked_for_once_and_a_new_one_again() -> None:
    now = state(changed(11))
    assert judge_request(now, asked_at(now), "success", CLOCK, CLOCK).waits == "a run has read it; nothing is new since"
    assert judge_request(state(changed(12)), asked_at(now), "success", CLOCK, CLOCK).attempt == 1
    moved = state(changed(11), watermark=CLOCK)
    assert judge_request(moved, asked_at(now), "success", CLOCK, CLOCK).attempt == 1


@pytest.mark.parametrize("outcome", ["failure", "unknown"])
def test_the_wait_after_a_failure_doubles_up_to_an_hour(outcome: Any) -> None:
    now = state(changed(11))
    waits = []
    for attempt in range(1, 11):
        asked = asked_at(now, attempt=attempt)
        minutes = next(
            minute
            for minute in range(100)
            if not judge_request(now, asked, outcome, CLOCK, CLOCK + timedelta(minutes=minute)).waits
        )
        after = judge_request(now, asked, outcome, CLOCK, CLOCK + timedelta(minutes=minutes))
        assert after.attempt == attempt + 1
        waits.append(minutes)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]


def test_more_changes_do_not_shorten_the_wait_and_a_moved_watermark_ends_it() -> None:
    now = state(changed(11))
    asked = asked_at(now, attempt=5)
    assert judge_request(state(changed(500)), asked, "failure", CLOCK, CLOCK).waits
    moved = state(changed(11), watermark=CLOCK)
    assert judge_request(moved, asked, "failure", CLOCK, CLOCK).attempt == 1
    assert remember(CollectionMemory(asked=asked), moved, "failure").asked is None


def test_the_key_follows_position_and_attempt_and_nothing_else() -> None:
    one, other = ("base", "position", 1), ("base", "position", 2)
    assert compose_run_key({"a": one, "b": other}) == compose_run_key({"b": other, "a": one})
    keys = {compose_run_key(given) for given in ({"a": one}, {"a": other}, {"b": one}, {"a": ("base", "other", 1)})}
    assert len(keys) == 4


def test_the_cursor_survives_its_json_and_anything_else_is_an_empty_one() -> None:
    now = state(changed(11))
    cursor = ChangeCursor(
        started=12.5,
        unindexed={"notes": ("update_date",)},
        collections={"users": CollectionMemory(asked=asked_at(now), known_ahead=2, ahead_since=CLOCK)},
    )
    assert ChangeCursor.parse(cursor.dump()) == cursor
    for text in (None, "", "{}", "no json", '{"other": 1}', '{"collections": {"users": {"asked": 1}}}'):
        assert ChangeCursor.parse(text) == ChangeCursor()


def test_the_table_of_numbers_shows_what_changed_and_counts_the_rest() -> None:
    lines = compose_sentences(
        {
            "users": (judge_change(state(changed(3, minutes=5)), NOTHING), RULES),
            "notes": (judge_change(state(changed(11, capped=True)), NOTHING), RULES),
            "days": (judge_change(state(ChangeVolume()), NOTHING), RULES),
        }
    )
    assert lines == [
        "users: 3 changed, the oldest 5 min ago; a run is due after 10 or 1 h.",
        "notes: 11 or more changed, the oldest 1 min ago; a run is due after 10 or 1 h.",
        "1 collection has no change.",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "0 s"), (59, "59 s"), (60, "1 min"), (119, "119 s"), (7_300, "2 h"), (200_000, "2 d")]
)
def test_a_duration_is_written_with_its_largest_unit(seconds: int, text: str) -> None:
    assert describe_age(timedelta(seconds=seconds)) == text
