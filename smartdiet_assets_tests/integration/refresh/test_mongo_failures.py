"""What goes wrong in mid copy: an error that quotes nothing, and the old data whole."""

import json
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.write_concern import WriteConcern
from rich.console import Console

from smartdiet_assets.cli.refresh_report import print_outcome, print_plan
from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.errors import RefreshError, SmartdietError, TransientError
from smartdiet_assets.refresh.mongo.copying import NewCollections
from smartdiet_assets.refresh.mongo.listing import CollectionSpec, fetch_collections
from smartdiet_assets.refresh.mongo.refresh import MongoRefresh
from smartdiet_assets.refresh.progress import LineProgress
from smartdiet_assets.refresh.running import prepare_refresh, run_refresh
from smartdiet_assets.resources.mongo import MongoResource
from smartdiet_assets_tests.conftest import run_server
from smartdiet_assets_tests.support.refreshed import Pair, find_leftovers, read_bytes

MARK = "Marked-Value"


@pytest.fixture
def other_server(tmp_path: Path) -> Iterator[EmbeddedMongo]:
    """A server of this test's own, to kill."""
    yield from run_server(EmbeddedMongo(tmp_path / "mongo"))


class KillingProgress(LineProgress):
    """Kills a server when a collection is copied."""

    def __init__(self, server: EmbeddedMongo) -> None:
        super().__init__(lambda line: None)
        self._server = server

    def finish(self, name: str, note: str = "") -> None:
        super().finish(name, note)
        self._server.kill()


def build_refresh(pair: Pair, source: str, target: str) -> MongoRefresh:
    # Nobody is waited for long: the server is gone.
    timeouts: dict[str, Any] = {"server_selection_timeout": 2.0, "connect_timeout": 2.0, "retry_delay": 0.02}
    return MongoRefresh(
        pair.schema,
        MongoResource(url=source, database=pair.source.name, **timeouts),
        MongoResource(url=target, database=pair.target.name, **timeouts),
        to="local",
    )


def test_a_target_that_is_lost_has_the_old_data_when_it_is_back(filled: Pair, other_server: EmbeddedMongo) -> None:
    with MongoClient[Any](other_server.uri) as client:
        old = client[filled.target.name].get_collection("first", write_concern=WriteConcern(j=True))
        old.insert_one({"_id": 1})
    refresh = build_refresh(filled, filled.server.uri, other_server.uri)
    plan = prepare_refresh(refresh, lambda plan: None, target_name=None, dry_run=False)
    with pytest.raises(TransientError, match="the target is as it was"):
        run_refresh(refresh, plan, KillingProgress(other_server), dry_run=False)
    other_server.start()
    with MongoClient[Any](other_server.uri) as client:
        database = client[filled.target.name]
        assert read_bytes(database, ["first"])["first"] == bson.encode({"_id": 1})
        again = build_refresh(filled, filled.server.uri, other_server.uri)
        plan = prepare_refresh(again, lambda plan: None, target_name=None, dry_run=False)
        run_refresh(again, plan, LineProgress(lambda line: None), dry_run=False)
        assert read_bytes(database) == read_bytes(filled.source)
        assert find_leftovers(database) == []


def test_a_source_that_is_lost_leaves_the_old_data_and_no_leftovers(filled: Pair, other_server: EmbeddedMongo) -> None:
    before = read_bytes(filled.target)
    with MongoClient[Any](other_server.uri) as client:
        for name in ("first", "second"):
            client[filled.source.name][name].insert_many([{"_id": n} for n in range(100)])
    refresh = build_refresh(filled, other_server.uri, filled.server.uri)
    plan = prepare_refresh(refresh, lambda plan: None, target_name=None, dry_run=False)
    with pytest.raises(TransientError, match=r"reading second from the source failed: .*; the target is as it was"):
        run_refresh(refresh, plan, KillingProgress(other_server), dry_run=False)
    assert read_bytes(filled.target) == before
    assert find_leftovers(filled.target) == []


def test_a_unique_index_that_the_copy_breaks_names_no_key(pair: Pair) -> None:
    """As where a document took another one's key while the source was read."""
    pair.source["a"].create_index("email", unique=True)
    spec = fetch_collections(pair.source)["a"]
    for snapshot, kind in ((False, TransientError), (True, RefreshError)):
        new = NewCollections(pair.target, {"a": spec}, {"a": "create"}, LineProgress(pair.lines.append))
        new.make("a")
        new.begin("a")
        new.fill("a", [bson.encode({"_id": ObjectId(), "email": MARK}) for _ in range(2)])
        with pytest.raises(kind) as caught:
            new.finish("a", snapshot=snapshot)
        assert MARK not in describe(caught.value)


def test_a_document_that_the_target_refuses_is_not_quoted(pair: Pair) -> None:
    pair.target.command({"create": "a", "validator": {"email": {"$ne": MARK}}})
    new = NewCollections(pair.target, {"a": CollectionSpec("a", "collection")}, {"a": "create"}, LineProgress(print))
    new.temporaries["a"] = "a"
    new.begin("a")
    with pytest.raises(RefreshError, match=r"a: the server refused a document \(MongoDB error 121\)") as caught:
        new.fill("a", [bson.encode({"_id": MARK, "email": MARK})])
    assert MARK not in describe(caught.value)


def test_nothing_that_is_shown_holds_a_value(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    pair.source["a"].insert_many([{"_id": f"{MARK}{n}", "email": MARK, "n": n} for n in range(100)])
    pair.source["a"].create_index("n", partialFilterExpression={"email": MARK})
    pair.source.command({"collMod": "a", "validator": {"email": MARK}})
    pair.source.command({"create": "few", "viewOn": "a", "pipeline": [{"$match": {"email": MARK}}]})
    console = Console(record=True, width=200)
    refresh = pair.build_refresh()
    plan = prepare_refresh(refresh, lambda plan: print_plan(console, plan), target_name=None, dry_run=False)
    outcome = run_refresh(refresh, plan, LineProgress(console.print), dry_run=False)
    print_outcome(console, outcome)
    shown = console.export_text() + json.dumps(outcome.as_json()) + caplog.text
    assert "few" in shown
    assert MARK not in shown


def describe(error: SmartdietError) -> str:
    return "".join(traceback.format_exception(error))
