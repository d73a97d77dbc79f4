"""Days of changes to a written company, on a real server: what a day promises to hold, and that it repeats."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from smartdiet_assets.demo.company import (
    BAD_DOCUMENTS,
    DEMO_DAY,
    apply_day_of_changes,
    generate_collections,
    write_company,
)

SCALE = 0.001
Documents = dict[str, dict[Any, dict[str, Any]]]


@pytest.fixture(scope="module")
def days(mongo_client: MongoClient[dict[str, Any]]) -> list[tuple[Any, Documents, Documents]]:
    """Two days: what each reports, and the documents before and after it."""
    database = mongo_client["company"]
    write_company(database, 1, SCALE)
    found, before = [], read(database)
    for number in range(2):
        changes = apply_day_of_changes(database, 1, DEMO_DAY + timedelta(days=number))
        after = read(database)
        found.append((changes, before, after))
        before = after
    return found


def read(database: Database[dict[str, Any]]) -> Documents:
    names = sorted(database.list_collection_names())
    return {name: {document["_id"]: document for document in database[name].find()} for name in names}


def changed(before: Documents, after: Documents) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """List collection, old and new of every document that differs; a new document has no old one."""
    for name, documents in after.items():
        for document_id, document in documents.items():
            old = before[name].get(document_id, {})
            if old != document:
                yield name, old, document


def test_writing_stores_every_document_keeps_the_dates_indexed_and_tells_progress(
    mongo_client: MongoClient[dict[str, Any]],
) -> None:
    database, steps = mongo_client["written"], []
    counts = write_company(database, 2, SCALE, lambda done, expected: steps.append((done, expected)))
    assert {name: len(documents) for name, documents in read(database).items()} == counts
    assert sum(counts.values()) == sum(len(batch) for _, batch in generate_collections(2, SCALE))
    assert steps[-1][0] == sum(counts.values()) == pytest.approx(steps[-1][1], rel=0.1)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    indexed = {key for index in database["days"].index_information().values() for key, _ in index["key"]}
    assert {"creation_date", "update_date"} <= indexed


def test_a_day_reports_exactly_the_documents_it_touched(days: list[tuple[Any, Documents, Documents]]) -> None:
    for changes, before, after in days:
        assert changes.documents == len(list(changed(before, after)))
        assert all(set(before[name]) <= set(after[name]) for name in before), "nothing is deleted"


def test_everything_a_day_touches_is_dated_on_the_day(days: list[tuple[Any, Documents, Documents]]) -> None:
    for changes, before, after in days:
        for _, old, new in changed(before, after):
            assert changes.day <= new["update_date"] < changes.day + timedelta(days=1)
            assert old or new["creation_date"] == new["update_date"]


def test_arrays_grow_shrink_become_empty_null_and_absent(days: list[tuple[Any, Documents, Documents]]) -> None:
    _, before, after = days[0]
    for field in ("registered_events", "main_logbooks"):
        pairs = [(old[field], new.get(field, "absent")) for _, old, new in changed(before, after) if old.get(field)]
        assert any(new == [] for _, new in pairs)
        assert any(new is None for _, new in pairs)
        assert any(new == "absent" for _, new in pairs)
        sizes = {len(new) - len(old) for old, new in pairs if isinstance(new, list) and new}
        assert min(sizes) < 0 < max(sizes)


def test_documents_move_to_other_keys_out_of_the_filter_and_into_it(
    days: list[tuple[Any, Documents, Documents]],
) -> None:
    _, before, after = days[0]
    moved = list(changed(before, after))
    assert any(name == "menurecipes" and old["recipe"] != new["recipe"] for name, old, new in moved if old)
    logbooks = [(old, new) for name, old, new in moved if name == "coachinglogbooks" and old]
    assert any(old["day"] != new["day"] for old, new in logbooks)
    assert any(old.get("user") and "user" not in new for old, new in logbooks)
    assert any(not old.get("user") and new.get("user") for old, new in logbooks)
    assert any(old | {"update_date": 0} == new | {"update_date": 0} for old, new in logbooks), "only saved again"


def test_missing_parents_arrive_and_bad_documents_are_repaired(days: list[tuple[Any, Documents, Documents]]) -> None:
    first, second = days[0][0], days[1][0]
    assert set(first.arrived) == {"users", "events", "contents", "coachings"}
    repairable = [bad for bad in BAD_DOCUMENTS if bad.table != "menu_recipes"]
    assert first.repaired.total() + second.repaired.total() == len(repairable)
    _, before, after = days[0]
    wanted = {document.get("sender") for document in before["messages"].values()} - set(before["users"])
    wanted |= {document.get("user") for document in before["coachings"].values()} - set(before["users"])
    assert wanted, "the company has references that dangle"
    assert set(after["users"]) & {first_id for first_id in after["users"] if first_id not in before["users"]}


def test_the_same_company_seed_and_day_give_the_same_changes(mongo_client: MongoClient[dict[str, Any]]) -> None:
    twins = mongo_client["twin_a"], mongo_client["twin_b"]
    for database in twins:
        write_company(database, 3, 0.0001)
    reports = [apply_day_of_changes(database, 3, DEMO_DAY) for database in twins]
    assert reports[0] == reports[1]
    assert read(twins[0]) == read(twins[1])
