"""The registry: which conversion fills which column type.

Here: one line per type, and what every column adds to it (NULL, NOT NULL, its name, what becomes of a value it cannot
hold).
Not here: the conversions themselves, one module per family: `text`, `numbers`, `dates`, `json_documents`,
`binary`. The documented table of all of them is their test, `support/conversion_table.py`.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

from smartdiet_assets.schema.model import DOCUMENT_ID, ITEM_ITSELF, Column
from smartdiet_assets.schema.reasons import Reason
from smartdiet_assets.schema.types import TypeName
from smartdiet_assets.transform import binary, dates, json_documents, numbers, text
from smartdiet_assets.transform.conversion import Conversion
from smartdiet_assets.transform.paths import IN_ARRAY, refuse_array
from smartdiet_assets.transform.rejection import Rejection

_FAMILIES: dict[TypeName, Callable[[Column], Conversion]] = {
    "varchar": lambda column: _build_text(column),
    "char": lambda column: _build_text(column),
    "text": lambda column: _build_text(column),
    "smallint": lambda column: numbers.build_integer(column.type),
    "integer": lambda column: numbers.build_integer(column.type),
    "bigint": lambda column: numbers.build_integer(column.type),
    "real": lambda column: numbers.build_float(column.type),
    "double precision": lambda column: numbers.build_float(column.type),
    "numeric": lambda column: numbers.build_numeric(column.type),
    "boolean": lambda column: numbers.build_boolean(column.type),
    "date": lambda column: dates.build_date(column.type, column.timezone),
    "timestamp": lambda column: dates.build_timestamp(column.type, column.timezone),
    "timestamptz": lambda column: dates.build_timestamptz(column.type),
    "time": lambda column: dates.build_time(column.type, column.timezone),
    "jsonb": lambda column: json_documents.build_jsonb(column.type),
    "uuid": lambda column: binary.build_uuid(column.type),
    "bytea": lambda column: binary.build_bytea(column.type),
}

#: A value that the column could not hold as it was: the column, and what became of it.
Adjustment = tuple[str, Literal["nulled", "clamped"]]
#: The types for which the path `_id` means the time in the ObjectId.
OBJECT_ID_TIME_TYPES: tuple[TypeName, ...] = ("date", "timestamp", "timestamptz")


def build_conversion(column: Column) -> Conversion:
    """Build the conversion of a column's values, NULL not included."""
    return _FAMILIES[column.type.name](column)


def build_column_converter(
    column: Column, conversion: Conversion, adjustments: list[Adjustment]
) -> Callable[[Any], Any]:
    """Build the slow path of a column: takes any decoded value, None included.

    The function returns the column's value, or raises `Rejection` with the column's name. A value that the column
    cannot hold becomes what its `on_invalid` says, and is added to `adjustments`.
    """
    name, nullable, convert_value = column.name, column.nullable, conversion.convert

    def convert(value: Any) -> Any:
        try:
            refuse_array(value)
            if value is not None:
                return convert_value(value)
            if nullable:
                return None
            raise Rejection(Reason.MISSING_VALUE, "NOT NULL")
        except Rejection as rejection:
            rejection.column = name
            raise

    if column.on_invalid == "reject":
        return convert
    clamp = conversion.clamp

    def convert_or_adjust(value: Any) -> Any:
        try:
            return convert(value)
        except Rejection as rejection:
            adjusted = None
            if column.on_invalid == "clamp":
                if value is None or value is IN_ARRAY or clamp is None:
                    raise
                try:
                    adjusted = clamp(value)
                except Rejection:
                    raise rejection from None
            adjustments.append((name, "clamped" if column.on_invalid == "clamp" else "nulled"))
            return adjusted

    return convert_or_adjust


def build_remembering(column: Column, conversion: Conversion, convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Build the conversion that keeps its last results.

    Args:
        convert: the column's slow path, for what the type refuses: an adjusted value is counted each time.
    """
    if column.on_invalid == "reject":
        return lru_cache(conversion.remembered)(convert)
    remembered = lru_cache(conversion.remembered)(conversion.convert)

    def convert_remembered(value: Any) -> Any:
        try:
            return remembered(value)
        except Rejection:
            return convert(value)

    return convert_remembered


def _expects_object_id(column: Column) -> bool:
    """Guess whether ObjectIds are the usual value, to test for them first; a wrong guess costs time only."""
    return _is_id(column) or ITEM_ITSELF in column.item_field


def _build_text(column: Column) -> Conversion:
    key, own = column.foreign_key, DOCUMENT_ID in column.mongo_field
    return text.build_text(
        column.type,
        _expects_object_id(column),
        is_id=_is_id(column),
        documents=own or (key is not None and key.documents),
        is_reference=not own,
    )


def _is_id(column: Column) -> bool:
    """Tell whether the values are ids of documents, which may be documents themselves."""
    return bool(column.foreign_key) or DOCUMENT_ID in column.mongo_field
