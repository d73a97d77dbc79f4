"""Which documents a document refers to, as the declared foreign keys tell."""

from pathlib import Path
from typing import Any

from bson import DBRef, ObjectId

from smartdiet_assets.refresh.mongo.references import Reference, find_references, read_references
from smartdiet_assets.schema.loading import load_schema

ID = ObjectId("65e8f3a0c2a4b1d2e3f4a5b6")
CONFIG = Path(__file__).parents[3] / "config" / "schemas.yaml"


def read(document: dict[str, Any], *path: str) -> set[object]:
    return set(read_references(document, Reference(path, "parents", "_id")))


def test_an_id_is_looked_for_in_both_spellings() -> None:
    assert read({"user": ID}, "user") == {ID, str(ID)}
    assert read({"user": str(ID)}, "user") == {ID, str(ID)}
    assert read({"user": "u-7"}, "user") == {"u-7"}
    assert read({"user": 7}, "user") == {7}
    assert read({"user": None}, "user") == read({}, "user") == set()


def test_a_reference_may_be_an_embedded_document_or_a_dbref() -> None:
    assert ID in read({"user": {"_id": ID, "name": "x"}}, "user")
    assert ID in read({"user": DBRef("users", ID)}, "user")
    assert ID in read({"user": DBRef("users", ID)}, "user", "$id")


def test_arrays_are_followed_item_by_item() -> None:
    other = ObjectId()
    assert read({"users": [ID, other, None]}, "users") >= {ID, other}
    assert read({"a": [{"user": ID}, {"user": other}, 3]}, "a", "user") >= {ID, other}
    assert read({"a": {"user": ID}}, "a", "user") >= {ID}
    assert read({"a": [{"user": ID}, {"user": other}]}, "a", "1", "user") == {other, str(other)}
    assert read({"a": [[ID, other]]}, "a", "1") >= {other}


def test_the_references_of_a_collection_are_those_of_all_its_tables() -> None:
    found = find_references(load_schema(CONFIG))
    assert {(".".join(r.path), r.parent) for r in found["users"]} >= {
        ("company", "companies"),
        ("targets", "targets"),
        ("registered_events", "events"),
        ("registered_events.event", "events"),
    }
    assert not [r for r in found["users"] if r.path == ("_id",) and r.parent == "users"]
    assert "appointmenttypes" not in found
