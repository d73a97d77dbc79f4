"""Documents with ids of any type, several of one text among them: each is a row, or a reject under its own id."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from bson import Binary, Decimal128, Int64, ObjectId
from pymongo.database import Database

from smartdiet_assets.extract.window import WindowRequest
from smartdiet_assets.mirror.table_run import mirror_table
from smartdiet_assets.schema.document_id import encode_document_id
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets_tests.support.checked import Checked
from smartdiet_assets_tests.support.mirrored import Mirrored

FAMILY = """
defaults: {on_delete: delete, max_deletions: 100%}
tables:
  parents: {include_base: true, additional_columns: [{name: name, sql_type: VARCHAR}]}
  kids:
    include_base: true
    additional_columns: [{name: parent_id, sql_type: VARCHAR, foreign_key: parents(id), mongo_field: parent}]
  links:
    mongo_collection: kids
    import_strategy: smart_diff
    arrays: [{field: friends}]
    columns:
      - {name: kid_id, sql_type: VARCHAR, nullable: false, mongo_field: _id, foreign_key: kids(id)}
      - {name: friend, sql_type: VARCHAR, nullable: false, item_field: .}
    unique_constraints: [[kid_id, friend]]
"""
NUMBERED = """
tables:
  things:
    columns:
      - {name: id, sql_type: BIGINT, primary_key: true, mongo_field: _id}
      - {name: name, sql_type: VARCHAR}
"""
HEX = "65e8f3a0c2a4b1d2e3f4a5b6"
SOME_UUID = UUID(int=77)
#: Two ids of one text; the first one shows. The embedded server takes a double and a decimal 0.1 for one.
TWINS = [
    (HEX, ObjectId(HEX)),
    ("5", 5),
    ("2.5", 2.5),
    ("true", True),
    ("2024-05-01 12:00:00.5", datetime(2024, 5, 1, 12, 0, 0, 500_000)),
    (str(SOME_UUID), Binary.from_uuid(SOME_UUID)),
    ("\\x6162", b"ab"),
    ("0.1", Decimal128("0.1")),
]
#: Ids of every type, with nothing else of their text.
ODD = [HEX, 5, 2.5, Int64(2**40), Decimal128("0.1"), True, datetime(2024, 5, 1), Binary.from_uuid(SOME_UUID), b"ab"]


@pytest.fixture
def family(tmp_path: Path, mongo_database: Database[Any], postgres: psycopg.Connection[Any]) -> Checked:
    path = tmp_path / "family.yaml"
    path.write_text(FAMILY)
    return Checked(Mirrored(load_schema(path), mongo_database, postgres))


def dated(days: int = 0, **fields: Any) -> dict[str, Any]:
    when = datetime.now().replace(microsecond=0) - timedelta(days=days, hours=12)
    return {"creation_date": when, "update_date": when, **fields}


def rows(family: Checked, table: str, columns: str) -> list[tuple[Any, ...]]:
    return family.mirrored.connection.execute(f"SELECT {columns} FROM {table} ORDER BY 1, 2").fetchall()  # type: ignore[arg-type]


def rejects(family: Checked, table: str) -> list[tuple[str, str]]:
    query = "SELECT document_id, reason FROM smartdiet.rejected_rows WHERE table_name = %s ORDER BY 1"
    return family.mirrored.connection.execute(query, [table]).fetchall()


def check_all(family: Checked) -> None:
    """Everything passes but that there are rejects, and what changed today is not counted."""
    failures = family.failures(sample=None)
    assert {kind for _, kind in failures} <= {"no_rejects", "data_is_fresh"}, failures


def list_rejected(identities: Iterable[Any], reason: str) -> list[tuple[str, str]]:
    return sorted((encode_document_id(identity), reason) for identity in identities)


def test_of_two_ids_with_one_text_one_shows_and_the_other_is_listed(family: Checked) -> None:
    texts, hidden = zip(*TWINS, strict=True)
    for one, other in TWINS:
        family.source.parents.insert_many([dated(_id=other, name="hidden"), dated(_id=one, name="shown")])
        family.source.kids.insert_many(
            [dated(_id=other, parent=one, friends=["a"]), dated(_id=one, parent=other, friends=["b"])]
        )
    listed = list_rejected(hidden, "duplicate_key")
    for request in (None, None, WindowRequest("full")):
        family.mirrored.run(request)
        assert rows(family, "parents", "id, name") == sorted((text, "shown") for text in texts)
        assert rows(family, "links", "kid_id, friend") == sorted((text, "b") for text in texts)
        assert [rejects(family, table) for table in ("parents", "kids", "links")] == [listed] * 3
    check_all(family)

    # An edit of either is seen, and neither takes the other's place.
    edit(family, hidden, "edited")
    assert rows(family, "parents", "id, name") == sorted((text, "shown") for text in texts)
    edit(family, texts, "new")
    assert rows(family, "parents", "id, name") == sorted((text, "new") for text in texts)
    assert rejects(family, "parents") == listed

    # Nor does its deletion: the other one shows then, with its own items.
    for collection in ("parents", "kids"):
        family.source[collection].delete_many({"_id": {"$in": texts}})
    family.mirrored.reconcile()
    family.sync()
    assert rows(family, "parents", "id, name") == sorted((text, "edited") for text in texts)
    assert rows(family, "links", "kid_id, friend") == sorted((text, "a") for text in texts)
    assert [rejects(family, table) for table in ("parents", "kids", "links")] == [[]] * 3
    for collection in ("parents", "kids"):
        family.source[collection].delete_many({"_id": {"$in": hidden}})
        family.source[collection].insert_one(dated(_id=ObjectId()))
    family.mirrored.reconcile()
    assert rows(family, "parents", "id, name") == []


def edit(family: Checked, identities: Iterable[Any], name: str) -> None:
    for identity in identities:
        change = {"$set": {"name": name, "update_date": datetime.now()}}
        family.source.parents.update_one({"_id": identity}, change)
    family.sync()


@pytest.mark.parametrize("swapped", [False, True])
def test_a_rejected_document_is_not_taken_for_a_good_one_of_its_text(family: Checked, swapped: bool) -> None:
    """Neither where the rows tell which documents were read, nor where those are tracked."""
    pairs = [(other, one) if swapped else (one, other) for one, other in TWINS]
    for good, bad in pairs:
        family.source.parents.insert_many([dated(_id=bad, name={"a": 1}), dated(_id=good, name="good")])
        family.source.kids.insert_many([dated(_id=bad, friends={"a": 1}), dated(_id=good, friends=["a"])])
    listed = list_rejected((bad for _, bad in pairs), "invalid_type")
    for request in (None, WindowRequest("full")):
        family.mirrored.run(request)
        assert rows(family, "parents", "id, name") == sorted((text, "good") for text, _ in TWINS)
        assert rejects(family, "parents") == listed
        assert rows(family, "links", "kid_id, friend") == sorted((text, "a") for text, _ in TWINS)
        assert [document for document, _ in rejects(family, "links")] == [document for document, _ in listed]


@pytest.mark.parametrize(("good", "bad"), [(5, "5"), (2**40, str(2**40)), (7, 7.5)], ids=str)
def test_nor_in_a_column_of_numbers(
    good: Any, bad: Any, tmp_path: Path, mongo_database: Database[Any], postgres: psycopg.Connection[Any]
) -> None:
    path = tmp_path / "numbered.yaml"
    path.write_text(NUMBERED)
    numbered = Checked(Mirrored(load_schema(path), mongo_database, postgres))
    numbered.source.things.insert_many([dated(_id=bad, name={"a": 1}), dated(_id=good, name="good")])
    for request in (None, WindowRequest("full")):
        numbered.mirrored.run(request)
        assert rows(numbered, "things", "id, name") == [(good, "good")]
        assert [document for document, _ in rejects(numbered, "things")] == [encode_document_id(bad)]


def test_a_document_that_does_not_show_may_go_without_harm(family: Checked) -> None:
    family.source.parents.insert_many([dated(_id=5, name="hidden"), dated(_id="5", name="shown")])
    family.sync()
    family.source.parents.delete_one({"_id": 5})
    family.sync()
    family.mirrored.reconcile()
    assert rows(family, "parents", "id, name") == [("5", "shown")]
    assert rejects(family, "parents") == []


def test_a_document_that_waits_is_listed_under_its_id_and_loads_with_its_parent(family: Checked) -> None:
    family.source.kids.insert_many([dated(_id=identity, parent="late", friends=["a", "b"]) for identity in ODD])
    family.sync()
    missing = list_rejected(ODD, "missing_parent")
    assert [rejects(family, table) for table in ("kids", "links")] == [missing] * 2
    check_all(family)
    family.source.parents.insert_one(dated(_id="late"))
    family.sync()
    assert len(rows(family, "kids", "id, parent_id")) == len(ODD)
    assert len(rows(family, "links", "kid_id, friend")) == 2 * len(ODD)
    assert [rejects(family, table) for table in ("kids", "links")] == [[]] * 2
    check_all(family)


def test_a_parent_from_before_the_threshold_is_fetched_whatever_its_id(family: Checked) -> None:
    mirrored = family.mirrored
    family.source.parents.insert_many([*(dated(days=900, _id=identity) for identity in ODD), dated(_id="recent")])
    family.source.kids.insert_many([dated(_id=f"kid {number}", parent=one) for number, one in enumerate(ODD)])
    for _ in range(2):
        for table in mirrored.schema.tables.values():
            mirror_table(
                mirrored.schema, table, mirrored.mongo, mirrored.connection, run_id="run",
                request=WindowRequest("newest"), global_date_threshold=date.today() - timedelta(days=30),
            )  # fmt: skip
    assert len(rows(family, "parents", "id, name")) == len(ODD) + 1
    assert rejects(family, "kids") == []


@pytest.mark.parametrize(
    ("identity", "reference"),
    [(5, 5.0), (5, Int64(5)), (5, Decimal128("5.00")), (5.0, 5), (Int64(5), Decimal128("5")), (Decimal128("5.0"), 5)],
    ids=repr,
)
def test_numbers_of_one_value_are_one_id(family: Checked, identity: Any, reference: Any) -> None:
    family.source.kids.insert_one(dated(_id="kid", parent=reference))
    family.sync()
    assert rejects(family, "kids") == [('"kid"', "missing_parent")]
    family.source.parents.insert_one(dated(_id=identity))
    family.sync()
    assert rows(family, "kids", "id, parent_id") == [("kid", "5")]


def test_the_ids_of_rows_from_an_earlier_version_are_found_out(family: Checked) -> None:
    family.source.parents.insert_many([dated(_id=5, name="old"), dated(_id="x", name="old")])
    family.sync()
    family.execute("DELETE FROM smartdiet.document_ids")
    family.mirrored.reconcile()
    assert rows(family, "parents", "id, name") == [("5", "old"), ("x", "old")]
    assert rows(family, "smartdiet.document_ids", "document, document_id") == [("5", '{"$numberInt": "5"}')]

    family.execute("DELETE FROM smartdiet.document_ids")
    family.source.parents.update_one({"_id": 5}, {"$set": {"name": "new", "update_date": datetime.now()}})
    family.sync()
    assert rows(family, "parents", "id, name") == [("5", "new"), ("x", "old")]
    assert rejects(family, "parents") == []
