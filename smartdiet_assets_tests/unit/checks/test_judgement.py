"""What the facts of a table mean: which numbers pass, and how bad the others are."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from smartdiet_assets.checks.facts import RecentRows, SourceFacts, TargetFacts
from smartdiet_assets.checks.judgement import judge_freshness, judge_rows
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Table

TABLES = load_schema(Path(__file__).parents[3] / "config" / "schemas.yaml").tables
DOCUMENTS, ITEMS = TABLES["users"], TABLES["user_events"]
DELETING = DOCUMENTS.model_copy(update={"on_delete": "delete"})
NOON = datetime(2025, 3, 10, 12)


def source(expected: int | None, **changes: object) -> SourceFacts:
    facts = SourceFacts(clock=NOON, max_delay=timedelta(hours=1), expected=expected)
    for name, value in changes.items():
        setattr(facts, name, value)
    return facts


@pytest.mark.parametrize(
    ("table", "target", "facts", "recent", "expected"),
    [
        (DOCUMENTS, TargetFacts(rows=10), source(10), RecentRows(), (True, 0, 0)),
        (DOCUMENTS, TargetFacts(rows=9), source(10), RecentRows(), (False, 1, 0)),
        (DOCUMENTS, TargetFacts(rows=9, rejected=1, rejected_without_row=1), source(10), RecentRows(), (True, 0, 0)),
        # A rejected document keeps its last good row: it is not counted twice.
        (DOCUMENTS, TargetFacts(rows=10, rejected=1), source(10), RecentRows(), (True, 0, 0)),
        # One changed document had a row, another one is new.
        (DOCUMENTS, TargetFacts(rows=10), source(9, recent=["a", "b"]), RecentRows(rows=1), (True, 0, 0)),
        (DOCUMENTS, TargetFacts(rows=11), source(10), RecentRows(), (True, 0, 1)),
        (DELETING, TargetFacts(rows=11), source(10), RecentRows(), (False, 0, 1)),
        (DELETING, TargetFacts(rows=11, flagged=1), source(10), RecentRows(), (True, 0, 0)),
        (DOCUMENTS, TargetFacts(rows=8), source(10, before_threshold=2), RecentRows(), (True, 0, 0)),
        (DOCUMENTS, TargetFacts(rows=7), source(10, before_threshold=2), RecentRows(), (False, 1, 0)),
        (ITEMS, TargetFacts(rows=8, rejected=1, rejected_items=2), source(10), RecentRows(), (True, 0, 0)),
        (ITEMS, TargetFacts(rows=7, rejected=1, rejected_items=2), source(10), RecentRows(), (False, 1, 0)),
    ],
)
def test_rows_and_rejects_add_up_to_the_documents(
    table: Table, target: TargetFacts, facts: SourceFacts, recent: RecentRows, expected: tuple[bool, int, int]
) -> None:
    outcome = judge_rows(table, target, facts, recent)
    assert (outcome.passed, outcome.numbers["missing"], outcome.numbers["extra"]) == expected


def test_rows_are_not_counted_where_too_much_changed() -> None:
    outcome = judge_rows(DOCUMENTS, TargetFacts(rows=1), source(None, more_recent=True), RecentRows())
    assert outcome.passed
    assert "Not counted" in outcome.sentence


@pytest.mark.parametrize(("minutes", "passed"), [(59, True), (60, True), (61, False)])
def test_the_oldest_change_decides_whether_data_is_fresh(minutes: int, passed: bool) -> None:
    facts = source(1, recent=["a"], oldest_unmirrored=NOON - timedelta(minutes=minutes), newest_change=NOON)
    assert judge_freshness(DOCUMENTS, TargetFacts(), facts).passed is passed


@pytest.mark.parametrize(("minutes", "passed"), [(59, True), (61, False)])
@pytest.mark.parametrize(
    ("table", "untold", "words"),
    [
        (DOCUMENTS, 1, "1 document of users has no Date as update_date or creation_date: only a run tells"),
        (DOCUMENTS, 12_000, "more than 10,000 documents of users have no Date as"),
        (DOCUMENTS.model_copy(update={"incremental": "none"}), 0, "The dates of users say nothing (incremental: none)"),
    ],
)
def test_where_no_date_tells_what_changed_the_last_run_decides(
    table: Table, untold: int, words: str, minutes: int, passed: bool
) -> None:
    target = TargetFacts(last_run=NOON - timedelta(minutes=minutes))
    outcome = judge_freshness(table, target, source(1, untold=untold))
    assert (outcome.passed, outcome.severity) == (passed, "WARN" if not passed else outcome.severity)
    assert outcome.sentence.startswith(words)
    assert judge_freshness(DOCUMENTS, target, source(1)).passed
