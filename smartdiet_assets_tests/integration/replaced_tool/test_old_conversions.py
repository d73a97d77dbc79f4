"""Values the replaced tool's driver converted without a word become the same here; what ended its run is a reject.

Through a whole run: documents on a real server, read back from the real table.
"""

import uuid
from contextlib import closing
from datetime import datetime
from typing import Any

import pytest
from bson import Binary, Decimal128, Int64, MinKey, ObjectId, Regex, Timestamp

from smartdiet_assets_tests.integration.replaced_tool.old_mirror import OldMirror

MOMENT = datetime(2024, 3, 6, 23, 0, 0, 123000)
ID = ObjectId("65e8f3a0c2a4b1d2e3f4a5b6")
NAN = float("nan")

#: Column type, value arriving, what PostgreSQL shows of it as text.
CONVERTED: list[tuple[str, Any, str]] = [
    *((text, value, shown) for text in ("VARCHAR", "TEXT") for value, shown in (
        (True, "true"), (False, "false"),
        (12, "12"), (Int64(2**40), "1099511627776"), (12.0, "12.0"), (12.5, "12.5"), (NAN, "NaN"),
        (MOMENT, "2024-03-06 23:00:00.123"),
        (["a", "b"], "{a,b}"), (["a b", ""], '{"a b",""}'), ([], "{}"),
        (b"\x01\x02", "\\x0102"), (ID, str(ID)),
    )),
    ("VARCHAR(3)", "abc   ", "abc"),
    ("TIMESTAMP", MOMENT, "2024-03-06 23:00:00.123"),
    ("DATE", MOMENT, "2024-03-06"),
    ("DATE", "2024-03-06", "2024-03-06"),
    ("DATE", "2024-03-06T23:30:00-05:00", "2024-03-06"),
    ("TIMESTAMP", "2024-03-06T23:30:00+02:00", "2024-03-06 23:30:00"),
    ("TIMESTAMP", "2024-03-06T23:30:00.123Z", "2024-03-06 23:30:00.123"),
    ("SMALLINT", 12.5, "13"), ("SMALLINT", 13.5, "14"), ("SMALLINT", -12.5, "-13"), ("SMALLINT", "12", "12"),
    ("BOOLEAN", "true", "true"), ("BOOLEAN", "f", "false"), ("BOOLEAN", "1", "true"),
]  # fmt: skip
#: Column type, value arriving, the reason it is rejected for.
REJECTED: list[tuple[str, Any, str]] = [
    ("DATE", "", "invalid_type"), ("TIMESTAMP", "", "invalid_type"), ("DATE", 1709766000, "invalid_type"),
    ("SMALLINT", 40_000.0, "out_of_range"), ("SMALLINT", 40_000, "out_of_range"), ("SMALLINT", True, "invalid_type"),
    ("SMALLINT", "douze", "invalid_type"), ("SMALLINT", NAN, "out_of_range"),
    ("BOOLEAN", "oui", "invalid_type"), ("BOOLEAN", 1, "invalid_type"),
    ("VARCHAR", [ID], "invalid_type"), ("VARCHAR", {"a": 1}, "invalid_type"), ("VARCHAR", Regex("a"), "invalid_type"),
    ("VARCHAR(3)", "abcd", "too_long"), ("VARCHAR", "a\0", "nul_character"), ("VARCHAR", ["a\0"], "nul_character"),
]  # fmt: skip
#: What ended its run and is a value here, as nothing of it is lost.
GAINED: list[tuple[str, Any, str]] = [
    ("VARCHAR", Decimal128("12.50"), "12.50"),
    ("SMALLINT", Decimal128("12.50"), "13"),
    ("TIMESTAMP", Timestamp(1709766000, 1), "2024-03-06 23:00:00"),
]


def mirror_values(mirror: OldMirror, cases: list[tuple[str, Any]]) -> list[str]:
    """Mirror one document per case, all in one run per column type; the text shown, or the reject's reason."""
    types = sorted({sql_type for sql_type, _ in cases})
    names = {sql_type: f"values_{number}" for number, sql_type in enumerate(types)}
    mirror.declare(
        text="tables:\n"
        + "".join(
            f"  {names[sql_type]}:\n    include_base: true\n    additional_columns:\n"
            f"      - {{name: value, sql_type: '{sql_type}'}}\n"
            for sql_type in types
        )
    )
    written = [
        (names[sql_type], mirror.save(names[sql_type], n, value=value)) for n, (sql_type, value) in enumerate(cases)
    ]
    runs = mirror.sync()
    for name, run in runs.items():
        documents = [table for table, _ in written].count(name)
        assert run.load.inserted + run.load.rejected == run.documents_read == documents
    found: dict[str, str] = {}
    for name in runs:
        found |= dict(mirror.target.execute(f"SELECT id, value::text FROM {name}").fetchall())
        found |= {document: reason for document, _, reason in mirror.rejects(name)}
    return [found[str(identity)] for _, identity in written]


@pytest.mark.parametrize(
    "cases", [CONVERTED, REJECTED, GAINED], ids=["converted as before", "rejected, not fatal", "gained"]
)
def test_a_value_becomes_what_the_table_says(mirror: OldMirror, cases: list[tuple[str, Any, str]]) -> None:
    found = mirror_values(mirror, [(sql_type, value) for sql_type, value, _ in cases])
    expected = [(sql_type, value, shown) for (sql_type, value, _), shown in zip(cases, found, strict=True)]
    assert repr(expected) == repr(cases)


VALUES: list[Any] = [
    True, False, 0, 12, -3, 32767, 32768, Int64(2**40), 12.0, 12.5, 13.5, -12.5, 0.1, 1e16, 1e22, 1e-7, 1e300, NAN,
    float("inf"), float("-inf"), 123456.789, "", "abc", "abcd", "abc   ", "ab  c", "a\0", "é😀", " 12 ", "12", "12.5",
    "+5", "1e3", "true", " T ", "yes", "oui", "on", "1", "0", "tr", "2024-03-06", "2024-03-06T23:30:00Z",
    "2024-03-06T23:30:00+02:00", "2024-03-06 23:30:00.123456", "20240306", "2024-02-30", "24:00", "1709766000000",
    "2024-03", "2024", MOMENT, datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999000),
    [], ["a", "b c"], ["", "NULL", 'a"b\\'], ["a", 1], [ID], {}, {"a": 1}, b"\x01\x02",
    Regex("a"), MinKey(), ID, str(ID),
]  # fmt: skip
TYPES = (
    "VARCHAR", "VARCHAR(3)", "TEXT", "SMALLINT", "INTEGER", "BIGINT", "BOOLEAN", "DATE", "TIMESTAMP", "NUMERIC(6,2)",
    "DOUBLE PRECISION", "REAL",
)  # fmt: skip
REASONS = {"invalid_type", "out_of_range", "too_long", "nul_character"}


@pytest.mark.parametrize("sql_type", TYPES)
def test_a_value_becomes_what_the_driver_itself_made_of_it(
    mirror: OldMirror, postgres_database: str, sql_type: str
) -> None:
    """Both ways side by side: the tool turned ObjectIds into text and left the rest to psycopg2 and PostgreSQL."""
    psycopg2 = pytest.importorskip("psycopg2", reason="the replaced tool's driver is not installed")
    found = mirror_values(mirror, [(sql_type, value) for value in VALUES])
    differences = []
    with closing(psycopg2.connect(postgres_database)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(f"CREATE TEMPORARY TABLE before (value {sql_type})")
        for value, ours in zip(VALUES, found, strict=True):
            try:
                cursor.execute("TRUNCATE before")
                cursor.execute("INSERT INTO before VALUES (%s)", [str(value) if isinstance(value, ObjectId) else value])
                cursor.execute("SELECT value::text FROM before")
                theirs = cursor.fetchone()[0]
            except (psycopg2.Error, ValueError):
                theirs = None
            if ours != theirs and not (theirs is None and ours in REASONS):
                differences.append((value, theirs, ours))
    assert differences == []


def test_binary_uuids_read_as_uuids_which_no_text_column_of_the_file_held(mirror: OldMirror) -> None:
    identity = uuid.UUID("12345678-1234-5678-1234-567812345678")
    assert mirror_values(mirror, [("VARCHAR", Binary.from_uuid(identity))]) == [str(identity)]
