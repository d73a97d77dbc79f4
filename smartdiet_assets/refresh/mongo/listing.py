"""What a MongoDB database consists of: its collections and views, their options, indexes and sizes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pymongo.errors import OperationFailure

from smartdiet_assets.resources.mongo_reading import MongoDatabase
from smartdiet_assets.schema.documents import Document

#: What a refresh makes in its target begins so; never copied, never shown.
OWN_PREFIX = "_smartdiet_refresh"
Kind = Literal["collection", "view", "left out"]
#: Options that are the server's own notes, which no `create` takes.
_NOTES = frozenset({"uuid", "autoIndexId", "flags", "temp", "ns"})
_NAMESPACE_EXISTS = 48
_SIMPLE = {"locale": "simple"}


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """One collection or view.

    Attributes:
        kind: `left out`: it cannot be copied and swapped in; `reason` says why.
        options: as `create` takes them.
        indexes: as `createIndexes` takes them, the one on `_id` left out.
        count: documents, as the server estimates them.
        size: bytes of a document on average; 0 where the server does not say.
        uuid: the collection's own identity, where the server gives one.
    """

    name: str
    kind: Kind
    options: Mapping[str, object] = field(default_factory=dict)
    indexes: Sequence[Mapping[str, Any]] = ()
    count: int | None = None
    size: float = 0.0
    uuid: Any = None
    reason: str = ""

    @property
    def capped(self) -> bool:
        return bool(self.options.get("capped"))


def fetch_collections(database: MongoDatabase) -> dict[str, CollectionSpec]:
    """Fetch every collection and view of a database, by name; system collections and our own are left away.

    Raises:
        pymongo.errors.PyMongoError: the server refused or was lost.
    """
    specs = {}
    for entry in database.list_collections():
        name = entry["name"]
        if not name.startswith(("system.", OWN_PREFIX)):
            specs[name] = _fetch_collection(database, entry)
    return dict(sorted(specs.items()))


def fetch_system_collections(database: MongoDatabase) -> list[str]:
    """Fetch the names of the system collections that hold data of users, which are not copied."""
    return [name for name in database.list_collection_names() if name == "system.js"]


def compose_create(name: str, options: Mapping[str, object]) -> Document:
    """Compose the command that makes a collection or view with given options."""
    return {"create": name, **options}


def compose_indexes(spec: CollectionSpec) -> list[Document]:
    """Compose the indexes of a collection for `createIndexes`, all their options kept.

    An index without a collation compares bytes; where the collection has one by default, that has to be said.
    """
    inherits = "collation" in spec.options
    return [
        {**index, **({"collation": _SIMPLE} if inherits and "collation" not in index else {})} for index in spec.indexes
    ]


def has_same_structure(spec: CollectionSpec, other: CollectionSpec | None) -> bool:
    """Whether two collections have the same options and indexes, in whatever order the indexes are listed."""
    if other is None:
        return False

    def index_by_name(spec: CollectionSpec) -> dict[str, Mapping[str, object]]:
        return {index["name"]: index for index in spec.indexes}

    return dict(spec.options) == dict(other.options) and index_by_name(spec) == index_by_name(other)


def is_duplicate_name(error: OperationFailure) -> bool:
    """Whether a `create` was refused because the name is taken."""
    return error.code == _NAMESPACE_EXISTS


def _fetch_collection(database: MongoDatabase, entry: Mapping[str, Any]) -> CollectionSpec:
    name = entry["name"]
    options = {key: value for key, value in entry.get("options", {}).items() if key not in _NOTES}
    if entry.get("type") == "view":
        return CollectionSpec(name, "view", options)
    uuid = entry.get("info", {}).get("uuid")
    count, size = _fetch_sizes(database, name)
    if reason := _find_obstacle(entry, options):
        return CollectionSpec(name, "left out", options, count=count, uuid=uuid, reason=reason)
    indexes = [
        {key: value for key, value in index.items() if key != "ns"}
        for index in database[name].list_indexes()
        if index["name"] != "_id_" and "clustered" not in index
    ]
    return CollectionSpec(name, "collection", options, indexes, count, size, uuid)


def _find_obstacle(entry: Mapping[str, Any], options: Iterable[str]) -> str:
    """Say why MongoDB could not rename such a collection into place; "" where it can."""
    if "timeseries" in options or entry.get("type") == "timeseries":
        return "a time-series collection cannot be renamed"
    if "encryptedFields" in options or entry["name"].startswith("enxcol_."):
        return "an encrypted collection cannot be renamed"
    return ""


def _fetch_sizes(database: MongoDatabase, name: str) -> tuple[int | None, float]:
    try:
        stats = database.command("collStats", name)
        return int(stats["count"]), float(stats.get("avgObjSize", 0.0))
    except (OperationFailure, KeyError):
        # The right to it, or the command, may be missing; without a size batches are counted, not measured.
        try:
            return database[name].estimated_document_count(), 0.0
        except OperationFailure:
            return None, 0.0
