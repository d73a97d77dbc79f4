"""What the oracle knows of values: how each BSON value reads in each column type, one plain function a type.

Here: the conversion table of the documentation, written down a second time.
Not here: anything of `transform`; where a value comes from (`rows`).
"""

import base64
import json
import re
import struct
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, time
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from bson import Binary, Code, DBRef, Decimal128, ObjectId, Timestamp, json_util
from bson.datetime_ms import DatetimeMS

from smartdiet_assets.schema.model import Column
from smartdiet_assets.schema.types import ColumnType
from smartdiet_assets_tests.oracle.documents import one_form

_WIDE = Context(prec=7000)


class Unfit(Exception):  # noqa: N818 - the word of the oracle, not an error of the project
    """A value that does not become a value of its column; `reason` is the reject reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def to_text(value: Any, type_: ColumnType) -> str:
    """Text as the replaced tool's driver sent it, checked against the length."""
    text = _text_of(value)
    if "\0" in text:
        raise Unfit("nul_character")
    if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise Unfit("invalid_text")
    limit = type_.length or (1 if type_.name == "char" else None)
    if type_.name != "text" and limit is not None and len(text) > limit:
        if not text.endswith(" " * (len(text) - limit)):
            raise Unfit("too_long")
        return text[:limit]
    return text


def _text_of(value: Any) -> str:
    if isinstance(value, Code):
        raise Unfit("invalid_type")
    if isinstance(value, DatetimeMS):
        raise Unfit("out_of_range")
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return _double_as_text(value)
    if isinstance(value, Decimal128 | ObjectId):
        return str(value)
    if isinstance(value, datetime):
        whole = f"{value:%H:%M:%S}" + (f".{value.microsecond:06d}".rstrip("0") if value.microsecond else "")
        return f"{value.year:04d}-{value.month:02d}-{value.day:02d} {whole}"
    if isinstance(value, Binary) and value.subtype == 4:
        return str(uuid.UUID(bytes=bytes(value)))
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, list) and all(isinstance(item, str) and not isinstance(item, Code) for item in value):
        return "{" + ",".join(_array_element(item) for item in value) + "}"
    raise Unfit("invalid_type")


def _double_as_text(value: float) -> str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return f"{Decimal(repr(value)):f}" if value else "0.0"  # sent as a numeric literal: no exponent, no -0.0


def _array_element(text: str) -> str:
    special = re.search(r'[{}",\\ \t\n\r\v\f]', text) is not None
    if text == "" or special or text.upper() == "NULL":
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return text


_INTEGER_TEXT = re.compile(r"[+-]?[0-9]+")
_NUMBER_TEXT = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_BITS = {"smallint": 16, "integer": 32, "bigint": 64}


def to_integer(value: Any, type_: ColumnType) -> int:
    """A whole number in the type's range; fractions round half away from zero."""
    if isinstance(value, bool):
        raise Unfit("invalid_type")
    if isinstance(value, int):
        number = int(value)
    elif isinstance(value, float | Decimal128):
        exact = Decimal(repr(value)) if isinstance(value, float) else value.to_decimal()
        if not exact.is_finite() or exact.adjusted() > 30:
            raise Unfit("out_of_range")
        number = int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP, context=_WIDE))
    elif isinstance(value, str) and not isinstance(value, Code) and _INTEGER_TEXT.fullmatch(value.strip()):
        number = int(value.strip())
    else:
        raise Unfit("invalid_type")
    limit = 2 ** (_BITS[type_.name] - 1)
    if not -limit <= number < limit:
        raise Unfit("out_of_range")
    return number


def to_decimal(value: Any, type_: ColumnType) -> Decimal:
    """An exact number, rounded to the declared scale."""
    number = _number_of(value)
    if number.is_nan() or type_.precision is None:
        return number
    if number.is_infinite():
        raise Unfit("out_of_range")
    scale = type_.scale or 0
    number = number.quantize(Decimal(1).scaleb(-scale), rounding=ROUND_HALF_UP, context=_WIDE)
    if abs(number) >= Decimal(10) ** (type_.precision - scale):
        raise Unfit("out_of_range")
    return number


def _number_of(value: Any) -> Decimal:
    if isinstance(value, bool | Code):
        raise Unfit("invalid_type")
    if isinstance(value, int):
        return Decimal(int(value))
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, Decimal128):
        number = value.to_decimal()
        return Decimal("NaN") if number.is_nan() else number
    if isinstance(value, str):
        text = value.strip()
        if _NUMBER_TEXT.fullmatch(text):
            return Decimal(text)
        if re.fullmatch(r"nan|[+-]?inf(inity)?", text, re.IGNORECASE):
            return Decimal(text)
    raise Unfit("invalid_type")


def to_float(value: Any, type_: ColumnType) -> float:
    """A binary floating-point number of 4 or 8 bytes."""
    number = value if isinstance(value, float) else float(_number_of(value))
    infinite_source = isinstance(value, str | float | Decimal128) and _number_of(value).is_infinite()
    if number in (float("inf"), float("-inf")) and not infinite_source:
        raise Unfit("out_of_range")
    if type_.name == "real":
        try:
            short = float(struct.unpack("<f", struct.pack("<f", number))[0])
        except OverflowError:
            raise Unfit("out_of_range") from None
        if short == 0 != number:
            raise Unfit("out_of_range")
        return short
    return number


_TRUE = {"true", "t", "yes", "y", "on", "1"}
_FALSE = {"false", "f", "no", "n", "off", "0"}


def to_boolean(value: Any) -> bool:
    """A boolean, or a word PostgreSQL reads as one."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and not isinstance(value, Code):
        word = value.strip().lower()
        if word in _TRUE | _FALSE:
            return word in _TRUE
    raise Unfit("invalid_type")


def to_moment(value: Any, zone: str | None, *, keep_offset: bool = False) -> datetime:
    """A naive datetime: UTC, or the wall clock of `zone`.

    A string is taken as it reads. Its offset counts only for a zone, or where `keep_offset` asks.
    """
    if isinstance(value, DatetimeMS):
        raise Unfit("out_of_range")
    if isinstance(value, Timestamp):
        moment = datetime.fromtimestamp(value.time, UTC).replace(tzinfo=None)
    elif isinstance(value, datetime):
        moment = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    elif isinstance(value, str) and not isinstance(value, Code):
        try:
            parsed = datetime.fromisoformat(value.strip())
        except ValueError:
            looks_like_a_date = re.match(r"\s*\d{4}-\d\d-\d\d", value)
            raise Unfit("out_of_range" if looks_like_a_date else "invalid_type") from None
        if parsed.tzinfo is None or (zone is None and not keep_offset):
            return parsed.replace(tzinfo=None)
        moment = parsed.astimezone(UTC).replace(tzinfo=None)
    else:
        raise Unfit("invalid_type")
    if zone is None:
        return moment
    try:
        return moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    except OverflowError:
        raise Unfit("out_of_range") from None


def to_time(value: Any) -> time:
    """A time of day: of a string `HH:MM[:SS]`, or of an instant in UTC."""
    if isinstance(value, DatetimeMS):
        raise Unfit("out_of_range")
    if isinstance(value, datetime):
        return value.time()
    if isinstance(value, str) and re.fullmatch(r"\d\d:\d\d(:\d\d(\.\d+)?)?", value.strip()):
        try:
            return time.fromisoformat(value.strip())
        except ValueError:
            raise Unfit("out_of_range") from None
    raise Unfit("invalid_type")


def to_uuid(value: Any) -> uuid.UUID:
    """A UUID of its binary form or of its text."""
    if isinstance(value, uuid.UUID):
        return value
    if isinstance(value, Binary) and value.subtype in (3, 4) and len(value) == 16:
        return uuid.UUID(bytes=bytes(value))
    if isinstance(value, str):
        try:
            return uuid.UUID(value.strip())
        except ValueError:
            raise Unfit("invalid_type") from None
    raise Unfit("invalid_type")


def to_bytes(value: Any) -> bytes:
    """The bytes of a Binary of any subtype."""
    if isinstance(value, bytes):
        return bytes(value)
    raise Unfit("invalid_type")


def to_json(value: Any) -> Any:
    """The JSON value of any BSON value; every number is a Decimal, so that nothing is lost."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and not isinstance(value, Code):
        return to_text(value, ColumnType(name="text"))
    if isinstance(value, int):
        return Decimal(int(value))
    if isinstance(value, float):
        return Decimal(repr(value)) if value - value == 0 else _double_as_text(value)
    if isinstance(value, Decimal128):
        return value.to_decimal() if value.to_decimal().is_finite() else str(value)
    if isinstance(value, ObjectId | uuid.UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.strftime(f"{value.year:04d}-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"
    if isinstance(value, Binary) and value.subtype in (3, 4) and len(value) == 16:
        return str(uuid.UUID(bytes=bytes(value)))
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, DBRef):
        return to_json(value.as_doc())
    if isinstance(value, Mapping):
        return {to_text(str(key), ColumnType(name="text")): to_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [to_json(inner) for inner in value]
    text = json_util.dumps(value, json_options=json_util.RELAXED_JSON_OPTIONS)
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def canonical_json(value: Any) -> str:
    """One text for equal JSON values: keys sorted, `1`, `1.0` and `1e0` alike."""
    if isinstance(value, Decimal | int | float) and not isinstance(value, bool):
        return str(Decimal(value).normalize(_WIDE) + 0) if value else "0"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(k)}:{canonical_json(value[k])}" for k in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical_json, value)) + "]"
    return json.dumps(value)


def convert(value: Any, column: Column) -> Any:
    """Turn one value that is not null into the column's. JSONB values come as `canonical_json` text."""
    type_ = column.type
    match type_.name:
        case "varchar" | "char" | "text":
            if column.foreign_key is not None or "_id" in column.mongo_field:
                value = one_form(value)
                key = column.foreign_key
                own, documents = "_id" in column.mongo_field, key is not None and key.documents
                if isinstance(value, Mapping) and (own or (documents and "_id" not in value)):
                    # An id that is a document is its canonical extended JSON; a copy of a document is no id.
                    value = json_util.dumps(value, json_options=json_util.CANONICAL_JSON_OPTIONS, ensure_ascii=False)
            return to_text(value, type_)
        case "smallint" | "integer" | "bigint":
            return to_integer(value, type_)
        case "numeric":
            return to_decimal(value, type_)
        case "real" | "double precision":
            return to_float(value, type_)
        case "boolean":
            return to_boolean(value)
        case "date":
            return to_moment(value, column.timezone).date()
        case "timestamp":
            return to_moment(value, column.timezone)
        case "timestamptz":
            return to_moment(value, None, keep_offset=True)
        case "time":
            return to_time(value)
        case "uuid":
            return to_uuid(value)
        case "bytea":
            return to_bytes(value)
        case "jsonb":
            return canonical_json(to_json(value))
