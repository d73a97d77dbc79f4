"""The fields of a collection's documents: which of them its tables declare, and how a path is spelled. Pure.

A path is dotted as in `mongo_field`; `[]` behind a name leads to the items of an array, as in `lines[].sku`. Names come
from outside: what in one would be read as something else, or break the line it stands in, is spelled as JSON escapes
it, and a long one is cut.
Not here: looking at documents (`transform.fields`), or what it means that a field is not declared (`schema.drift`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from smartdiet_assets.schema.model import DOCUMENT_ID, ITEM_ITSELF, ITEM_POSITION, Column, Table

#: Follows the path of an array, and leads to its items.
ITEMS = "[]"
#: Stands for names that are told apart by nobody: ids, or too many.
ANY_NAME = "*"
LONGEST_NAME = 60
_SPECIAL = frozenset(".[]*\\")


@dataclass(slots=True)
class DeclaredField:
    """A field that is declared, or leads to one that is.

    Attributes:
        inner: the fields below it, of a document or of the items of an array.
        whole: whether all that is below it belongs to it.
    """

    inner: dict[str, DeclaredField] = field(default_factory=dict)
    whole: bool = False

    def find(self, path: str) -> DeclaredField:
        """Find the field at a dotted path, made where it is not there."""
        found = self
        for name in path.split("."):
            found = found.inner.setdefault(name, DeclaredField())
        return found

    def ignore(self, paths: Iterable[str]) -> None:
        """Take fields for declared, with all that is below them."""
        for path in paths:
            self.find(path).whole = True

    def list_paths(self, path: str = "") -> Iterator[tuple[str, DeclaredField]]:
        """List the fields below with their paths as they are spelled, without the signs of items."""
        for name, inner in self.inner.items():
            below = spell_path(path, name)
            yield below, inner
            yield from inner.list_paths(below)


def build_declared(tables: Iterable[Table], ignored: Iterable[str] = ()) -> DeclaredField:
    """Build what tables of one collection declare; `ignored` are paths that nobody wants to hear of."""
    root = DeclaredField()
    root.find(DOCUMENT_ID).whole = True
    for table in tables:
        arrays = [array.field for array in table.arrays]
        paths = [table.created_field, table.updated_field, *arrays, *(condition.path for condition in table.filter)]
        for path in paths:
            root.find(path)
        for column in table.stored_columns:
            for path in list_paths(table, column):
                found = root.find(path)
                found.whole = found.whole or _takes_documents(column)
                # A number is the place of an item, or the name of a field.
                by_name = ".".join(part for part in path.split(".") if not part.isdecimal())
                if by_name and by_name != path:
                    root.find(by_name)
    root.ignore(ignored)
    return root


def list_paths(table: Table, column: Column) -> list[str]:
    """List the paths a column is read from, those of items behind the paths of the table's arrays."""
    below = [path for path in column.item_field if path not in (ITEM_ITSELF, ITEM_POSITION)]
    paths = [*column.mongo_field, *(f"{array.field}.{path}" for array in table.arrays for path in below)]
    return paths + [array.field for array in table.arrays if ITEM_ITSELF in column.item_field]


def _takes_documents(column: Column) -> bool:
    key = column.foreign_key
    return column.type.name == "jsonb" or (key is not None and key.documents)


def spell_path(path: str, name: str) -> str:
    """Spell the path of a field below another one; "" is the document."""
    spelled = "".join(map(_spell_letter, name)) or '""'
    if len(spelled) > LONGEST_NAME:
        spelled = f"{spelled[: LONGEST_NAME - 1]}…"
    return f"{path}.{spelled}" if path else spelled


def _spell_letter(letter: str) -> str:
    return letter if letter.isprintable() and letter not in _SPECIAL else f"\\u{ord(letter):04x}"
