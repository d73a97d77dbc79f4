"""A source and a target for the tests of `refresh mongo`, and what there is to compare.

Here: filling both, refreshing, reading a database byte by byte. Not here: tests.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bson import ObjectId
from pymongo.database import Database

from smartdiet_assets.demo.mongo_server import EmbeddedMongo
from smartdiet_assets.refresh.mongo.listing import OWN_PREFIX, fetch_collections
from smartdiet_assets.refresh.mongo.planning import MongoOptions
from smartdiet_assets.refresh.mongo.refresh import MongoRefresh
from smartdiet_assets.refresh.plan import RefreshOutcome
from smartdiet_assets.refresh.progress import LineProgress
from smartdiet_assets.refresh.running import prepare_refresh, run_refresh
from smartdiet_assets.resources.mongo import MongoResource
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Schema

CONFIG = Path(__file__).parents[2] / "config" / "schemas.yaml"
Mongo = Database[dict[str, Any]]


class Pair:
    """Two databases of different names: the source with three collections, the target with old data of its own."""

    def __init__(self, server: EmbeddedMongo, source: Mongo, target: Mongo) -> None:
        self.server = server
        self.source = source
        self.target = target
        self.lines: list[str] = []
        self.schema: Schema = load_schema(CONFIG)

    def fill(self) -> None:
        """Fill both sides."""
        for name in ("first", "second", "third"):
            self.source[name].insert_many([{"_id": ObjectId(), "number": n, "of": name} for n in range(300)])
            self.source[name].create_index("number", unique=True)
            self.target[name].insert_many([{"number": n, "of": "old"} for n in range(30)])
            self.target[name].create_index("of")
        self.target["own"].insert_one({"of": "old"})

    def build_refresh(self, *, to: Any = "local", mirrored: bool = False, **options: Any) -> MongoRefresh:
        """Build a refresh of the target from the source."""
        return MongoRefresh(
            self.schema,
            MongoResource(url=self.server.uri, database=self.source.name),
            MongoResource(url=self.server.uri, database=self.target.name),
            to=to,
            options=MongoOptions(**options),
            mirrored=mirrored,
        )

    def refresh(self, *, target_name: str | None = None, dry_run: bool = False, **options: Any) -> RefreshOutcome:
        """Refresh the target as a command does."""
        refresh = self.build_refresh(**options)
        plan = prepare_refresh(refresh, lambda plan: None, target_name=target_name, dry_run=dry_run)
        return run_refresh(refresh, plan, LineProgress(self.say), dry_run=dry_run)

    def say(self, line: str) -> None:
        self.lines.append(line)


def read_bytes(database: Mongo, names: Sequence[str] = ()) -> dict[str, bytes]:
    """Read the documents of each collection as the bytes they are, in the order of their ids."""
    return {
        name: b"".join(database[name].find_raw_batches(sort=[("_id", 1)]))
        for name in sorted(names or database.list_collection_names(filter={"type": "collection"}))
    }


def read_indexes(database: Mongo) -> dict[str, list[Any]]:
    """Read the indexes of each collection with all their options."""
    return {
        name: sorted((dict(index) for index in spec.indexes), key=lambda index: str(index["name"]))
        for name, spec in fetch_collections(database).items()
    }


def find_leftovers(database: Mongo) -> list[str]:
    """Find what a refresh made for itself and did not take away."""
    return [name for name in database.list_collection_names() if name.startswith(OWN_PREFIX)]
