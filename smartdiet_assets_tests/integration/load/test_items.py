"""Relationship tables, a row per array item: what a run leaves in them, by each strategy."""

from typing import Any

import psycopg
import pytest

from smartdiet_assets.schema.model import Schema
from smartdiet_assets_tests.support.loads import (
    EARLY,
    LATE,
    club,
    described,
    load,
    oid,
    read,
    reject,
    rejects_of,
    rows_of,
    versions_of,
)

Connection = psycopg.Connection[Any]
STRATEGIES = ["array", "delete_and_insert", "smart_diff"]
MIRRORING = [name for name in STRATEGIES if name != "array"]


def tagged(strategy: str = "smart_diff") -> Schema:
    return club(("import_strategy: smart_diff", f"import_strategy: {strategy}"))


@pytest.fixture
def club_with_members(postgres: Connection) -> Connection:
    """A database with members 1 to 9."""
    load(postgres, club(), "members", read(*[(oid(n), None, None, None, None, EARLY, EARLY) for n in range(1, 10)]))
    return postgres


def tags(number: int, *items: str | tuple[str, int | None], at: Any = EARLY) -> tuple[str, list[tuple[Any, ...]]]:
    """A document of member `number` with tags, each a text or a text and a weight."""
    pairs = [(item, None) if isinstance(item, str) else item for item in items]
    return oid(number), [(oid(number), tag, weight, at, at) for tag, weight in pairs]


def have(connection: Connection) -> dict[int, str]:
    """The tags of each member, joined."""
    found: dict[int, str] = {}
    for member, tag in rows_of(connection, "tags", "member_id, tag"):
        found[int(member, 16)] = found.get(int(member, 16), "") + tag
    return found


@pytest.mark.parametrize("strategy", MIRRORING)
def test_items_come_and_go_to_the_last(club_with_members: Connection, strategy: str) -> None:
    schema = tagged(strategy)
    load(club_with_members, schema, "tags", described(tags(1, "a", "b"), tags(2, "a"), tags(3, "z")))

    result = load(club_with_members, schema, "tags", described(tags(1, "b", "c"), tags(2), tags(4, "n")))

    assert (result.inserted, result.updated, result.deleted, result.unchanged) == (2, 0, 2, 1)
    assert have(club_with_members) == {1: "bc", 3: "z", 4: "n"}


def test_the_array_strategy_adds_and_changes_but_never_removes(club_with_members: Connection) -> None:
    schema = tagged("array")
    load(club_with_members, schema, "tags", described(tags(1, ("a", 1), "b"), tags(2, "a")))

    result = load(club_with_members, schema, "tags", described(tags(1, ("a", 2), "c"), tags(2)))

    assert (result.mode, result.inserted, result.updated, result.deleted) == ("upsert", 1, 1, 0)
    assert have(club_with_members) == {1: "abc", 2: "a"}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_item_keeps_the_dates_of_its_first_sync(club_with_members: Connection, strategy: str) -> None:
    schema = tagged(strategy)
    load(club_with_members, schema, "tags", described(tags(1, ("a", 1), "b", at=EARLY)))

    load(club_with_members, schema, "tags", described(tags(1, ("a", 2), "b", "c", "d", "e", at=LATE)))

    assert rows_of(club_with_members, "tags", "tag, weight, created_at = updated_at, created_at") == [
        ("a", 2, True, EARLY),
        ("b", None, True, EARLY),
        ("c", None, True, LATE),
        ("d", None, True, LATE),
        ("e", None, True, LATE),
    ]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_unchanged_items_are_not_written(club_with_members: Connection, strategy: str) -> None:
    schema = tagged(strategy)
    load(club_with_members, schema, "tags", described(tags(1, "a", ("b", 3)), tags(2, "a")))
    before = versions_of(club_with_members, "tags")

    result = load(club_with_members, schema, "tags", described(tags(1, "a", ("b", 3), at=LATE), tags(2, "a", at=LATE)))

    assert (result.inserted, result.updated, result.deleted, result.unchanged) == (0, 0, 0, 3)
    assert result.change_ratio == 0.0
    assert versions_of(club_with_members, "tags") == before


def test_smart_diff_writes_the_delta_up_to_the_threshold(club_with_members: Connection) -> None:
    load(club_with_members, tagged(), "tags", described(tags(1, *"abcdefghij"), tags(2, *"abcdefghij")))
    before = versions_of(club_with_members, "tags")

    result = load(club_with_members, tagged(), "tags", described(tags(1, *"defghijxyz"), tags(2, *"abcdefghij")))

    assert (result.mode, result.change_ratio, result.replaced) == ("delta", 0.15, 0)
    assert len(set(versions_of(club_with_members, "tags")) & set(before)) == 17


def test_smart_diff_replaces_the_changed_documents_above_the_threshold(club_with_members: Connection) -> None:
    load(club_with_members, tagged(), "tags", described(tags(1, *"abcdefghij"), tags(2, *"abcd")))
    before = versions_of(club_with_members, "tags")

    result = load(club_with_members, tagged(), "tags", described(tags(1, *"fghijvwxyz"), tags(2, *"abcd")))

    assert (result.mode, result.change_ratio, result.replaced) == ("replace", 5 / 14, 10)
    assert (result.inserted, result.deleted, result.unchanged) == (5, 5, 9)
    # Document 2 did not change.
    assert len(set(versions_of(club_with_members, "tags")) & set(before)) == 4
    assert have(club_with_members) == {1: "fghijvwxyz", 2: "abcd"}


def test_the_first_items_of_a_document_have_no_ratio(club_with_members: Connection) -> None:
    load(club_with_members, tagged(), "tags", described(tags(1, "a")))

    result = load(club_with_members, tagged(), "tags", described(tags(2, "a")))

    assert (result.mode, result.change_ratio) == ("delta", None)


@pytest.mark.parametrize("bulk_from", [1, 1_000])
def test_of_a_document_read_twice_only_the_last_items_count(club_with_members: Connection, bulk_from: int) -> None:
    load(club_with_members, tagged(), "tags")

    result = load(
        club_with_members,
        tagged(),
        "tags",
        described(tags(1, "a", "b"), tags(2, "a")),
        described(tags(1, "b", "c")),
        described(tags(2)),
        bulk_from=bulk_from,
    )

    assert (result.inserted, result.superseded) == (2, 3)
    assert have(club_with_members) == {1: "bc"}


def test_a_document_rejected_as_a_whole_keeps_its_items(club_with_members: Connection) -> None:
    load(club_with_members, tagged(), "tags", described(tags(1, "a")))

    load(club_with_members, tagged(), "tags", described(tags(1, "b")), described(rejects=[reject(oid(1))]))

    assert have(club_with_members) == {1: "a"}
    assert rejects_of(club_with_members, "tags") == [(oid(1), "name", "invalid_type", 1, 1)]


def test_rejected_items_leave_the_others_and_count_as_one_document(club_with_members: Connection) -> None:
    batch = described(tags(1, "a"))
    batch.rejects += [reject(oid(1), "weight"), reject(oid(1), "weight")]

    result = load(club_with_members, tagged(), "tags", batch)

    assert (result.inserted, result.rejected) == (1, 1)
    assert rejects_of(club_with_members, "tags") == [(oid(1), "weight", "invalid_type", 2, 1)]


def test_only_the_items_without_parent_fall_out(postgres: Connection) -> None:
    schema = club(
        ("sql_type: INTEGER, item_field: weight", "sql_type: VARCHAR, item_field: weight, foreign_key: groups(id)")
    )
    load(postgres, schema, "members", read((oid(1), None, None, None, None, EARLY, EARLY)))
    load(postgres, schema, "groups", read((oid(50), None, "g")))
    documents = described(tags(1, ("a", oid(50)), ("b", oid(51)), "c"), tags(2, "a"))  # type: ignore[arg-type]

    result = load(postgres, schema, "tags", documents)

    assert have(postgres) == {1: "ac"}
    assert (result.inserted, result.rejected, result.rejected_rows) == (2, 2, 2)
    assert rejects_of(postgres, "tags") == [
        (oid(1), "weight", "missing_parent", 1, 1),
        (oid(2), "member_id", "missing_parent", 1, 1),
    ]
