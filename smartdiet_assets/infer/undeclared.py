"""Which of the fields seen no declared column takes.

Here: paths and trees of what was seen, pure. Not here: what becomes of the rest (`updating`).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from itertools import takewhile

from smartdiet_assets.infer.observation import OBJECT, Observed
from smartdiet_assets.schema.model import DOCUMENT_ID, Table

_VERSION_KEY = "__v"


def choose_main(tables: Sequence[Table]) -> Table | None:
    """Choose the table that has the columns of the documents' own fields; None where items alone are mirrored."""
    found = [table for table in tables if not table.shape.has_items]
    return min(found, key=lambda table: not table.shape.rows_are_documents, default=None)


def list_paths(tables: Iterable[Table], all_tables: Iterable[Table]) -> set[str]:
    """List the paths that are taken care of: those of columns, dates and conditions, and the arrays with a table.

    Args:
        tables: the tables of the documents looked at.
        all_tables: those of the whole collection.
    """
    tables = list(tables)
    paths = {DOCUMENT_ID, _VERSION_KEY}
    for table in tables:
        paths |= {table.created_field, table.updated_field, *(condition.path for condition in table.filter)}
        if not table.shape.has_items:
            paths.update(_shorten(path) for column in table.columns for path in column.mongo_field)
    return paths | {array.field for table in all_tables for array in table.arrays}


def list_item_paths(table: Table) -> set[str]:
    """List the paths of an item that a table's columns take."""
    return {_shorten(path) for column in table.columns for path in column.item_field}


def prune(seen: Observed, taken: Collection[str], prefix: str = "") -> Observed:
    """Give what was seen without the fields that are taken, or are below one that is."""
    fields = {}
    for name, inner in seen.fields.items():
        path = f"{prefix}{name}"
        if path in taken:
            continue
        if any(other.startswith(f"{path}.") for other in taken):
            # Of a value that is taken apart, and is no document everywhere, somebody decided what is kept.
            if set(inner.kinds) - {OBJECT}:
                continue
            inner = prune(inner, taken, f"{path}.")
            if not inner.fields:
                continue
        fields[name] = inner
    return replace(seen, fields=fields)


def find_at(seen: Observed, path: str) -> Observed | None:
    """Find what was seen at a path of fields."""
    found: Observed | None = seen
    for name in path.split("."):
        found = found.fields.get(name) if found else None
    return found


def _shorten(path: str) -> str:
    """Cut a path at an index: who picks an item of an array decided about the array."""
    return ".".join(takewhile(lambda part: not part.isdigit(), path.split(".")))
