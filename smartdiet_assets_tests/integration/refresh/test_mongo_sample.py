"""A sample holds every document that one of its documents refers to."""

from collections.abc import Iterator
from typing import Any

import pytest
from bson import ObjectId

from smartdiet_assets.demo.company.generate import write_company
from smartdiet_assets_tests.support.refreshed import Mongo, Pair, read_bytes, read_indexes

#: Ids that are mirrored as they are, in columns without a foreign key.
NO_FOREIGN_KEYS = {
    *(f"users.{kind}_events" for kind in ("passed", "skipped", "failed", "routine", "replayed")),
    "userquizzquestions.qcm_answers",
    "userquizzquestions.single_enum_answer",
    "quizzquestions.correct_answer",
}


@pytest.fixture
def company(pair: Pair) -> Pair:
    write_company(pair.source, scale=0.001)
    return pair


def find_ids(value: Any, path: str = "") -> Iterator[tuple[str, ObjectId]]:
    """Find every ObjectId in a document, wherever it is, by the path to it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from find_ids(inner, f"{path}.{key}".strip("."))
    elif isinstance(value, list):
        for item in value:
            yield from find_ids(item, path)
    elif isinstance(value, ObjectId):
        yield path, value


def read_ids(database: Mongo) -> dict[str, set[object]]:
    """Read the ids of every collection."""
    names = database.list_collection_names()
    return {
        name: {document["_id"] for document in database[name].find({}, {"_id": 1}) if is_id(document)} for name in names
    }


def is_id(document: dict[str, Any]) -> bool:
    return isinstance(document["_id"], ObjectId)


def test_a_sample_has_what_its_documents_refer_to(company: Pair) -> None:
    """Whatever looks like a reference is one: no path is taken from the code or the declarations."""
    outcome = company.refresh(sample=10)
    whole, sampled = read_ids(company.source), read_ids(company.target)
    found: set[str] = set()
    missing: set[str] = set()
    for name in sampled:
        for document in company.target[name].find():
            for path, value in find_ids(document):
                found.add(f"{name}.{path}")
                if any(value in ids and value not in sampled[parent] for parent, ids in whole.items()):
                    missing.add(f"{name}.{path}")
    assert len(found) > 40
    assert missing <= NO_FOREIGN_KEYS
    counts = {item.name: item.count for item in outcome.items}
    assert sum(counts.values()) < sum(len(ids) for ids in whole.values()) / 2
    assert all(counts.values())
    assert read_indexes(company.target) == read_indexes(company.source)


def test_a_sample_is_the_same_each_time(company: Pair) -> None:
    company.refresh(sample=5)
    first = read_bytes(company.target)
    company.refresh(sample=5)
    assert read_bytes(company.target) == first


def test_what_no_table_declares_is_a_share_of_its_documents(pair: Pair) -> None:
    pair.source["undeclared"].insert_many([{"_id": n} for n in range(2_000)])
    pair.refresh(sample=25)
    assert 400 < pair.target["undeclared"].count_documents({}) < 600


def test_files_keep_all_their_chunks(pair: Pair) -> None:
    pair.source["fs.files"].insert_many([{"_id": n} for n in range(5)])
    pair.source["fs.chunks"].insert_many([{"files_id": n % 5, "n": n // 5} for n in range(50)])
    pair.refresh(sample=1)
    assert read_bytes(pair.target) == read_bytes(pair.source)


def test_a_number_that_refers_to_another_spelling_of_it_is_followed(pair: Pair) -> None:
    pair.source["companies"].insert_many([{"_id": float(n)} for n in range(200)])
    pair.source["users"].insert_many([{"_id": n, "company": n} for n in range(200)])
    pair.refresh(sample=30)
    companies = {document["_id"] for document in pair.target["companies"].find()}
    users = [document["company"] for document in pair.target["users"].find()]
    assert 30 < len(users) < 90
    assert set(users) <= companies
