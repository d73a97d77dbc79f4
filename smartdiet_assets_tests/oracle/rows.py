"""What one document says about one table, as if it were alone in the world: its rows, or what stands against them.

Not here: what other documents and earlier syncs make of it (`table_sync`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bson import ObjectId

from smartdiet_assets.schema.model import Column, Table
from smartdiet_assets_tests.oracle.conditions import matches
from smartdiet_assets_tests.oracle.documents import MISSING, AmbiguousPathError, Document, encode_id, follow
from smartdiet_assets_tests.oracle.protection import name_document, protect
from smartdiet_assets_tests.oracle.values import Unfit, convert

Row = tuple[Any, ...]
#: A column and the reason of the reject.
Fault = tuple[str, str]
_TEMPORAL = ("date", "timestamp", "timestamptz")


def source_value(column: Column, document: Document, item: Any, constants: Mapping[str, Any], place: int = 0) -> Any:
    """What a column reads, before conversion: a value, None where only nulls were found, or MISSING."""
    if not column.mongo_field and not column.item_field:
        return constants.get(column.name, MISSING)
    found: list[Any] = []
    for path in column.mongo_field:
        if any(value is not MISSING and value is not None for value in found):
            break
        value = follow(document, path)
        if path == "_id" and column.type.name in _TEMPORAL:
            if not isinstance(value, ObjectId):
                continue
            value = value.generation_time.replace(tzinfo=None)
        found.append(value)
    for path in column.item_field:
        if any(value is not MISSING and value is not None for value in found):
            break
        if path == "$position":
            found.append(place)
        elif path == ".":
            found.append(MISSING if isinstance(item, Mapping) else item)
        else:
            found.append(follow(item, path))
    present = [value for value in found if value is not MISSING]
    return next((value for value in present if value is not None), None if present else MISSING)


def build_row(
    table: Table, document: Document, item: Any = None, constants: Mapping[str, Any] | None = None, place: int = 0
) -> tuple[Row | None, set[Fault]]:
    """One row in `stored_columns` order, or None with every (column, reason) that stands against it."""
    values: list[Any] = []
    faults: set[Fault] = set()
    for column in table.stored_columns:
        try:
            value: Any = None
            try:
                value = source_value(column, document, item, constants or {}, place)
            except AmbiguousPathError:
                raise Unfit("invalid_type") from None
            if value is MISSING or (value is None and not column.nullable):
                value = column.default
            converted = None if value is None else convert(value, column)
            if converted is None and not column.nullable:
                raise Unfit("missing_value")
            values.append(converted)
        except Unfit as unfit:
            if column.on_invalid == "null":
                values.append(None)
            elif column.on_invalid == "clamp" and isinstance(value, str) and column.type.is_text:
                values.append(clamp_text(value, column.type.length))
            else:
                faults.add((column.name, unfit.reason))
    return (None, faults) if faults else (tuple(values), set())


def clamp_text(text: str, length: int | None) -> str:
    """What `on_invalid: clamp` makes of a text: without NUL, with U+FFFD for what is no Unicode, cut."""
    return "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in text if letter != "\0")[:length]


@dataclass
class Described:
    """What one document says about one table. `rows` is None when the document as a whole is rejected."""

    id_text: str
    value: Any
    rows: list[Row] | None
    faults: set[Fault] = field(default_factory=set)


def describe(table: Table, document: Document) -> Described:
    """Say what a document means for a table, as if it were alone in the world."""
    described = _describe_plain(table, document)
    described.id_text = name_document(table, document["_id"])
    described.value = protect(table.column(table.document_column), described.value)
    if described.rows is not None:
        described.rows = [tuple(map(protect, table.stored_columns, row)) for row in described.rows]
    return described


def _describe_plain(table: Table, document: Document) -> Described:
    position = [column.name for column in table.stored_columns].index(table.document_column)
    column = table.stored_columns[position]
    described = Described(encode_id(document["_id"]), None, None)
    try:
        described.value = convert(document["_id"], column)
    except Unfit as unfit:
        described.faults.add((column.name, unfit.reason))
        return described
    if not all(matches(document, condition) for condition in table.filter):
        described.rows = []
        return described
    if table.shape != "items":
        row, described.faults = build_row(table, document)
        described.rows = None if row is None else [row]
        return described
    described.rows = []
    for array in table.arrays:
        try:
            items = follow(document, array.field)
        except AmbiguousPathError:
            return Described(described.id_text, described.value, None, {("", "invalid_type")})
        if items is MISSING or items is None:
            continue
        for place, item in enumerate(items if isinstance(items, list) else [items]):
            if item is None:
                continue
            row, faults = build_row(table, document, item, dict(array.set), place)
            described.faults |= faults
            if row is not None:
                described.rows.append(row)
    if table.on_duplicate_item == "last":
        described.rows.reverse()
    keys = [tuple(row[position_of(table, name)] for name in table.key) for row in described.rows]
    if table.on_duplicate_item == "reject" and len(set(keys)) < len(keys):
        described.faults.add(("", "duplicate_key"))
    return described


def position_of(table: Table, column: str) -> int:
    """Where a column stands in a table's rows."""
    return [stored.name for stored in table.stored_columns].index(column)
