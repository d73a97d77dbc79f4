"""Values of the integer, REAL, DOUBLE PRECISION, NUMERIC and BOOLEAN columns."""

import math
import re
import struct
from collections.abc import Mapping, Sequence
from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any, cast

from bson.decimal128 import Decimal128

from smartdiet_assets.schema.model import Column
from smartdiet_assets.schema.reasons import Reason
from smartdiet_assets.transform.conversion import Build, Conversion, FastPath, PageConversion
from smartdiet_assets.transform.pages import NUMBERS, WHOLE, split
from smartdiet_assets.transform.rejection import Rejection

_INTEGER = re.compile(r"\s*([+-]?)0*([0-9]+)\s*", re.ASCII)
_DECIMAL = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*", re.ASCII)
_SPECIAL = re.compile(r"\s*(?:(nan)|([+-]?)inf(?:inity)?)\s*", re.ASCII | re.IGNORECASE)
#: Digits of a bigint; longer integers need not be built to be refused.
_MAX_DIGITS = 19
#: What an unconstrained `numeric` holds: digits before and after the decimal point.
_NUMERIC_BEFORE, _NUMERIC_AFTER = 131_072, 16_383
#: Exact for anything a column can hold; the default context would round to 28 digits.
_EXACT = Context(prec=_NUMERIC_BEFORE + _NUMERIC_AFTER, rounding=ROUND_HALF_UP, Emax=MAX_EMAX, Emin=MIN_EMIN)

#: The strings PostgreSQL reads as booleans, its unique prefixes included.
_BOOLEANS = {
    **dict.fromkeys(("t", "tr", "tru", "true", "y", "ye", "yes", "on", "1"), True),
    **dict.fromkeys(("f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0"), False),
}


def build_integer(column: Column) -> Conversion:
    """Build the conversion to an integer type; fractions round half away from zero, as PostgreSQL's do."""
    expected = column.type.sql
    high = 2 ** (column.type.base.bits - 1) - 1
    low = -high - 1

    def convert(value: Any) -> int:
        kind = type(value)
        if kind is str:
            match = _INTEGER.fullmatch(value)
            if match is None:
                raise Rejection(Reason.INVALID_TYPE, expected, value)
            if len(match[2]) > _MAX_DIGITS:
                raise Rejection(Reason.OUT_OF_RANGE, expected, value)
            number = int(match[1] + match[2])
        elif kind is not bool and isinstance(value, int):
            number = int(value)
        else:
            exact = _read_decimal(value, expected)
            if not exact.is_finite() or (exact and exact.adjusted() >= _MAX_DIGITS):
                raise Rejection(Reason.OUT_OF_RANGE, expected, value)
            number = int(exact.to_integral_value(ROUND_HALF_UP)) if exact else 0
        if not low <= number <= high:
            raise Rejection(Reason.OUT_OF_RANGE, expected, value)
        return number

    # A BSON int has 32 bits; a longer one arrives as Int64, which is not exactly `int`.
    check = f"type(value) is int and {low} <= value <= {high}" if high < 2**31 - 1 else "type(value) is int"

    def convert_page(values: Sequence[bytes | None]) -> Sequence[object]:
        found: Sequence[Any]
        if None in values:
            found = [None if value is None else int(value) for value in values]
            known = [value for value in found if value is not None]
        else:
            found = known = list(map(int, cast("Sequence[bytes]", values)))
        if known and (max(known) > high or min(known) < low):
            raise ValueError
        return found

    return Conversion(
        convert, fast=(FastPath(check),), page=lambda data_type: convert_page if data_type in WHOLE else None
    )


def build_float(column: Column) -> Conversion:
    """Build the conversion to REAL or DOUBLE PRECISION; what overflows or underflows is out of range."""
    expected = column.type.sql
    single = column.type.base.is_single

    def convert(value: object) -> float:
        if type(value) is float:
            number = value
        elif type(value) is not bool and isinstance(value, int):
            number = float(value)
        else:
            exact = _read_decimal(value, expected)
            number = float("nan") if exact.is_nan() else float(exact)
            if exact.is_finite() and (number in _INFINITIES or bool(number) != bool(exact)):
                raise Rejection(Reason.OUT_OF_RANGE, expected, value)
        if single and not _fits_single(number):
            raise Rejection(Reason.OUT_OF_RANGE, expected, value)
        return number

    check = "type(value) is float"
    if single:
        # The range in which no value needs the exact test.
        check += " and (1e-37 <= value <= 3.4e+38 or value == 0.0)"
    limit = _LARGEST_SINGLE if single else math.inf

    def convert_page(values: Sequence[bytes | None]) -> Sequence[object]:
        found = [None if value is None else float(value) for value in values]
        if limit < math.inf and any(value is not None and not -limit <= value <= limit for value in found):
            raise ValueError
        return found

    return Conversion(
        convert, fast=(FastPath(check),), page=lambda data_type: convert_page if data_type in NUMBERS else None
    )


_INFINITIES = (float("inf"), float("-inf"))
_LARGEST_SINGLE = 3.4028235e38


def _fits_single(number: float) -> bool:
    try:
        packed = struct.unpack(">f", struct.pack(">f", number))[0]
    except OverflowError:
        return False
    return bool(packed) == bool(number)


def build_numeric(column: Column) -> Conversion:
    """Build the conversion to NUMERIC: exact, rounded to the declared scale half away from zero."""
    expected = column.type.sql
    precision, scale = column.type.precision, column.type.scale or 0
    step = Decimal(1).scaleb(-scale)

    def convert(value: object) -> Decimal:
        if type(value) is not bool and isinstance(value, int):
            exact = Decimal(int(value))
        else:
            exact = _read_decimal(value, expected)
        if exact.is_nan():
            # PostgreSQL knows one NaN, without sign or payload.
            return Decimal("NaN")
        if exact.is_infinite():
            if precision is None:
                return exact
            raise Rejection(Reason.OUT_OF_RANGE, expected, value)
        if not exact:
            # PostgreSQL has no -0, and a zero's exponent says nothing about its size.
            exact = exact.copy_abs() if -_NUMERIC_AFTER <= _exponent(exact) <= 0 else Decimal(0)
        elif exact.adjusted() >= _NUMERIC_BEFORE:
            raise Rejection(Reason.OUT_OF_RANGE, expected, value)
        if precision is None:
            if _exponent(exact) < -_NUMERIC_AFTER:
                raise Rejection(Reason.OUT_OF_RANGE, expected, value)
            return exact
        rounded = exact.quantize(step, context=_EXACT)
        if rounded and rounded.adjusted() >= precision - scale:
            raise Rejection(Reason.OUT_OF_RANGE, expected, value)
        return rounded if rounded else rounded.copy_abs()

    return Conversion(
        convert,
        page=lambda data_type: _build_decimal_page(precision, scale) if data_type == "decimal" else None,
    )


def _build_decimal_page(precision: int | None, scale: int) -> PageConversion:
    high = None if precision is None else Decimal(10) ** (precision - scale)

    def convert_page(values: Sequence[bytes | None]) -> Sequence[object]:
        texts = split(values)
        found = [None if value is None else Decimal(text) for value, text in zip(values, texts, strict=True)]
        if high is not None and any(
            value is not None and (abs(value) >= high or _exponent(value) < -scale) for value in found
        ):
            raise ValueError
        return found

    return convert_page


def _exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)  # the value is finite
    return exponent


def _read_decimal(value: object, expected: str) -> Decimal:
    """Read a double, a Decimal128 or a numeric string exactly; NaN and infinities included."""
    if type(value) is float:
        # By its shortest spelling, as the old driver sent it: 0.1 and not 0.1000000000000000055.
        return Decimal(repr(value))
    if type(value) is Decimal128:
        return value.to_decimal()
    if type(value) is str:
        if _DECIMAL.fullmatch(value):
            try:
                return Decimal(value.strip())
            except InvalidOperation:
                raise Rejection(Reason.OUT_OF_RANGE, expected, value) from None
        if special := _SPECIAL.fullmatch(value):
            return Decimal("NaN") if special[1] else Decimal(f"{special[2]}Infinity")
    raise Rejection(Reason.INVALID_TYPE, expected, value)


def build_boolean(column: Column) -> Conversion:
    """Build the conversion to BOOLEAN: booleans, and the strings PostgreSQL reads as such; never numbers."""
    expected = column.type.sql

    def convert(value: object) -> bool:
        if type(value) is bool:
            return value
        if type(value) is str:
            found = _BOOLEANS.get(value.strip(" \t\n\r\v\f").lower())
            if found is not None:
                return found
        raise Rejection(Reason.INVALID_TYPE, expected, value)

    return Conversion(convert, fast=(FastPath("type(value) is bool"),))


CONVERSIONS: Mapping[str, Build] = {
    "smallint": build_integer,
    "integer": build_integer,
    "bigint": build_integer,
    "real": build_float,
    "double precision": build_float,
    "numeric": build_numeric,
    "boolean": build_boolean,
}
