"""The documented table of conversions: what each BSON type becomes in each column type.

Here: the table as data, which the tests hold the code to, and its Markdown for the README
(`python -m smartdiet_assets_tests.support.conversion_table`).
Not here: the tests (`test_conversion_table`).
"""

import uuid
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from bson import (
    Binary,
    Code,
    DatetimeMS,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)

from smartdiet_assets.schema.reasons import Reason
from smartdiet_assets.transform.json_documents import JsonText

MISSING = object()
ID = ObjectId("65e8f3a0c2a4b1d2e3f4a5b6")
HEX = str(ID)
UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")
MOMENT = datetime(2024, 3, 6, 23, 0, 0, 123000)
OUT_OF_RANGE = Reason.OUT_OF_RANGE
NAN, INFINITY = float("nan"), float("inf")

#: One value per BSON type, two where the type alone does not decide.
SAMPLES: dict[str, Any] = {
    "double": 12.5,
    "string": "abc",
    "object": {"a": ID, "n": Decimal128("1.10")},
    "array": [1, "a"],
    "array of strings": ["a", "b c"],
    "binData": b"\x01\x02",
    "UUID": Binary.from_uuid(UUID),
    "objectId": ID,
    "bool": True,
    "date": MOMENT,
    "date out of range": DatetimeMS(2**60),
    "null": None,
    "missing": MISSING,
    "regex": Regex("^a", "i"),
    "javascript": Code("f()"),
    "int": 12,
    "timestamp": Timestamp(1709766000, 7),
    "long": Int64(2**40),
    "decimal": Decimal128("12.50"),
    "minKey": MinKey(),
    "maxKey": MaxKey(),
    "DBRef": DBRef("users", ID),
}

_TEXT = {
    "double": "12.5",
    "string": "abc",
    "array of strings": '{a,"b c"}',
    "binData": "\\x0102",
    "UUID": str(UUID),
    "objectId": HEX,
    "bool": "true",
    "date": "2024-03-06 23:00:00.123",
    "date out of range": OUT_OF_RANGE,
    "int": "12",
    "long": "1099511627776",
    "decimal": "12.50",
}
_SECOND = datetime(2024, 3, 6, 23)

#: What the samples become. A type not listed is rejected as `invalid_type`; null and missing are NULL.
RESULTS: dict[str, dict[str, Any]] = {
    "VARCHAR": _TEXT,
    "TEXT": _TEXT,
    "CHAR(40)": _TEXT,
    "SMALLINT": {"double": 13, "int": 12, "long": OUT_OF_RANGE, "decimal": 13},
    "INTEGER": {"double": 13, "int": 12, "long": OUT_OF_RANGE, "decimal": 13},
    "BIGINT": {"double": 13, "int": 12, "long": 2**40, "decimal": 13},
    "REAL": {"double": 12.5, "int": 12.0, "long": float(2**40), "decimal": 12.5},
    "DOUBLE PRECISION": {"double": 12.5, "int": 12.0, "long": float(2**40), "decimal": 12.5},
    "NUMERIC": {
        "double": Decimal("12.5"),
        "int": Decimal(12),
        "long": Decimal(2**40),
        "decimal": Decimal("12.50"),
    },
    "NUMERIC(4,1)": {
        "double": Decimal("12.5"),
        "int": Decimal("12.0"),
        "long": OUT_OF_RANGE,
        "decimal": Decimal("12.5"),
    },
    "BOOLEAN": {"bool": True},
    "DATE": {"date": date(2024, 3, 6), "timestamp": date(2024, 3, 6), "date out of range": OUT_OF_RANGE},
    "TIMESTAMP": {"date": MOMENT, "timestamp": _SECOND, "date out of range": OUT_OF_RANGE},
    "TIMESTAMPTZ": {
        "date": MOMENT.replace(tzinfo=UTC),
        "timestamp": _SECOND.replace(tzinfo=UTC),
        "date out of range": OUT_OF_RANGE,
    },
    "TIME": {"date": time(23, 0, 0, 123000), "date out of range": OUT_OF_RANGE},
    "JSONB": {
        "double": JsonText("12.5"),
        "string": JsonText('"abc"'),
        "object": JsonText(f'{{"a":"{HEX}","n":1.10}}'),
        "array": JsonText('[1,"a"]'),
        "array of strings": JsonText('["a","b c"]'),
        "binData": JsonText('"AQI="'),
        "UUID": JsonText(f'"{UUID}"'),
        "objectId": JsonText(f'"{HEX}"'),
        "bool": JsonText("true"),
        "date": JsonText('"2024-03-06T23:00:00.123Z"'),
        "date out of range": JsonText('{"$date":{"$numberLong":"1152921504606846976"}}'),
        "regex": JsonText('{"$regularExpression":{"pattern":"^a","options":"i"}}'),
        "javascript": JsonText('{"$code":"f()"}'),
        "int": JsonText("12"),
        "timestamp": JsonText('{"$timestamp":{"t":1709766000,"i":7}}'),
        "long": JsonText("1099511627776"),
        "decimal": JsonText("12.50"),
        "minKey": JsonText('{"$minKey":1}'),
        "maxKey": JsonText('{"$maxKey":1}'),
        "DBRef": JsonText(f'{{"$ref":"users","$id":"{HEX}"}}'),
    },
    "UUID": {"UUID": UUID},
    "BYTEA": {"binData": b"\x01\x02", "UUID": UUID.bytes},
}

_INVALID, _NUL, _LONG = Reason.INVALID_TYPE, Reason.NUL_CHARACTER, Reason.TOO_LONG

#: Single values at the edges: column type, value, what becomes of it.
EDGES: list[tuple[str, Any, Any]] = [
    # Text: what the replaced tool's driver and PostgreSQL made of it.
    ("VARCHAR", "", ""),
    ("VARCHAR", "née 😀\n", "née 😀\n"),
    ("VARCHAR", "a\0b", _NUL),
    ("VARCHAR", ["a\0"], _NUL),
    ("VARCHAR(3)", "abc", "abc"),
    ("VARCHAR(3)", "abcd", _LONG),
    ("VARCHAR(3)", "ab    ", "ab "),
    ("VARCHAR(3)", "ab  d", _LONG),
    ("VARCHAR(3)", "abc\t", _LONG),
    ("VARCHAR(3)", "😀😀😀", "😀😀😀"),
    ("VARCHAR(3)", 1234, _LONG),
    ("VARCHAR(23)", ID, _LONG),
    ("VARCHAR(24)", ID, HEX),
    ("CHAR", "a", "a"),
    ("CHAR", "ab", _LONG),
    ("VARCHAR", False, "false"),
    ("VARCHAR", 12.0, "12.0"),
    ("VARCHAR", -0.0, "0.0"),
    ("VARCHAR", 0.1, "0.1"),
    ("VARCHAR", 1e16, "10000000000000000"),
    ("VARCHAR", 1e-7, "0.0000001"),
    ("VARCHAR", NAN, "NaN"),
    ("VARCHAR", INFINITY, "Infinity"),
    ("VARCHAR", -INFINITY, "-Infinity"),
    ("VARCHAR", Int64(-(2**63)), "-9223372036854775808"),
    ("VARCHAR", Decimal128("1E+3"), "1E+3"),
    ("VARCHAR", Decimal128("NaN"), "NaN"),
    ("VARCHAR", datetime(2024, 3, 6, 23), "2024-03-06 23:00:00"),
    ("VARCHAR", datetime(2024, 3, 6, 23, 0, 0, 120000), "2024-03-06 23:00:00.12"),
    ("VARCHAR", datetime(1, 1, 1), "0001-01-01 00:00:00"),
    ("VARCHAR", [], "{}"),
    ("VARCHAR", ["", "null", 'a"b', "c\\d", "{e}", "f,g", "é"], '{"","null","a\\"b","c\\\\d","{e}","f,g",é}'),
    ("VARCHAR", ["a", None], _INVALID),
    ("VARCHAR", [ID], _INVALID),
    ("VARCHAR", {}, _INVALID),
    ("VARCHAR", Binary(b"abc", 4), "\\x616263"),
    ("VARCHAR", Code("f()", {}), _INVALID),
    # Integers: PostgreSQL rounds half away from zero.
    ("SMALLINT", 32767, 32767),
    ("SMALLINT", -32768, -32768),
    ("SMALLINT", 32768, OUT_OF_RANGE),
    ("SMALLINT", -32769, OUT_OF_RANGE),
    ("SMALLINT", Int64(7), 7),
    ("SMALLINT", 32767.4, 32767),
    ("SMALLINT", 32767.5, OUT_OF_RANGE),
    ("INTEGER", 2.5, 3),
    ("INTEGER", -2.5, -3),
    ("INTEGER", 0.4999999999999999, 0),
    ("INTEGER", Decimal128("2.5"), 3),
    ("INTEGER", Decimal128("1E+6144"), OUT_OF_RANGE),
    ("INTEGER", Decimal128("0E+6144"), 0),
    ("INTEGER", Decimal128("1E-6176"), 0),
    ("INTEGER", NAN, OUT_OF_RANGE),
    ("INTEGER", INFINITY, OUT_OF_RANGE),
    ("INTEGER", Decimal128("NaN"), OUT_OF_RANGE),
    ("INTEGER", "12", 12),
    ("INTEGER", " -012 ", -12),
    ("INTEGER", "12.5", _INVALID),
    ("INTEGER", "", _INVALID),
    ("INTEGER", "١٢", _INVALID),
    ("INTEGER", "1_0", _INVALID),
    ("INTEGER", "9" * 5000, OUT_OF_RANGE),
    ("INTEGER", 2**31 - 1, 2**31 - 1),
    ("INTEGER", Int64(2**31), OUT_OF_RANGE),
    ("INTEGER", False, _INVALID),
    ("BIGINT", Int64(2**63 - 1), 2**63 - 1),
    ("BIGINT", 9.3e18, OUT_OF_RANGE),
    ("BIGINT", "9223372036854775808", OUT_OF_RANGE),
    # Floats.
    ("REAL", 3.4028234663852886e38, 3.4028234663852886e38),
    ("REAL", 1e39, OUT_OF_RANGE),
    ("REAL", 1e-50, OUT_OF_RANGE),
    ("REAL", -1.5, -1.5),
    ("REAL", 0.0, 0.0),
    ("REAL", INFINITY, INFINITY),
    ("DOUBLE PRECISION", INFINITY, INFINITY),
    ("DOUBLE PRECISION", NAN, NAN),
    ("DOUBLE PRECISION", Decimal128("-Infinity"), -INFINITY),
    ("DOUBLE PRECISION", Decimal128("sNaN"), NAN),
    ("DOUBLE PRECISION", Decimal128("1E+400"), OUT_OF_RANGE),
    ("DOUBLE PRECISION", Decimal128("1E-400"), OUT_OF_RANGE),
    ("DOUBLE PRECISION", " 1.5e3 ", 1500.0),
    ("DOUBLE PRECISION", ".5", 0.5),
    ("DOUBLE PRECISION", "infinity", INFINITY),
    ("DOUBLE PRECISION", "nan", NAN),
    ("DOUBLE PRECISION", "1e999", OUT_OF_RANGE),
    ("DOUBLE PRECISION", "0x10", _INVALID),
    ("DOUBLE PRECISION", True, _INVALID),
    # NUMERIC: exact.
    ("NUMERIC", 0.1, Decimal("0.1")),
    ("NUMERIC", Decimal128("9.999999999999999999999999999999999E+6144"), Decimal("9." + "9" * 33 + "E+6144")),
    ("NUMERIC", Decimal128("-0.00"), Decimal("0.00")),
    ("NUMERIC", Decimal128("-NaN"), Decimal("NaN")),
    ("NUMERIC", NAN, Decimal("NaN")),
    ("NUMERIC", Decimal128("-Infinity"), Decimal("-Infinity")),
    ("NUMERIC(4,2)", INFINITY, OUT_OF_RANGE),
    ("NUMERIC(4,2)", NAN, Decimal("NaN")),
    ("NUMERIC", "1e99999999999999999999", OUT_OF_RANGE),
    ("NUMERIC", "-1.10", Decimal("-1.10")),
    ("NUMERIC", "1e-20000", OUT_OF_RANGE),
    ("NUMERIC(4,2)", 99.994, Decimal("99.99")),
    ("NUMERIC(4,2)", 99.995, OUT_OF_RANGE),
    ("NUMERIC(4,2)", 0.005, Decimal("0.01")),
    ("NUMERIC(4,2)", -0.001, Decimal("0.00")),
    ("NUMERIC(4,2)", Decimal128("0E+6144"), Decimal("0.00")),
    ("NUMERIC(2,2)", 1, OUT_OF_RANGE),
    ("NUMERIC(2,2)", 0.99, Decimal("0.99")),
    ("NUMERIC(3)", 2.5, Decimal(3)),
    # BOOLEAN: PostgreSQL's spellings, its unique prefixes too.
    *(("BOOLEAN", text, True) for text in ("true", "T", "yes", "y", " on ", "1", "tru")),
    *(("BOOLEAN", text, False) for text in ("false", "f", "NO", "off", "of", "0")),
    *(("BOOLEAN", value, _INVALID) for value in ("o", "oui", "", 1, 0, 1.0)),
    # Dates from strings: the zone is ignored, as it was.
    ("DATE", "2024-03-06", date(2024, 3, 6)),
    ("DATE", "20240306", date(2024, 3, 6)),
    ("DATE", "2024-03-06T23:30:00Z", date(2024, 3, 6)),
    ("DATE", "2024-03-06T23:30:00-05:00", date(2024, 3, 6)),
    ("DATE", datetime(9999, 12, 31, 23, 59), date(9999, 12, 31)),
    ("DATE", "", _INVALID),
    ("DATE", "06/03/2024", _INVALID),
    ("DATE", "2024-W10-3", _INVALID),
    ("DATE", "2024-02-30", OUT_OF_RANGE),
    ("DATE", "0000-01-01", OUT_OF_RANGE),
    ("TIMESTAMP", "2024-03-06 23:00", datetime(2024, 3, 6, 23)),
    ("TIMESTAMP", "2024-03-06t23:00:00.5z", datetime(2024, 3, 6, 23, 0, 0, 500000)),
    ("TIMESTAMP", "2024-03-06 23:00:00 +02", datetime(2024, 3, 6, 23)),
    ("TIMESTAMP", "2024-03-06T23:00:60", OUT_OF_RANGE),
    ("TIMESTAMP", DatetimeMS(-62135596800001), OUT_OF_RANGE),
    ("TIMESTAMP", ID, _INVALID),
    ("TIMESTAMPTZ", "2024-03-06T23:00:00+02:00", datetime(2024, 3, 6, 21, tzinfo=UTC)),
    ("TIMESTAMPTZ", "2024-03-06T23:00:00", datetime(2024, 3, 6, 23, tzinfo=UTC)),
    ("TIMESTAMPTZ", "0001-01-01T00:00:00+02:00", OUT_OF_RANGE),
    ("TIME", "08:30", time(8, 30)),
    ("TIME", " 08:30:15.5 ", time(8, 30, 15, 500000)),
    ("TIME", "25:00", OUT_OF_RANGE),
    ("TIME", "8h30", _INVALID),
    # JSONB: every value, exactly.
    ("JSONB", {}, JsonText("{}")),
    ("JSONB", [], JsonText("[]")),
    ("JSONB", [None, [True, False]], JsonText("[null,[true,false]]")),
    ("JSONB", [NAN, INFINITY, -INFINITY], JsonText('["NaN","Infinity","-Infinity"]')),
    ("JSONB", Decimal128("sNaN"), JsonText('"NaN"')),
    ("JSONB", Decimal128("1.0E+40"), JsonText("1.0E+40")),
    ("JSONB", {"a": 'é"\n\\u0000'}, JsonText('{"a":"é\\"\\n\\\\u0000"}')),
    ("JSONB", {"a": ["\0"]}, _NUL),
    (
        "JSONB",
        {"a": Code("f()", {"x": ID})},
        JsonText(f'{{"a":{{"$code":"f()","$scope":{{"x":{{"$oid":"{HEX}"}}}}}}}}'),
    ),
    # UUID and BYTEA.
    ("UUID", str(UUID).upper(), UUID),
    ("UUID", UUID.hex, UUID),
    ("UUID", Binary(UUID.bytes, 3), UUID),
    ("UUID", Binary(b"abc", 4), _INVALID),
    ("UUID", "1234", _INVALID),
    ("BYTEA", b"", b""),
    ("BYTEA", Binary(b"a", 128), b"a"),
]


def find_result(sql_type: str, label: str) -> Any:
    """Look up what a sample becomes in a column."""
    if label in ("null", "missing"):
        return None
    return RESULTS[sql_type].get(label, Reason.INVALID_TYPE)


_SHOWN = ("VARCHAR", "INTEGER", "DOUBLE PRECISION", "NUMERIC(4,1)", "BOOLEAN", "DATE", "TIMESTAMP", "TIME")
_SHOWN_TOO = ("JSONB", "UUID", "BYTEA")


def render_markdown() -> str:
    """Render the table for the README: a row per BSON type; an empty cell is a reject as `invalid_type`."""
    types = (*_SHOWN, *_SHOWN_TOO)
    lines = [f"| BSON | {' | '.join(types)} |", "| --- " * (len(types) + 1) + "|"]
    for label in SAMPLES:
        cells = (_render_cell(find_result(sql_type, label)) for sql_type in types)
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _render_cell(result: Any) -> str:
    if isinstance(result, Reason):
        return "" if result is Reason.INVALID_TYPE else f"*{result}*"
    if result is None:
        return "NULL"
    text = result.obj if isinstance(result, JsonText) else result
    text = f"\\x{text.hex()}" if isinstance(text, bytes) else str(text)
    return f"`{text.replace('|', '&#124;')}`"


if __name__ == "__main__":
    print(render_markdown(), end="")
