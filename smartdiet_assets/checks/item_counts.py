"""How many rows a document's arrays describe, as expressions that MongoDB evaluates.

What identifies an item within its document is compared as it is stored, but for values that are one text: what a
conversion makes equal beyond that (two moments of one day) only the transformation itself can tell.
"""

from collections.abc import Iterable

from smartdiet_assets.schema.documents import Document
from smartdiet_assets.schema.model import ITEM_ITSELF, ITEM_POSITION, ArraySource, Column, Scalar, Table
from smartdiet_assets.transform.paths import read_index

Expression = Document
_ITEM, _POSITION = "$$item", "$$position"
#: Types whose text in a column is the one that MongoDB gives.
_SPELLED = ["objectId", "int", "long", "bool"]


def compose_item_count(table: Table) -> Expression:
    """Compose the number of a document's items that are rows, as SQL counts them: null is no item.

    Of items that share a key one is a row, unless each of the others is to be a reject.
    """
    if table.on_duplicate_item == "reject":
        return compose_item_total(table)
    keys: list[Expression] = []
    varying = [column for column in table.stored_columns if column.name in table.key and not column.mongo_field]
    has_position = any(column.item_field == (ITEM_POSITION,) for column in varying)
    for array in table.arrays:
        key: object = [_compose_part(column, array) for column in varying]
        if has_position:
            item = {"$arrayElemAt": [_compose_array(array.field), _POSITION]}
            key = {"$let": {"vars": {"item": item}, "in": key}}
            keys.append({"$map": {"input": _compose_positions(array.field), "as": "position", "in": key}})
        else:
            keys.append({"$map": {"input": _compose_items(array.field), "as": "item", "in": key}})
    return {"$size": {"$setUnion": [*keys, []]}}


def compose_item_total(table: Table) -> Expression:
    """Compose the number of a document's items, whatever their keys."""
    return {"$sum": [{"$size": _compose_items(array.field)} for array in table.arrays]}


def _compose_positions(field: str) -> Expression:
    """Compose the places of the items that are not null."""
    array = _compose_array(field)
    present = {"$ne": [{"$ifNull": [{"$arrayElemAt": [array, _POSITION]}, None]}, None]}
    return {"$filter": {"input": {"$range": [0, {"$size": array}]}, "as": "position", "cond": present}}


def _compose_items(field: str) -> Expression:
    """Compose the items that are not null."""
    present = {"$ne": [{"$ifNull": [_ITEM, None]}, None]}
    return {"$filter": {"input": _compose_array(field), "as": "item", "cond": present}}


def _compose_array(field: str) -> Expression:
    """A missing or null array has no items; a single value is an array of one."""
    first, *rest = field.split(".")
    path = _compose_path(f"${first}", rest)
    absent = {"$eq": [{"$ifNull": [path, None]}, None]}
    return {"$cond": [{"$isArray": [path]}, path, {"$cond": [absent, [], [path]]}]}


def _compose_path(start: object, segments: Iterable[str]) -> object:
    """Compose a path, whose numbers MongoDB's expressions take for names of fields."""
    path = start
    for segment in segments:
        if isinstance(path, str):
            named: object = f"{path}.{segment}"
        else:
            named = {"$let": {"vars": {"below": path}, "in": f"$$below.{segment}"}}
        index = read_index(segment)
        if index is None:
            path = named
        else:
            path = {"$cond": [{"$isArray": [path]}, {"$arrayElemAt": [path, index]}, named]}
    return path


def _compose_part(column: Column, array: ArraySource) -> object:
    if column.item_field == (ITEM_POSITION,):
        return _POSITION
    if not column.item_field:
        return {"$literal": dict(array.set).get(column.name, column.default)}
    inner = [_compose_path(_ITEM, path.split(".")) for path in column.item_field if path != ITEM_ITSELF]
    itself = [_ITEM] if ITEM_ITSELF in column.item_field else []
    is_document = {"$eq": [{"$type": _ITEM}, "object"]}
    value = {"$cond": [is_document, _first(inner, column.default), _first(itself or inner, column.default)]}
    return _compose_text(value) if column.type.is_text else value


def _compose_text(value: Expression) -> Expression:
    """Give the text of an id or a number, so that it equals the same text."""
    spelled = {"$cond": [{"$in": [{"$type": "$$value"}, _SPELLED]}, {"$toString": "$$value"}, "$$value"]}
    return {"$let": {"vars": {"value": value}, "in": spelled}}


def _first(paths: Iterable[object], default: Scalar) -> Expression:
    """The first value other than null, or else the default."""
    return {"$ifNull": [*paths, {"$literal": default}, None]}
