"""Swapping refreshed collections in, so that a swap that was interrupted can be ended by whoever comes next.

MongoDB renames one collection at a time, each in one step. Before the first rename the whole list of steps is kept in
the target (`_smartdiet_refresh`, the document `swap`), journaled; after the last it is removed. Every step can be
repeated. Before the list is kept the target is the old data, whole; after it the new data, as soon as somebody has
gone through the list: this refresh, or the next one, which does so before anything else.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import bson
from bson.binary import Binary
from pymongo.errors import OperationFailure
from pymongo.write_concern import WriteConcern

from smartdiet_assets.refresh.mongo.listing import (
    OWN_PREFIX,
    CollectionSpec,
    compose_create,
    is_duplicate_name,
)
from smartdiet_assets.resources.mongo_reading import MongoDatabase
from smartdiet_assets.schema.documents import Document

#: Holds the list of a swap and the lock of a refresh, while there is one.
BOOKKEEPING = OWN_PREFIX
_SWAP = {"_id": "swap"}
_JOURNALED = WriteConcern(w="majority", j=True)


def name_temporary(number: int) -> str:
    """The name of a collection that is not swapped in yet. Numbered, for the longest names leave no room."""
    return f"{OWN_PREFIX}.{number:05}"


def plan_swap(
    temporaries: Mapping[str, str],
    views: Sequence[CollectionSpec],
    removed: Sequence[str],
    target: Mapping[str, CollectionSpec],
) -> list[Document]:
    """Plan the steps of a swap: renames, then what goes, then the views.

    Args:
        temporaries: the temporary name of each collection, by its name.
        removed: what is only in the target and goes.
        target: what is in the target now.
    """
    steps: list[Document] = []
    for name, temporary in temporaries.items():
        if name in target and target[name].kind == "view":
            steps.append({"do": "drop view", "name": name})
        steps.append({"do": "rename", "from": temporary, "name": name})
    for name in removed:
        view = target[name].kind == "view"
        steps.append({"do": "drop view", "name": name} if view else _drop(target[name]))
    for spec in views:
        if spec.name in target and target[spec.name].kind != "view":
            steps.append(_drop(target[spec.name]))
        # As bytes: older servers take no document whose fields begin with a dollar.
        steps.append({"do": "view", "name": spec.name, "options": Binary(bson.encode(spec.options))})
    return steps


def keep_swap(database: MongoDatabase, steps: Sequence[Mapping[str, object]]) -> None:
    """Keep the steps of a swap: from here on it will be ended, by this refresh or the next one."""
    bookkeeping = database.get_collection(BOOKKEEPING, write_concern=_JOURNALED)
    bookkeeping.replace_one(_SWAP, {**_SWAP, "steps": list(steps)}, upsert=True)


def has_swap(database: MongoDatabase) -> bool:
    """Whether a swap was interrupted."""
    return database[BOOKKEEPING].find_one(_SWAP, {"_id": 1}) is not None


def end_swap(database: MongoDatabase) -> int:
    """Go through the steps that are kept, those done already being passed over, and forget them; count them.

    Raises:
        pymongo.errors.PyMongoError: the server refused or was lost; the steps are still kept.
    """
    kept = database[BOOKKEEPING].find_one(_SWAP)
    if kept is None:
        return 0
    there = {entry["name"]: entry for entry in database.list_collections()}
    for step in kept["steps"]:
        _take(database, step, there.get(step["name"], {}), temporary_left=step.get("from") in there)
    database.get_collection(BOOKKEEPING, write_concern=_JOURNALED).delete_one(_SWAP)
    return len(kept["steps"])


def drop_temporaries(database: MongoDatabase) -> None:
    """Drop what refreshes made and did not swap in; the caller holds the lock, and no swap is kept."""
    for name in database.list_collection_names():
        if name.startswith(f"{OWN_PREFIX}."):
            database.drop_collection(name)


def try_renaming(database: MongoDatabase) -> None:
    """Find out, before hours of copying, whether collections can be swapped in here.

    Raises:
        pymongo.errors.OperationFailure: they cannot.
    """
    one, other = name_temporary(0), f"{name_temporary(0)}.trial"
    for name in (one, other):
        database.command("create", name)
    _rename(database, one, other)
    database.drop_collection(other)


def _drop(spec: CollectionSpec) -> Document:
    # With its identity: should the steps be gone through much later, what was made anew meanwhile is not dropped.
    return {"do": "drop", "name": spec.name, "uuid": spec.uuid}


def _take(
    database: MongoDatabase, step: Mapping[str, Any], current: Mapping[str, Any], *, temporary_left: bool
) -> None:
    name, is_view = step["name"], current.get("type") == "view"
    match step["do"]:
        case "rename" if temporary_left:
            _rename(database, step["from"], name)
        case "drop view" if is_view:
            database.drop_collection(name)
        case "drop" if current and not is_view and current.get("info", {}).get("uuid") == step["uuid"]:
            database.drop_collection(name)
        case "view":
            if is_view:
                database.drop_collection(name)
            try:
                database.command(compose_create(name, bson.decode(step["options"])))
            except OperationFailure as error:
                if not is_duplicate_name(error):
                    raise


def _rename(database: MongoDatabase, temporary: str, name: str) -> None:
    command = {
        "renameCollection": f"{database.name}.{temporary}", "to": f"{database.name}.{name}", "dropTarget": True,
        "writeConcern": {"w": "majority"},
    }  # fmt: skip
    database.client.admin.command(command)
