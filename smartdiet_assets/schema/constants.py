"""Constants of a schema file (`default`, an array's `set`): whether one fits the type of its column.

Here: a check of the value's kind and size for each family of types, so that a mistake shows when the file is read,
not in a load. Each says what the constant should be; nothing where it fits.
"""

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from smartdiet_assets.schema.model import Scalar
    from smartdiet_assets.schema.types import ColumnType

Fault: TypeAlias = Callable[["Scalar", "ColumnType"], str]

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def accept(value: "Scalar", type: "ColumnType") -> str:
    return ""


def refuse(value: "Scalar", type: "ColumnType") -> str:
    return "left out: a constant of this type cannot be declared"


def fault_of_text(value: "Scalar", type: "ColumnType") -> str:
    if not isinstance(value, str):
        return "a text in quotes"
    return f"at most {type.length} characters" if type.length and len(value) > type.length else ""


def fault_of_integer(value: "Scalar", type: "ColumnType") -> str:
    limit = 1 << (type.base.bits - 1)
    fits = isinstance(value, int) and not isinstance(value, bool) and -limit <= value < limit
    return "" if fits else f"a whole number from {-limit} to {limit - 1}"


def fault_of_boolean(value: "Scalar", type: "ColumnType") -> str:
    return "" if isinstance(value, bool) else "true or false"


def fault_of_float(value: "Scalar", type: "ColumnType") -> str:
    return "" if isinstance(value, int | float) and not isinstance(value, bool) else "a number"


def fault_of_numeric(value: "Scalar", type: "ColumnType") -> str:
    expected = f"a number that fits {type.sql}"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return expected
    try:
        number = Decimal(str(value))
    except (InvalidOperation, ValueError):
        return expected
    if not number.is_finite():
        return expected
    whole = (type.precision or 131_072) - (type.scale or 0)
    return "" if number.adjusted() < whole or number == 0 else expected


def expect(form: str, read: Callable[[str], object]) -> Fault:
    """Build the check of a text of the form described, which `read` reads or else raises ValueError."""

    def fault(value: "Scalar", type: "ColumnType") -> str:
        if not isinstance(value, str):
            return form
        try:
            read(value)
        except ValueError:
            return form
        return ""

    return fault


def read_date(text: str) -> date:
    if not _DATE.fullmatch(text):
        raise ValueError(text)
    return date.fromisoformat(text)
