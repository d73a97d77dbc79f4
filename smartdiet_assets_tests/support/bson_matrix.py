"""The matrix of the README of transform: every BSON type against every column type, down to the bytes.

Here: one BSON element per type, as bytes, also of the types no driver writes any more; what it becomes in each column
type; and the matrix's Markdown (`python -m smartdiet_assets_tests.support.bson_matrix`).
Not here: edges of single types (`conversion_table`), the tests.
"""

import struct
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import bson

from smartdiet_assets.schema.reasons import Reason
from smartdiet_assets.transform.json_documents import JsonText
from smartdiet_assets_tests.support.conversion_table import HEX, ID, MISSING, RESULTS, SAMPLES, UUID

#: The columns of the matrix, and the types of the conversion table that each stands for.
COLUMN_TYPES: dict[str, tuple[str, ...]] = {
    "text": ("VARCHAR", "VARCHAR(40)", "CHAR(40)", "TEXT"),
    "integers": ("SMALLINT", "INTEGER", "BIGINT"),
    "floats": ("REAL", "DOUBLE PRECISION"),
    "NUMERIC": ("NUMERIC", "NUMERIC(4,1)"),
    "BOOLEAN": ("BOOLEAN",),
    "DATE": ("DATE",),
    "TIMESTAMP": ("TIMESTAMP", "TIMESTAMPTZ"),
    "TIME": ("TIME",),
    "JSONB": ("JSONB",),
    "UUID": ("UUID",),
    "BYTEA": ("BYTEA",),
}
SQL_TYPES = tuple(sql_type for group in COLUMN_TYPES.values() for sql_type in group)
#: What a column type holds as it is; everything else that it takes is converted.
AS_IT_IS: dict[str, tuple[str, ...]] = {
    "text": ("string", "symbol", "objectId"),
    "integers": ("int", "long"),
    "floats": ("double",),
    "NUMERIC": ("decimal",),
    "BOOLEAN": ("bool",),
    "DATE": (),
    "TIMESTAMP": ("date",),
    "TIME": (),
    "JSONB": ("double", "string", "symbol", "object", "array", "array of strings", "bool", "int", "long", "decimal"),
    "UUID": ("UUID (3)", "UUID (4)"),
    "BYTEA": ("binData", "UUID (3)", "UUID (4)"),
}


def _string(text: str) -> bytes:
    return struct.pack("<i", len(text.encode()) + 1) + text.encode() + b"\0"


def _binary(subtype: int, data: bytes) -> bytes:
    if subtype == 2:
        data = struct.pack("<i", len(data)) + data
    return struct.pack("<i", len(data)) + bytes([subtype]) + data


def _sampled(label: str) -> tuple[int, bytes]:
    """Encode a sample of the conversion table, and cut its element out of the document."""
    encoded = bson.encode({"v": SAMPLES[label]})
    return encoded[4], encoded[7:-1]


_SCOPED = _string("f()") + bson.encode({"x": ID})
#: The row's name, the element's type and its bytes; None for no element at all.
ELEMENTS: dict[str, list[tuple[int, bytes] | None]] = {
    "double": [_sampled("double")],
    "string": [_sampled("string")],
    "object": [_sampled("object")],
    "array": [_sampled("array")],
    "array of strings": [_sampled("array of strings")],
    "binData": [(0x05, _binary(subtype, b"\x01\x02")) for subtype in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0x80, 0xFF)],
    "UUID (3)": [(0x05, _binary(3, UUID.bytes))],
    "UUID (4)": [(0x05, _binary(4, UUID.bytes))],
    "undefined": [(0x06, b"")],
    "objectId": [_sampled("objectId")],
    "bool": [_sampled("bool")],
    "date": [_sampled("date")],
    "date out of range": [(0x09, struct.pack("<q", 2**60)), (0x09, struct.pack("<q", -(2**63)))],
    "null": [_sampled("null")],
    "missing": [None],
    "regex": [_sampled("regex")],
    "dbPointer": [(0x0C, _string("users") + ID.binary)],
    "javascript": [_sampled("javascript")],
    "symbol": [(0x0E, _string("abc"))],
    "javascriptWithScope": [(0x0F, struct.pack("<i", len(_SCOPED) + 4) + _SCOPED)],
    "int": [_sampled("int")],
    "timestamp": [_sampled("timestamp")],
    "long": [(0x12, struct.pack("<q", 12))],
    "long out of range": [_sampled("long")],
    "decimal": [_sampled("decimal")],
    "minKey": [_sampled("minKey")],
    "maxKey": [_sampled("maxKey")],
    "DBRef": [_sampled("DBRef")],
}
#: Rows that show a part of a type's values; the other part has the type's own row.
_UNSHOWN = ("long out of range",)
#: Other spellings of a row of the conversion table.
_SAME_AS = {
    "UUID (3)": "UUID",
    "UUID (4)": "UUID",
    "undefined": "null",
    "dbPointer": "DBRef",
    "symbol": "string",
    "long out of range": "long",
}
#: Text that reads as a value of the type: what it is, and what it becomes.
READABLE_TEXT: dict[str, tuple[str, Any]] = {
    "SMALLINT": ("12", 12),
    "INTEGER": ("12", 12),
    "BIGINT": ("12", 12),
    "REAL": ("12.5", 12.5),
    "DOUBLE PRECISION": ("12.5", 12.5),
    "NUMERIC": ("12.50", Decimal("12.50")),
    "NUMERIC(4,1)": ("12.50", Decimal("12.5")),
    "BOOLEAN": ("yes", True),
    "DATE": ("2024-03-06", date(2024, 3, 6)),
    "TIMESTAMP": ("2024-03-06T23:00:00Z", datetime(2024, 3, 6, 23)),
    "TIMESTAMPTZ": ("2024-03-06T23:00:00Z", datetime(2024, 3, 6, 23, tzinfo=UTC)),
    "TIME": ("08:30", time(8, 30)),
    "UUID": (str(UUID), UUID),
}
_LONG_12: dict[str, Any] = {sql_type: results["int"] for sql_type, results in RESULTS.items() if "int" in results}
_SCOPE = JsonText(f'{{"$code":"f()","$scope":{{"x":{{"$oid":"{HEX}"}}}}}}')
_EARLY = JsonText('{"$date":{"$numberLong":"-9223372036854775808"}}')


def list_cases(sql_type: str) -> list[tuple[str, bytes, Any]]:
    """List the cases of a column type: the row's name, a BSON document with `_id` from 0 on, what `v` becomes."""
    cases = []
    for label, elements in ELEMENTS.items():
        for number, element in enumerate(elements):
            expected = _find_result(sql_type, label, number)
            if label in ("string", "symbol") and sql_type in READABLE_TEXT:
                text, read = READABLE_TEXT[sql_type]
                cases.append(
                    (label, compose_document(len(cases), (0x02 if label == "string" else 0x0E, _string(text))), read)
                )
            cases.append((label, compose_document(len(cases), element), expected))
    return cases


def compose_document(identity: int, element: tuple[int, bytes] | None) -> bytes:
    """Compose a BSON document with an int `_id` and the element `v`."""
    body = b"\x10_id\0" + struct.pack("<i", identity)
    if element is not None:
        body += bytes([element[0]]) + b"v\0" + element[1]
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def _find_result(sql_type: str, label: str, number: int) -> Any:
    known = RESULTS["VARCHAR" if sql_type == "VARCHAR(40)" else sql_type]
    name = _SAME_AS.get(label, label)
    if name in ("null", "missing"):
        return None
    if label == "long":
        if sql_type == "JSONB":
            return JsonText("12")
        return _LONG_12.get("VARCHAR" if sql_type == "VARCHAR(40)" else sql_type, Reason.INVALID_TYPE)
    if label == "javascriptWithScope":
        return _SCOPE if sql_type == "JSONB" else Reason.INVALID_TYPE
    if label == "date out of range" and sql_type == "JSONB" and number:
        return _EARLY
    return known.get(name, Reason.INVALID_TYPE)


def find_cell(group: str, label: str) -> str:
    """Tell how a column type of the matrix takes a BSON type: one of `NULL`, `✓`, `→` and `✗`."""
    results = [
        expected for sql_type in COLUMN_TYPES[group] for name, _, expected in list_cases(sql_type) if name == label
    ]
    if label in ("undefined", "null", "missing"):
        return "NULL"
    taken = [result for result in results if not isinstance(result, Reason)]
    if not taken:
        return "✗"
    return "✓" if label in AS_IT_IS[group] else "→"


def render_markdown() -> str:
    """Render the matrix: a row per BSON type, a column per column type."""
    lines = [f"| BSON | {' | '.join(COLUMN_TYPES)} |", "|---|" + ":-:|" * len(COLUMN_TYPES)]
    lines += [
        f"| {label} | {' | '.join(find_cell(group, label) for group in COLUMN_TYPES)} |"
        for label in ELEMENTS
        if label not in _UNSHOWN
    ]
    return "\n".join(lines) + "\n"


assert SAMPLES["missing"] is MISSING

if __name__ == "__main__":
    print(render_markdown(), end="")
