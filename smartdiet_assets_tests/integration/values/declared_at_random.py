"""Random tables of every shape, and random documents for them.

Here: hypothesis strategies, valid by construction. Not here: running them, or what has to hold (`test_random_tables`).
"""

import uuid
from dataclasses import dataclass
from typing import Any

import bson
import yaml
from bson import Binary, Decimal128, Int64, ObjectId
from hypothesis import strategies as st

from smartdiet_assets_tests.support.bson_matrix import ELEMENTS, SQL_TYPES, compose_document
from smartdiet_assets_tests.unit.transform.test_random_documents import values

#: A default of each type that can have one.
_DEFAULTS: dict[str, Any] = {
    "VARCHAR": "x", "VARCHAR(40)": "x", "CHAR(40)": "x", "TEXT": "", "SMALLINT": -1, "INTEGER": 0, "BIGINT": 2**40,
    "REAL": 0.5, "DOUBLE PRECISION": 1, "NUMERIC": 1, "NUMERIC(4,1)": 1.5, "BOOLEAN": False, "DATE": "2024-03-06",
    "TIMESTAMP": "2024-03-06 23:00:00", "JSONB": "{}",
}  # fmt: skip
_CLAMPED = ("VARCHAR", "VARCHAR(40)", "CHAR(40)", "TEXT", "DATE", "TIMESTAMP", "TIMESTAMPTZ")
_NAMES = ("c0", "c1", "c2")
_PATHS = ("f0", "f1", "f2", "f0.a", "f1.b.c")
#: No index of JSON or of floats, where equal values may look different.
_KEY_TYPES = ("VARCHAR", "TEXT", "VARCHAR(40)", "INTEGER", "NUMERIC", "DATE", "TIMESTAMP", "UUID", "BYTEA", "BOOLEAN")


@dataclass(frozen=True)
class Document:
    """A document as bytes; `identity` is its id as a text column holds it, None where it cannot."""

    raw: bytes
    identity: str | None
    fields: dict[str, Any]

    @property
    def is_filtered(self) -> bool:
        """Whether the filter sees it: an id that is no text is a reject before, one too long for an index after."""
        return self.identity is not None or b"x" * 3_000 in self.raw


@st.composite
def _columns(draw: st.DrawFn, source: str = "mongo_field") -> list[dict[str, Any]]:
    columns = []
    for name in _NAMES[: draw(st.integers(1, 3))]:
        sql_type = draw(st.sampled_from(SQL_TYPES))
        column: dict[str, Any] = {"name": name, "sql_type": sql_type, "nullable": draw(st.booleans())}
        column[source] = draw(st.lists(st.sampled_from(_PATHS), min_size=1, max_size=2, unique=True))
        if sql_type in _DEFAULTS and draw(st.booleans()):
            column["default"] = _DEFAULTS[sql_type]
        if sql_type in ("DATE", "TIMESTAMP") and draw(st.booleans()):
            column["timezone"] = "Europe/Paris"
        choices = ["reject", *(["null"] if column["nullable"] else []), *(["clamp"] if sql_type in _CLAMPED else [])]
        column["on_invalid"] = draw(st.sampled_from(choices))
        columns.append(column)
    return columns


def _reference(draw: st.DrawFn) -> list[dict[str, Any]]:
    if draw(st.booleans()):
        return []
    lenient = draw(st.booleans())
    column = {"name": "parent_id", "sql_type": "VARCHAR", "mongo_field": "parent", "foreign_key": "parents(id)"}
    return [{**column, **({"on_missing_parent": "null"} if lenient else {"nullable": draw(st.booleans())})}]


def _identity() -> dict[str, Any]:
    return {"name": "id", "sql_type": "VARCHAR", "primary_key": True, "mongo_field": "_id"}


@st.composite
def schema_texts(draw: st.DrawFn) -> str:
    """A file of one table of each shape, and a parent of theirs."""
    key = {"name": "k", "sql_type": draw(st.sampled_from(_KEY_TYPES)), "mongo_field": "key"}
    rows = {"columns": [_identity(), key, *draw(_columns()), *_reference(draw)], "mongo_collection": "documents"}
    if draw(st.booleans()):
        rows["filter"] = {"f0": {"$exists": draw(st.booleans())}}
    if draw(st.booleans()):
        rows["unique_constraints"] = [["k"]]
    else:
        rows["indexes"] = [["k", "id"]]
    item = {"name": "item", "sql_type": draw(st.sampled_from(_KEY_TYPES)), "nullable": False, "item_field": ["a", "."]}
    dates = [{"name": name, "sql_type": "TIMESTAMP"} for name in ("created_at", "updated_at")]
    items = {
        "mongo_collection": "documents",
        "import_strategy": draw(st.sampled_from(["smart_diff", "delete_and_insert", "array"])),
        "arrays": [{"field": "items"}],
        "columns": [
            {"name": "document_id", "sql_type": "VARCHAR", "nullable": False, "mongo_field": "_id"},
            item,
            *draw(_columns("item_field")),
            *_reference(draw),
            *dates,
        ],
        "unique_constraints": [["document_id", "item"]],
    }
    latest = {
        "mongo_collection": "documents",
        "columns": [
            {"name": "id", "sql_type": "SERIAL", "primary_key": True},
            {**key, "nullable": False},
            *draw(_columns()),
            *_reference(draw),
            {"name": "updated_at", "sql_type": "TIMESTAMP"},
        ],
        "unique_constraints": [["k"]],
        "winner": ["updated_at DESC"],
    }
    tables = {"parents": {"columns": [_identity()]}, "one_row": rows, "items": items, "one_per_key": latest}
    return yaml.safe_dump({"tables": tables}, sort_keys=False)


def _identities(number: int) -> list[tuple[Any, str | None]]:
    """Ids no other number has, and their text."""
    return [
        (ObjectId(f"{number:024x}"), f"{number:024x}"),
        (f"né {number}", f"né {number}"),
        (-number, f"{-number}"),
        (Int64(2**40 + number), f"{2**40 + number}"),
        (number + 0.5, f"{number}.5"),
        (Decimal128(f"{number}.25"), f"{number}.25"),
        (Binary.from_uuid(uuid.UUID(int=number)), str(uuid.UUID(int=number))),
        ({"n": number}, f'{{"n": {{"$numberInt": "{number}"}}}}'),
        ([], "{}") if number == 1 else (f"\0{number}", None),
        ("x" * 3_000 + f"{number}", None),
    ]


_elements = st.sampled_from([element for elements in ELEMENTS.values() for element in elements if element])
_keys = st.sampled_from(["a", "b", "a" * 3_000, "2024-03-06", "12", 12, 12.0, b"\x01", True, None, {}, "\0"]) | values
_parents = st.sampled_from([ObjectId(f"{1:024x}"), ObjectId(f"{99:024x}"), "1", None, {}, "y" * 2_000])
_items = st.lists(_keys | st.fixed_dictionaries({"a": _keys}, optional={"f0": values, "f1": values}), max_size=4)


@st.composite
def document_lists(draw: st.DrawFn) -> list[Document]:
    """Documents with ids of their own; some have an element that no driver writes."""
    documents = []
    for number in range(1, draw(st.integers(1, 8)) + 1):
        identity, text = draw(st.sampled_from(_identities(number)))
        fields = {name: draw(values) for name in draw(st.sets(st.sampled_from(["f0", "f1", "f2", "update_date"])))}
        optional = {"key": _keys, "parent": _parents, "items": _items | _keys}
        fields |= {name: draw(strategy) for name, strategy in optional.items() if draw(st.booleans())}
        raw = bson.encode({"_id": identity, **fields})
        if "f0" not in fields and draw(st.booleans()):
            element = compose_document(0, draw(_elements))[13:-1].replace(b"v\0", b"f0\0", 1)
            fields["f0"] = element
            raw = (len(raw) + len(element)).to_bytes(4, "little") + raw[4:-1] + element + b"\0"
        documents.append(Document(raw, text, fields))
    return documents
