"""How many rows a document's arrays describe, as an expression that MongoDB evaluates.

Here: composing it. Not here: running it (`checks.documents`). What identifies an item within its document is compared
as it is stored: two spellings of one id (an ObjectId and its text) count as two items, which the conversion makes one
row. Such documents, and arrays behind a path through another array, are left to the check of the content.
"""

from collections.abc import Iterable
from typing import Any

from smartdiet_assets.schema.model import ITEM_ITSELF, ArraySource, Column, Scalar, Table

Expression = dict[str, Any]
_ITEM = "$$item"


def compose_item_count(table: Table) -> Expression:
    """Compose the number of distinct items of a document, as SQL counts them: null is no item."""
    keys: list[Expression] = []
    varying = [column for column in table.stored_columns if column.name in table.key and not column.mongo_field]
    for array in table.arrays:
        parts = [_compose_part(column, array) for column in varying]
        keys.append({"$map": {"input": _compose_items(array.field), "as": "item", "in": parts}})
    return {"$size": {"$setUnion": [*keys, []]}}


def _compose_items(field: str) -> Expression:
    """A missing or null array has no items; a single value is an array of one."""
    path = f"${field}"
    absent = {"$eq": [{"$ifNull": [path, None]}, None]}
    array = {"$cond": [{"$isArray": [path]}, path, {"$cond": [absent, [], [path]]}]}
    present = {"$ne": [{"$ifNull": [_ITEM, None]}, None]}
    return {"$filter": {"input": array, "as": "item", "cond": present}}


def _compose_part(column: Column, array: ArraySource) -> Expression:
    if not column.item_field:
        return {"$literal": dict(array.set).get(column.name, column.default)}
    inner = [f"{_ITEM}.{path}" for path in column.item_field if path != ITEM_ITSELF]
    itself = _ITEM if ITEM_ITSELF in column.item_field else None
    is_document = {"$eq": [{"$type": _ITEM}, "object"]}
    return {"$cond": [is_document, _first(inner, column.default), _first([itself] if itself else [], column.default)]}


def _first(paths: Iterable[str], default: Scalar) -> Expression:
    """The first value other than null, or else the default."""
    return {"$ifNull": [*paths, {"$literal": default}, None]}
