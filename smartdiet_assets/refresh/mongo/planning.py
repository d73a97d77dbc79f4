"""What a refresh of MongoDB will do with each collection, and what to know before and after it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from smartdiet_assets.refresh.mongo.listing import CollectionSpec
from smartdiet_assets.refresh.patterns import choose_names, matches
from smartdiet_assets.refresh.plan import PlannedItem
from smartdiet_assets.schema.model import Schema

NOT_COPIED = "Users and roles are not copied."
INTERRUPTED = "An earlier refresh was interrupted while it swapped collections in; that is ended first."


@dataclass(frozen=True, slots=True)
class MongoOptions:
    """What a refresh was asked.

    Attributes:
        includes, excludes: names or patterns of collections.
        sample: percentage of each collection; None copies all.
    """

    includes: Sequence[str] = ()
    excludes: Sequence[str] = ()
    sample: float | None = None


def plan_collections(
    source: Mapping[str, CollectionSpec], target: Mapping[str, CollectionSpec], options: MongoOptions
) -> list[PlannedItem]:
    """Plan what becomes of each collection and view, by name.

    The whole database becomes the source's: what the source does not have goes, unless it is excluded, or only
    some collections are included.

    Raises:
        ConfigurationError: a name or pattern fits no collection.
    """
    chosen = choose_names(list(source), options.includes, options.excludes, "collection", also=list(target))
    items = [_plan_copied(source[name], target.get(name)) for name in chosen]
    for name, spec in target.items():
        if name not in chosen:
            stays = name in source or options.includes or matches(name, options.excludes)
            note = "view" if spec.kind == "view" else ""
            items.append(PlannedItem(name, "keep" if stays else "remove", None, spec.count, note))
    return sorted(items, key=lambda item: item.name)


def compose_advice(schema: Schema, written: Sequence[str]) -> list[str]:
    """Compose what to do where the refreshed database is the one that is mirrored.

    Args:
        written: the collections that were replaced or removed.
    """
    tables = [table for table in schema.tables.values() if table.mongo_collection in written]
    if not tables:
        return []
    lost = [table.name for table in tables if table.capture == "change_stream"]
    advice = [
        "The refreshed database is the one that is mirrored. What came with dates below a table's watermark is found"
        " by: smartdiet sync --full; rows whose documents are gone, by: smartdiet reconcile"
    ]
    if lost:
        advice.append(
            "The change stream ended with the collections it watched; re-import their tables:"
            f" smartdiet sync {' '.join(lost)} --full"
        )
    return advice


def _plan_copied(spec: CollectionSpec, there: CollectionSpec | None) -> PlannedItem:
    count = there.count if there else None
    if spec.kind == "left out":
        return PlannedItem(spec.name, "leave out", spec.count, count, spec.reason)
    notes = ["view"] if spec.kind == "view" else []
    if there and there.kind == "left out":
        return PlannedItem(spec.name, "leave out", spec.count, count, f"in the target {there.reason}")
    if there and there.kind != spec.kind:
        notes.append(f"was a {there.kind}")
    return PlannedItem(spec.name, "replace" if there else "create", spec.count, count, ", ".join(notes))
