"""Which documents a document refers to, as the schema file's foreign keys tell. Pure.

What is found may be more than the mirror would use, never less: each path of a column is followed, and where an array
stands on a path, every item of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bson.dbref import DBRef
from bson.objectid import ObjectId

from smartdiet_assets.schema.model import DOCUMENT_ID, ITEM_ITSELF, ITEM_POSITION, Column, Schema, Table
from smartdiet_assets.schema.sources import MONGODB
from smartdiet_assets.transform.paths import read_index


@dataclass(frozen=True, slots=True)
class Reference:
    """A path in the documents of one collection, whose values are those of a field in another collection's."""

    path: tuple[str, ...]
    parent: str
    field: str


def find_references(schema: Schema) -> dict[str, list[Reference]]:
    """Find the references that leave the documents of each collection."""
    found: dict[str, dict[Reference, None]] = {}
    for table in schema.list_tables(MONGODB):
        for column in table.columns:
            for reference in _find_column_references(schema, table, column):
                found.setdefault(table.mongo_collection, {})[reference] = None
    return {collection: list(references) for collection, references in found.items()}


def read_references(document: Mapping[str, object], reference: Reference) -> Iterator[object]:
    """Give what a document refers to: each id as it may be spelled in the parent's documents."""
    for value in _follow(document, reference.path):
        yield from _list_forms(value)


def _find_column_references(schema: Schema, table: Table, column: Column) -> Iterator[Reference]:
    key = column.foreign_key
    parent = schema.tables[key.table] if key else None
    if key is None or parent is None:
        return
    paths = [tuple(path.split(".")) for path in column.mongo_field]
    for array in table.arrays:
        before = tuple(array.field.split("."))
        paths += [
            before if item == ITEM_ITSELF else (*before, *item.split("."))
            for item in column.item_field
            if item != ITEM_POSITION
        ]
    # Of several paths of the parent's column the first that leads anywhere counts: all are looked at.
    for field in parent.column(key.column).mongo_field:
        for path in paths:
            # A column that holds the document's own id points at its own document.
            if (parent.mongo_collection, field) != (table.mongo_collection, ".".join(path)):
                yield Reference(path, parent.mongo_collection, field)


def _follow(value: object, path: tuple[str, ...]) -> Iterator[object]:
    if isinstance(value, list):
        for item in value:
            yield from _follow(item, path)
        # Whether a number is the place of this item or of one further in, the path does not say: both are looked at.
        index = read_index(path[0]) if path else None
        if index is not None:
            yield from _follow(dict(enumerate(value)).get(index), path[1:])
    elif not path:
        yield value
    elif isinstance(value, DBRef):
        yield from _follow(value.as_doc(), path)
    elif isinstance(value, Mapping):
        yield from _follow(value.get(path[0]), path[1:])


def _list_forms(value: object) -> Iterator[object]:
    match value:
        case None:
            return
        case DBRef():
            yield from _list_forms(value.id)
        case dict():
            # A document that was copied into another one keeps its id.
            yield from _list_forms(value.get(DOCUMENT_ID))
        case ObjectId():
            yield value
            yield str(value)
        case str():
            yield value
            if ObjectId.is_valid(value):
                yield ObjectId(value)
        case int() | float():
            yield value
