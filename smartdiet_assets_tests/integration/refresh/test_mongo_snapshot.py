"""Whether the source is read as of one moment is found out, not believed; and what happens when that ends."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import bson
from bson.timestamp import Timestamp
from pymongo import MongoClient

from smartdiet_assets.refresh.mongo.copying import NewCollections
from smartdiet_assets.refresh.mongo.listing import CollectionSpec
from smartdiet_assets.refresh.mongo.snapshot import find_snapshot_obstacle
from smartdiet_assets.refresh.mongo.transfer import copy_all, copy_sample
from smartdiet_assets.refresh.plan import RefreshOutcome, RefreshPlan, Side
from smartdiet_assets.refresh.progress import LineProgress
from smartdiet_assets.resources.mongo import MongoResource
from smartdiet_assets_tests.integration.refresh.byte_server import NOW, serve_bytes
from smartdiet_assets_tests.support.refreshed import Pair

DOCUMENTS = [bson.encode({"_id": n, "text": "x"}) for n in range(10)]
SNAPSHOT_TOO_OLD = 239
SNAPSHOT_UNAVAILABLE = 246
NOT_A_REPLICA_SET = 123


def asks_for_snapshot(command: Mapping[str, Any]) -> bool:
    return command.get("readConcern", {}).get("level") == "snapshot"


def asks_for_long_ago(command: Mapping[str, Any]) -> bool:
    return command.get("readConcern", {}).get("atClusterTime") == Timestamp(1, 1)


def test_a_server_that_refuses_a_moment_long_ago_knows_moments(pair: Pair) -> None:
    with (
        serve_bytes(refuse=lambda command: SNAPSHOT_TOO_OLD if asks_for_long_ago(command) else 0) as server,
        MongoClient[Any](server.uri) as client,
    ):
        assert find_snapshot_obstacle(client["a"], "t") == ""


def test_a_server_that_answers_whatever_is_asked_does_not(pair: Pair) -> None:
    """As the embedded one does, which then shows what is there now."""
    pair.source["t"].insert_one({})
    assert "what is there now" in find_snapshot_obstacle(pair.source, "t")


def test_a_server_without_a_replica_set_does_not() -> None:
    with (
        serve_bytes(refuse=lambda command: NOT_A_REPLICA_SET if asks_for_snapshot(command) else 0) as server,
        MongoClient[Any](server.uri) as client,
    ):
        assert "no replica set" in find_snapshot_obstacle(client["a"], "t")


@contextmanager
def copying(
    pair: Pair, refuse: Any, names: tuple[str, ...] = ("first", "second", "third"), **options: Any
) -> Iterator[tuple[MongoResource, NewCollections, RefreshOutcome, list[dict[str, Any]]]]:
    """A source that knows moments, and new collections on the embedded server; also every `find` that is asked."""
    asked: list[dict[str, Any]] = []

    def listen(command: Mapping[str, Any]) -> int:
        if "find" in command:
            asked.append(dict(command))
        code: int = refuse(command)
        return code

    side = Side("local", "", (), "", frozenset())
    outcome = RefreshOutcome(RefreshPlan(side, side, "collection", "documents", ()))
    specs = {name: CollectionSpec(name, "collection", options) for name in names}
    new = NewCollections(pair.target, specs, dict.fromkeys(names, "create"), LineProgress(pair.lines.append))
    for name in names:
        new.make(name)
    with serve_bytes(DOCUMENTS, listen) as server:
        source = MongoResource(url=server.uri, database="a")
        yield source, new, outcome, asked
        source.close()


def count(pair: Pair, new: NewCollections) -> list[int]:
    return [pair.target[temporary].count_documents({}) for temporary in new.temporaries.values()]


def test_all_collections_are_read_as_of_the_moment_of_the_first(pair: Pair) -> None:
    with copying(pair, lambda command: 0) as (source, new, outcome, asked):
        copy_all(source, new, outcome)
    assert outcome.consistent
    assert [command["readConcern"].get("atClusterTime") for command in asked] == [None, NOW, NOW]
    assert count(pair, new) == [10, 10, 10]


def test_a_moment_that_is_lost_is_told_and_the_rest_read_as_of_now(pair: Pair) -> None:
    def refuse(command: Mapping[str, Any]) -> int:
        return SNAPSHOT_TOO_OLD if command.get("find") == "second" and asks_for_snapshot(command) else 0

    with copying(pair, refuse) as (source, new, outcome, asked):
        copy_all(source, new, outcome)
    assert not outcome.consistent
    assert [asks_for_snapshot(command) for command in asked] == [True, True, False, False]
    assert count(pair, new) == [10, 10, 10]
    assert len(outcome.notes) == 1
    assert [item.note != "" for item in new.items.values()] == [False, True, True]


def test_a_capped_collection_that_has_no_other_moment_is_read_as_of_now(pair: Pair) -> None:
    def refuse(command: Mapping[str, Any]) -> int:
        return SNAPSHOT_UNAVAILABLE if command.get("find") == "second" and asks_for_snapshot(command) else 0

    with copying(pair, refuse, capped=True, size=100_000) as (source, new, outcome, asked):
        copy_all(source, new, outcome)
    assert not outcome.consistent
    assert [asks_for_snapshot(command) for command in asked] == [True, True, False, True]
    assert count(pair, new) == [10, 10, 10]


def test_a_sample_whose_moment_is_lost_is_taken_again(pair: Pair) -> None:
    refused: list[bool] = []

    def refuse(command: Mapping[str, Any]) -> int:
        if command.get("find") == "third" and asks_for_snapshot(command):
            refused.append(True)
            return SNAPSHOT_TOO_OLD
        return 0

    with copying(pair, refuse) as (source, new, outcome, _):
        copy_sample(source, new, outcome, {}, 99.99)
    assert refused
    assert not outcome.consistent
    assert count(pair, new) == [10, 10, 10]
