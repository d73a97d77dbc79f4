"""The registry: which conversion fills which column type.

Here: the families together, and what every column adds to its type's conversion (NULL, NOT NULL, its name, what
becomes of a value it cannot hold). The documented table of all of them is their test, `support/conversion_table.py`.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Literal

from smartdiet_assets.schema.model import Column
from smartdiet_assets.schema.reasons import Reason
from smartdiet_assets.transform import binary, dates, json_documents, numbers, text
from smartdiet_assets.transform.conversion import Build, Conversion
from smartdiet_assets.transform.forgetting import Forgetting
from smartdiet_assets.transform.paths import IN_ARRAY, refuse_array
from smartdiet_assets.transform.protection import protect_conversion
from smartdiet_assets.transform.rejection import Rejection

CONVERSIONS: dict[str, Build] = {
    **text.CONVERSIONS,
    **numbers.CONVERSIONS,
    **dates.CONVERSIONS,
    **json_documents.CONVERSIONS,
    **binary.CONVERSIONS,
}

#: A value that the column could not hold as it was: the column, and what became of it.
Adjustment = tuple[str, Literal["nulled", "clamped"]]


def build_conversion(column: Column, forgetting: Forgetting | None = None) -> Conversion:
    """Build the conversion of a column's values, NULL not included."""
    conversion = CONVERSIONS[column.type.name](column)
    if forgetting is not None:
        conversion = forgetting.wrap(column, conversion)
    return conversion if column.protect is None else protect_conversion(column, column.protect, conversion)


def build_column_converter(
    column: Column, conversion: Conversion, adjustments: list[Adjustment]
) -> Callable[[object], object]:
    """Build the slow path of a column: takes any decoded value, None included.

    The function returns the column's value, or raises `Rejection` with the column's name. A value that the column
    cannot hold becomes what its `on_invalid` says, and is added to `adjustments`.
    """
    name, nullable, convert_value = column.name, column.nullable, conversion.convert

    def convert(value: object) -> object:
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

    def convert_or_adjust(value: object) -> object:
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


def build_remembering(
    column: Column, conversion: Conversion, convert: Callable[[object], object]
) -> Callable[[object], object]:
    """Build the conversion that keeps its last results.

    Args:
        convert: the column's slow path, for what the type refuses: an adjusted value is counted each time.
    """
    if column.on_invalid == "reject":
        return lru_cache(conversion.remembered)(convert)
    remembered = lru_cache(conversion.remembered)(conversion.convert)

    def convert_remembered(value: object) -> object:
        try:
            return remembered(value)
        except Rejection:
            return convert(value)

    return convert_remembered
