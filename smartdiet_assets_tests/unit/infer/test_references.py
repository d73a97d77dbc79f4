"""A field is a reference by where its ids were found, not by its name; its name only settles ties."""

import pytest
from bson import ObjectId

from smartdiet_assets.infer.references import Candidate, Parent, combine, judge, list_candidates
from smartdiet_assets.schema.model import Condition
from smartdiet_assets_tests.unit.infer.observed import observe_documents

USERS, EVENTS = Parent("users", "id", "users"), Parent("events", "id", "events")
MENUS = Parent("menus", "id", "events", (Condition(path="__t", operator="$eq", value="menu"),))
KEYS = Parent("", "", "keys")


def candidate(path: str, found: dict[Parent, int], asked: int = 10, **more: object) -> Candidate:
    ids = {f"{number:024x}": number for number in range(asked)}
    return Candidate(
        path,
        ids,
        ids_dropped=bool(more.get("dropped")),
        in_items=path.endswith("[]"),
        plain_text=bool(more.get("plain")),
        found=dict(found),
        asked=dict.fromkeys(found, asked),
        rows=more.get("rows"),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("found", "table", "declared", "remark"),
    [
        ({USERS: 10, EVENTS: 0}, "users", True, "100% of 10 ids are in users"),
        ({USERS: 5, EVENTS: 1}, "users", True, "50% of 10 ids are in users"),
        ({USERS: 4, EVENTS: 1}, "users", False, "40% of 10 ids are in users: too few for a foreign key"),
        ({KEYS: 10}, "", False, "100% of 10 ids are in keys, which no table mirrors"),
    ],
)
def test_the_table_that_holds_most_of_the_ids(
    found: dict[Parent, int], table: str, declared: bool, remark: str
) -> None:
    reference = judge(candidate("author", found), complete=True)
    assert reference is not None
    assert reference.parent is not None
    assert (reference.parent.table, reference.declare, reference.remark) == (table, declared, remark)


@pytest.mark.parametrize(("found", "plain"), [({USERS: 0}, False), ({KEYS: 4}, False), ({USERS: 9}, True)])
def test_what_speaks_for_no_reference(found: dict[Parent, int], plain: bool) -> None:
    assert judge(candidate("author", found, plain=plain), complete=True) is None


def test_two_texts_that_are_ids_by_chance_are_no_reference() -> None:
    assert judge(candidate("country", {USERS: 2}, asked=2, plain=True), complete=True) is None
    assert judge(candidate("country", {USERS: 3}, asked=3, plain=True), complete=True) is not None


@pytest.mark.parametrize(("path", "table"), [("menu", "menus"), ("event", "events"), ("thing", "menus")])
def test_of_tables_with_the_same_documents_the_one_named_alike_then_the_narrower(path: str, table: str) -> None:
    reference = judge(candidate(path, {EVENTS: 10, MENUS: 10}), complete=True)
    assert reference is not None
    assert reference.parent is not None
    assert reference.parent.table == table


@pytest.mark.parametrize(
    ("more", "complete", "whole"),
    [
        ({}, True, True),
        ({"dropped": True}, True, False),
        ({"dropped": True}, False, True),
        ({"rows": 10}, True, True),
        ({"rows": 9}, False, False),
    ],
)
def test_items_are_kept_out_by_no_foreign_key(more: dict[str, object], complete: bool, whole: bool) -> None:
    reference = judge(candidate("users[]", {USERS: 10}, **more), complete=complete)
    assert reference is not None
    assert reference.whole is whole


def test_places_that_feed_one_column_refer_to_one_table_or_to_none() -> None:
    users = judge(candidate("a", {USERS: 10}), complete=True)
    events = judge(candidate("b", {EVENTS: 10}), complete=True)
    assert [found.declare for found in (combine([users, users]), combine([users, events])) if found] == [True, False]
    assert (combine([users, None]) or users).declare is False  # type: ignore[union-attr]
    assert combine([None]) is None


def test_ids_are_looked_for_everywhere_but_in_the_documents_own() -> None:
    identity = ObjectId()
    document = {
        "_id": identity, "user": identity, "by": {"user": f"{identity}"}, "tags": ["red"], "n": 1, "text": "x" * 100,
        "events": [identity, {"event": identity, "at": {"place": identity}}],
    }  # fmt: skip
    found = {place.path: place.plain_text for place in list_candidates(observe_documents([document]))}
    assert found == {
        "user": False, "by.user": False, "tags[]": True, "events[]": False, "events[].event": False,
        "events[].at.place": False,
    }  # fmt: skip


def test_texts_that_no_column_can_hold_are_not_looked_up() -> None:
    """Neither server takes them: text that was not UTF-8 cannot be sent, and PostgreSQL knows no NUL."""
    readable = [f"user-{number}" for number in range(10)]
    unreadable = [f"user-{number}\udcff" for number in range(10)] + ["user-\0"]
    documents = [{"_id": number, "user": text} for number, text in enumerate([*readable, *unreadable])]
    found = {one.path: list(one.ids) for one in list_candidates(observe_documents(documents))}
    assert found["user"] == readable
