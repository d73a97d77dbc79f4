"""A refreshed MongoDB database is the source's, document by document and index by index."""

from typing import Any

import bson
import pytest
from bson.datetime_ms import DatetimeMS
from pymongo import MongoClient

from smartdiet_assets.errors import ConfigurationError, RefreshError
from smartdiet_assets.refresh.mongo.copying import NewCollections
from smartdiet_assets.refresh.mongo.documents import fetch_batches, write_batch
from smartdiet_assets.refresh.mongo.listing import CollectionSpec, fetch_collections, has_same_structure
from smartdiet_assets.refresh.progress import LineProgress
from smartdiet_assets_tests.integration.refresh.byte_server import serve_bytes
from smartdiet_assets_tests.support.bson_matrix import ELEMENTS, compose_document
from smartdiet_assets_tests.support.conversion_table import SAMPLES
from smartdiet_assets_tests.support.refreshed import Pair, find_leftovers, read_bytes, read_indexes

#: Indexes of every kind that the embedded server has.
INDEXES: list[dict[str, Any]] = [
    {"key": {"a": 1}, "name": "unique", "unique": True},
    {"key": {"b": -1, "c": 1}, "name": "compound", "sparse": True},
    {"key": {"c": 1}, "name": "partial", "partialFilterExpression": {"c": {"$gt": 5}}},
    {"key": {"t": 1}, "name": "ttl", "expireAfterSeconds": 3600},
    {"key": {"g": "2dsphere"}, "name": "sphere"},
    {"key": {"d": 1}, "name": "french", "collation": {"locale": "fr", "strength": 2}},
    {"key": {"e": 1}, "name": "hidden", "hidden": True},
    {"key": {"$**": 1}, "name": "wildcard", "wildcardProjection": {"f": 1}},
]
OPTIONS: dict[str, dict[str, Any]] = {
    "capped": {"capped": True, "size": 100_000, "max": 10},
    "validated": {"validator": {"a": {"$type": "int"}}, "validationLevel": "strict", "validationAction": "error"},
    "french": {"collation": {"locale": "fr", "strength": 2}},
    "clustered": {"clusteredIndex": {"v": 2, "key": {"_id": 1}, "name": "_id_", "unique": True}},
    "with_images": {"changeStreamPreAndPostImages": {"enabled": True}},
}


def test_the_target_becomes_the_source(filled: Pair) -> None:
    outcome = filled.refresh()
    assert read_bytes(filled.target) == read_bytes(filled.source)
    assert read_indexes(filled.target) == read_indexes(filled.source)
    assert {item.name: (item.action, item.count, item.indexes) for item in outcome.items} == {
        "first": ("replace", 300, 2),
        "second": ("replace", 300, 2),
        "third": ("replace", 300, 2),
        "own": ("remove", 0, 0),
    }
    assert find_leftovers(filled.target) == []


def test_the_source_is_not_written_to(filled: Pair) -> None:
    before = read_bytes(filled.source), list(filled.source.list_collections())
    filled.refresh()
    assert (read_bytes(filled.source), list(filled.source.list_collections())) == before


def test_documents_of_every_type_arrive_byte_by_byte(pair: Pair) -> None:
    stored = {label: value for label, value in SAMPLES.items() if label not in ("missing", "date out of range")}
    pair.source["types"].insert_many([{"_id": label, "value": value} for label, value in stored.items()])
    pair.source["ids"].insert_many([{"_id": value} for value in (1, "1", 1.5, bson.ObjectId(), {"a": 1, "b": 2})])
    assert pair.refresh().consistent is False, "the embedded server shows no snapshot, and must not pass for one"
    assert read_bytes(pair.target) == read_bytes(pair.source)


def test_what_python_cannot_decode_and_types_no_driver_writes_arrive_untouched() -> None:
    """Between two servers that take any bytes, as MongoDB does."""
    documents = [compose_document(7, element) for elements in ELEMENTS.values() for element in elements]
    documents.append(bson.encode({"_id": 1, "text": "abc"}).replace(b"abc\0", b"\xff\xfe\xfd\0"))
    documents.append(bson.encode({"_id": 1, "date": DatetimeMS(2**62)}))
    for document in documents[-2:]:
        with pytest.raises(bson.errors.InvalidBSON):
            bson.decode(document)
    with (
        serve_bytes(documents) as source,
        serve_bytes([]) as target,
        MongoClient[Any](source.uri) as reader,
        MongoClient[Any](target.uri) as writer,
        reader.start_session() as session,
    ):
        for batch in fetch_batches(reader["a"], CollectionSpec("t", "collection"), session):
            write_batch(writer["b"], "t", batch)
        assert target.received == b"".join(documents)


def test_documents_of_16_mb_arrive(pair: Pair) -> None:
    for number in range(3):
        text = "x" * (16 * 1024 * 1024 - 50)
        pair.source["large"].insert_one({"_id": number, "text": text})
    pair.refresh()
    assert read_bytes(pair.target) == read_bytes(pair.source)


def test_indexes_keep_all_their_options(pair: Pair) -> None:
    pair.source.command({"createIndexes": "indexed", "indexes": INDEXES})
    pair.source["indexed"].insert_many([{"a": n} for n in range(10)])
    pair.refresh()
    assert read_indexes(pair.target) == read_indexes(pair.source)
    assert {index["name"] for index in read_indexes(pair.target)["indexed"]} == {i["name"] for i in INDEXES}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_new_collection_has_the_options_of_the_source(pair: Pair, name: str) -> None:
    """Looked at before the swap: the embedded server, unlike MongoDB, forgets options when it renames."""
    pair.source.command({"create": name, **OPTIONS[name]})
    pair.source[name].create_index("a")
    pair.source[name].create_index("b", collation={"locale": "de"})
    spec = fetch_collections(pair.source)[name]
    new = NewCollections(pair.target, {name: spec}, {name: "create"}, LineProgress(pair.lines.append))
    new.make(name)
    new.begin(name)
    new.finish(name, snapshot=False)
    assert dict(spec.options) == OPTIONS[name]
    made = pair.target.list_collections(filter={"name": new.temporaries[name]}).next()
    assert made["options"] == OPTIONS[name]
    names = [index["name"] for index in pair.target[new.temporaries[name]].list_indexes()]
    assert sorted(names) == ["_id_", "a_1", "b_1"]


def test_options_that_the_server_does_not_keep_are_told(pair: Pair) -> None:
    pair.source.command({"create": "capped", **OPTIONS["capped"]})
    pair.source["plain"].insert_one({})
    notes = pair.refresh().notes
    differs = not has_same_structure(
        fetch_collections(pair.source)["capped"], fetch_collections(pair.target).get("capped")
    )
    assert ("The target's server changed options or indexes of: capped" in notes) is differs


def test_documents_that_do_not_pass_the_validator_arrive(pair: Pair) -> None:
    pair.source["validated"].insert_one({"_id": 1, "a": "text"})
    pair.source.command({"collMod": "validated", **OPTIONS["validated"]})
    pair.refresh()
    assert read_bytes(pair.target) == read_bytes(pair.source)


def test_a_capped_collection_keeps_its_order(pair: Pair) -> None:
    pair.source.command({"create": "capped", "capped": True, "size": 1_000_000})
    pair.source["capped"].insert_many([{"_id": -n, "text": "x" * 100} for n in range(500)])
    pair.refresh()
    assert [document["_id"] for document in pair.target["capped"].find()] == [-n for n in range(500)]


def test_views_are_made_anew(filled: Pair) -> None:
    pipeline = [{"$match": {"number": {"$lt": 5}}}]
    filled.source.command({"create": "few", "viewOn": "first", "pipeline": pipeline})
    filled.source.command({"create": "third_view", "viewOn": "third", "pipeline": []})
    # In the target one of these is a view already, and one a collection; and a view stands where a collection comes.
    filled.target.command({"create": "few", "viewOn": "second", "pipeline": []})
    filled.target["third_view"].insert_one({})
    filled.target.drop_collection("second")
    filled.target.command({"create": "second", "viewOn": "first", "pipeline": []})
    filled.target.command({"create": "own_view", "viewOn": "first", "pipeline": []})
    filled.refresh()
    views = {entry["name"]: entry["options"] for entry in filled.target.list_collections(filter={"type": "view"})}
    assert views == {
        "few": {"viewOn": "first", "pipeline": pipeline},
        "third_view": {"viewOn": "third", "pipeline": []},
    }
    assert read_bytes(filled.target) == read_bytes(filled.source)


def test_a_time_series_collection_is_named_and_left_out(filled: Pair) -> None:
    filled.source.command({"create": "series", "timeseries": {"timeField": "t"}})
    outcome = filled.refresh()
    assert [(item.name, item.note) for item in outcome.items if item.action == "leave out"] == [
        ("series", "a time-series collection cannot be renamed")
    ]
    assert "series" not in filled.target.list_collection_names()


def test_included_collections_alone_are_written(filled: Pair) -> None:
    before = read_bytes(filled.target)
    filled.refresh(includes=["fir*"])
    after = read_bytes(filled.target)
    assert after["first"] == read_bytes(filled.source)["first"]
    assert {name: after[name] for name in after if name != "first"} == {n: before[n] for n in before if n != "first"}


def test_excluded_collections_stay_as_they_are(filled: Pair) -> None:
    before = read_bytes(filled.target)
    outcome = filled.refresh(excludes=["second", "own"])
    after = read_bytes(filled.target)
    assert (after["second"], after["own"]) == (before["second"], before["own"])
    assert after["third"] == read_bytes(filled.source)["third"]
    assert {item.name for item in outcome.plan.items if item.action == "keep"} == {"second", "own"}


def test_a_misspelled_collection_is_an_error(filled: Pair) -> None:
    with pytest.raises(ConfigurationError, match="there is no collection frist"):
        filled.refresh(includes=["frist"])


def test_a_dry_run_writes_nothing(filled: Pair) -> None:
    before = read_bytes(filled.target)
    outcome = filled.refresh(dry_run=True)
    assert outcome.dry_run
    assert read_bytes(filled.target) == before
    assert [(item.name, item.action, item.source_count, item.target_count) for item in outcome.plan.items] == [
        ("first", "replace", 300, 30),
        ("own", "remove", None, 1),
        ("second", "replace", 300, 30),
        ("third", "replace", 300, 30),
    ]


def test_an_empty_source_removes_nothing(filled: Pair) -> None:
    for name in filled.source.list_collection_names():
        filled.source.drop_collection(name)
    with pytest.raises(ConfigurationError, match="without collections"):
        filled.refresh()
    assert len(filled.target.list_collection_names()) == 4


@pytest.mark.parametrize("name", [None, "production"])
def test_a_remote_target_that_is_not_named_is_not_written_to(filled: Pair, name: str | None) -> None:
    before = read_bytes(filled.target)
    with pytest.raises(ConfigurationError, match=f"type --target-name {filled.target.name}"):
        filled.refresh(to="remote", target_name=name)
    assert read_bytes(filled.target) == before


def test_a_remote_target_that_is_named_is_written_to(filled: Pair) -> None:
    filled.refresh(to="remote", target_name=filled.target.name)
    assert read_bytes(filled.target) == read_bytes(filled.source)


def test_a_database_is_not_refreshed_from_itself(filled: Pair) -> None:
    before = read_bytes(filled.source)
    same = Pair(filled.server, filled.source, filled.source)
    for dry_run in (True, False):
        with pytest.raises(ConfigurationError, match="are the same database"):
            same.refresh(target_name=filled.source.name, dry_run=dry_run)
    assert read_bytes(filled.source) == before


def test_a_database_of_mongodb_itself_is_not_refreshed(filled: Pair) -> None:
    own = Pair(filled.server, filled.source, filled.source.client["config"])
    with pytest.raises(ConfigurationError, match="MongoDB's own"):
        own.refresh()


def test_a_document_that_comes_twice_counts_once_in_its_later_form(pair: Pair) -> None:
    """As a document that is deleted and inserted again while the source is read."""
    new = NewCollections(
        pair.target, {"a": fetch_collections(_with(pair, "a"))["a"]}, {"a": "create"}, LineProgress(pair.lines.append)
    )
    new.make("a")
    new.begin("a")
    batches = [bson.encode({"_id": 1, "v": 1}) + bson.encode({"_id": 2, "v": 1}), bson.encode({"_id": 1, "v": 2})]
    new.fill("a", batches)
    assert sorted((d["_id"], d["v"]) for d in pair.target[new.temporaries["a"]].find()) == [(1, 2), (2, 1)]
    assert new.items["a"].count == 2


def test_an_index_that_the_target_does_not_take_is_named_before_anything_is_copied(pair: Pair) -> None:
    spec = fetch_collections(_with(pair, "a"))["a"]
    # Of the kinds of MongoDB the embedded server lacks the hashed ones.
    unfit = type(spec)(spec.name, spec.kind, spec.options, [{"key": {"a": "hashed"}, "name": "by_hash", "v": 2}])
    new = NewCollections(pair.target, {"a": unfit}, {"a": "create"}, LineProgress(pair.lines.append))
    with pytest.raises(RefreshError, match="a: the target does not take its index by_hash"):
        new.make("a")


def test_what_to_do_about_the_mirror_is_told_where_its_source_was_refreshed(filled: Pair) -> None:
    filled.source["users"].insert_one({})
    users = filled.schema.tables["users"].model_copy(update={"capture": "change_stream"})
    filled.schema = filled.schema.model_copy(update={"tables": {**filled.schema.tables, "users": users}})
    notes = " ".join(filled.refresh(mirrored=True).notes)
    assert "smartdiet sync users --full" in notes
    assert "smartdiet reconcile" in notes
    assert "sync" not in " ".join(filled.refresh().notes)


def _with(pair: Pair, name: str) -> Any:
    pair.source[name].insert_one({})
    return pair.source
