"""What the replaced tool got wrong when documents could not be loaded, and this mirror must not."""

import ast
from pathlib import Path
from typing import Any

import psycopg
import pytest

from smartdiet_assets.load.records.inspection import fetch_status
from smartdiet_assets_tests.integration.replaced_tool.old_mirror import MAY, OldMirror, identify
from smartdiet_assets_tests.support.old_file import TABLES

TESTS = Path(__file__).parents[2]
#: Document: the field that is wrong and the reason it is rejected for.
BAD: dict[int, tuple[dict[str, Any], tuple[str, str]]] = {
    1: ({"name": "n" * 256}, ("name", "too_long")),
    2: ({"duration": 40_000}, ("duration", "out_of_range")),
    3: ({"duration": "a year"}, ("duration", "invalid_type")),
    4: ({"name": {"fr": "Offre"}}, ("name", "invalid_type")),
    5: ({"name": "a\0b"}, ("name", "nul_character")),
    6: ({"coaching_credit": None}, ("coaching_credit", "missing_value")),
    7: ({"update_date": "soon"}, ("updated_at", "invalid_type")),
}


def test_one_bad_document_costs_itself_only_and_the_tables_after_it_are_mirrored(mirror: OldMirror) -> None:
    mirror.declare("coachings")
    for number, (fields, _) in BAD.items():
        mirror.save("offers", number, **fields)
    good = mirror.save("offers", 99)
    mirror.save("coachings", 1, offer=good)
    result = mirror.sync()["offers"].load
    assert mirror.rows("offers", "id") == [str(good)]
    assert mirror.rows("coachings", "offer_id") == [str(good)]
    assert (result.inserted, result.rejected) == (1, len(BAD))


def test_what_was_not_loaded_is_a_table_one_row_per_document_with_the_reason(mirror: OldMirror) -> None:
    """All of them, in the database: neither a count in a text nor the first few."""
    mirror.declare("offers")
    for number, (fields, _) in BAD.items():
        mirror.save("offers", number, **fields)
    for number in range(100, 160):
        mirror.save("offers", number, name=None)
    mirror.sync()
    expected = [(str(identify("offers", number)), *reason) for number, (_, reason) in BAD.items()]
    expected += [(str(identify("offers", number)), "name", "missing_value") for number in range(100, 160)]
    assert mirror.rejects("offers") == sorted(expected)


def test_a_rejected_document_is_read_again_and_leaves_the_list_when_it_is_repaired(mirror: OldMirror) -> None:
    mirror.declare("offers")
    for number, (fields, _) in BAD.items():
        mirror.save("offers", number, **fields)
    mirror.sync()
    for number in BAD:
        mirror.save("offers", number)
    mirror.sync()
    assert mirror.rejects("offers") == []
    assert len(mirror.rows("offers", "id")) == len(BAD)


def test_text_is_written_as_it_is_whatever_it_would_mean_in_a_statement(mirror: OldMirror) -> None:
    mirror.declare("messages")
    texts = ["it's; DELETE FROM users;", "-- a\n/* b */ ;", "$$ \\ ' \"", "%s {0} \\N \\.", "\t\r\n", "é😀"]
    for number, text in enumerate(texts):
        mirror.save("messages", number, content=text)
    mirror.sync()
    assert mirror.rows("messages", "content") == sorted(texts, key=repr)


@pytest.mark.parametrize(
    ("settings", "mode"),
    [
        ({"import_strategy": "user_events"}, "replace"),
        ({"import_strategy": "user_events", "diff_threshold": 1.0}, "delta"),
        ({"import_strategy": "user_events_legacy"}, "replace"),
    ],
    ids=["smart_diff", "smart_diff with a threshold", "delete_and_insert"],
)
def test_how_a_table_is_written_is_a_key_of_the_file_and_every_way_removes_and_inserts(
    mirror: OldMirror, settings: dict[str, Any], mode: str
) -> None:
    mirror.declare("user_events", user_events=settings)
    events = [mirror.save("events", number) for number in range(3)]
    mirror.save("users", 1, registered_events=events[:2])
    mirror.sync()
    mirror.save("users", 1, MAY, registered_events=events[1:])
    result = mirror.sync()["user_events"].load
    assert (result.mode, result.inserted, result.deleted) == (mode, 1, 1)
    assert mirror.rows("user_events", "event_id") == [str(event) for event in events[1:]]


def test_no_table_shows_a_part_of_a_run(mirror: OldMirror, postgres_database: str) -> None:
    """Whoever looks while a run writes sees all rows of the run before, then all of this one."""
    mirror.declare("user_events")
    events = [mirror.save("events", number) for number in range(2)]
    for number in range(20):
        mirror.save("users", number, registered_events=events[:1])
    mirror.sync()
    for number in range(20):
        mirror.save("users", number, MAY, registered_events=events[1:])
    seen: set[tuple[str, int]] = set()
    with psycopg.connect(postgres_database, autocommit=True) as watcher:
        mirror.target.add_notice_handler(lambda _: seen.update(count_links(watcher)))
        mirror.target.execute("""
            CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'written'; RETURN NULL; END
            $$;
            CREATE TRIGGER tell AFTER INSERT OR DELETE ON user_events FOR EACH ROW EXECUTE FUNCTION tell()""")
        mirror.sync()
        assert seen == {(str(events[0]), 20)}
        assert count_links(watcher) == [(str(events[1]), 20)]


def count_links(connection: psycopg.Connection[Any]) -> list[tuple[str, int]]:
    return connection.execute("SELECT event_id, count(*) FROM user_events GROUP BY event_id").fetchall()


def test_the_report_counts_every_table_links_without_an_id_included(mirror: OldMirror) -> None:
    """A comparison that stops at the first table without an `id` reports every later one as empty."""
    mirror.declare()
    question = mirror.save("quizzquestions", 1)
    mirror.save("quizzs", 1, questions=[question])
    event = mirror.save("events", 1)
    mirror.save("users", 1, registered_events=[event, identify("events", 9)])
    mirror.sync()
    found = {status.table: (status.rows, status.rejected) for status in fetch_status(mirror.target, [*TABLES])}
    filled = ("quizzs_questions", "quizzs", "quizzs_links_questions", "events", "users")
    assert found == {**dict.fromkeys(TABLES, (0, 0)), **dict.fromkeys(filled, (1, 0)), "user_events": (1, 1)}


def test_no_test_replaces_a_database_with_a_mock() -> None:
    forbidden = {"mock", "unittest.mock", "pytest_mock", "mongomock", "mockupdb", "pytest_postgresql"}
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            imported: set[str] = set()
            if isinstance(node, ast.Import):
                imported = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported = {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.arg):
                imported = {"mock"} if node.arg == "mocker" else set()
            assert not imported & forbidden, path.relative_to(TESTS)
