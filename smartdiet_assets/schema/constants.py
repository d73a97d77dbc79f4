"""Constants of a schema file (`default`, an array's `set`): whether one fits the type of its column.

Here: a check of the value's kind and size, so that a mistake shows when the file is read, not in a load.
Not here: the conversion of a document's values (`transform`).
"""

import re
import uuid
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation

from smartdiet_assets.schema.model import Scalar
from smartdiet_assets.schema.types import ColumnType, TypeName

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_INTEGER_BITS: dict[TypeName, int] = {"smallint": 16, "integer": 32, "bigint": 64}


def fault_of_constant(value: Scalar, type: ColumnType) -> str:
    """Say what a constant should be to fit a type; empty when it fits. Null fits every type."""
    if value is None:
        return ""
    if type.is_text:
        if not isinstance(value, str):
            return "a text in quotes"
        return f"at most {type.length} characters" if type.length and len(value) > type.length else ""
    if type.name in _INTEGER_BITS:
        limit = 1 << (_INTEGER_BITS[type.name] - 1)
        fits = isinstance(value, int) and not isinstance(value, bool) and -limit <= value < limit
        return "" if fits else f"a whole number from {-limit} to {limit - 1}"
    if type.name == "boolean":
        return "" if isinstance(value, bool) else "true or false"
    if type.name == "numeric":
        return _fault_of_numeric(value, type)
    if type.name in ("real", "double precision"):
        return "" if isinstance(value, int | float) and not isinstance(value, bool) else "a number"
    if type.name == "jsonb":
        return ""
    if type.name in _FORMS:
        expected, read = _FORMS[type.name]
        return "" if isinstance(value, str) and _reads(read, value) else expected
    return "left out: a constant of this type cannot be declared"


def _fault_of_numeric(value: Scalar, type: ColumnType) -> str:
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


def _reads(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True


def _read_date(text: str) -> date:
    if not _DATE.fullmatch(text):
        raise ValueError(text)
    return date.fromisoformat(text)


_FORMS: dict[TypeName, tuple[str, Callable[[str], object]]] = {
    "date": ("a date (YYYY-MM-DD)", _read_date),
    "time": ("a time of day (HH:MM:SS)", time.fromisoformat),
    "timestamp": ("a date and time (YYYY-MM-DD HH:MM:SS)", datetime.fromisoformat),
    "timestamptz": ("a date and time (YYYY-MM-DD HH:MM:SS+00:00)", datetime.fromisoformat),
    "uuid": ("a UUID", uuid.UUID),
}
