"""Rows of Matomo: whole columns and single values come to the same, and what does not fit is a reject."""

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartdiet_assets.schema.model import Column, ForeignKey, Table
from smartdiet_assets.schema.reasons import Reason, Reject
from smartdiet_assets.schema.sources import MATOMO
from smartdiet_assets.schema.types import parse_sql_type
from smartdiet_assets.transform.batch import TransformedBatch
from smartdiet_assets.transform.matomo import build_row_transformer

ACTION = ForeignKey(table="actions", column="id", on_missing_parent="null")


def table(sql_type: str, **settings: Any) -> Table:
    columns = (
        Column(name="id", type=parse_sql_type("BIGINT"), nullable=False, source_column="id"),
        Column(name="value", type=parse_sql_type(sql_type), source_column="v", **settings),
        Column(name="time", type=parse_sql_type("TIMESTAMP"), nullable=False, source_column="t"),
    )
    return Table(
        name="t", columns=columns, primary_key=("id",), shape="one_row", document_column="id", key=("id",),
        source_kind=MATOMO, source_table="t", time_column="time",
    )  # fmt: skip


def transform(sql_type: str, data_type: str, *values: bytes | None, **settings: Any) -> TransformedBatch:
    """Transform rows 1, 2, ... with the values given, a second apart."""
    convert = build_row_transformer(table(sql_type, **settings), {"id": "bigint", "v": data_type, "t": "datetime"})
    return convert([(b"%d" % n, value, b"2025-01-01 00:00:%02d" % n) for n, value in enumerate(values, start=1)])


def values_of(batch: TransformedBatch) -> list[Any]:
    return [row[1] for row in batch.rows]


CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
#: Column type, MariaDB's type, usual values, and one that no column is converted with as a whole.
FAMILIES: list[tuple[str, str, st.SearchStrategy[bytes], bytes]] = [
    ("SMALLINT", "int", st.integers(-32768, 32767).map(lambda n: b"%d" % n), b"32768"),
    ("BIGINT", "bigint", st.integers(-(2**63), 2**63 - 1).map(lambda n: b"%d" % n), b"9223372036854775808"),
    ("VARCHAR(4)", "varchar", st.text(CHARACTERS, max_size=4).map(str.encode), b"12345"),
    ("TEXT", "text", st.text(CHARACTERS).map(str.encode), b"\xff"),
    ("TIMESTAMP", "datetime", st.datetimes().map(lambda d: d.isoformat(" ").encode()), b"2025-02-30 00:00:00"),
    ("TIME", "time", st.times().map(lambda t: t.isoformat().encode()), b"36:00:00"),
    ("DOUBLE PRECISION", "double", st.floats(allow_nan=False, allow_infinity=False).map(lambda f: repr(f).encode()),
        b"x"),
    ("REAL", "float", st.floats(width=32, allow_nan=False, allow_infinity=False).map(lambda f: repr(f).encode()),
        b"1e300"),
    ("NUMERIC(5,2)", "decimal", st.decimals(-999, 999, places=2).map(lambda d: str(d).encode()), b"1000.00"),
]  # fmt: skip


@pytest.mark.parametrize(("sql_type", "data_type", "usual", "odd"), FAMILIES, ids=[family[0] for family in FAMILIES])
@given(data=st.data())
def test_a_column_with_an_odd_value_converts_the_others_as_one_without(
    sql_type: str, data_type: str, usual: st.SearchStrategy[bytes], odd: bytes, data: st.DataObject
) -> None:
    values = data.draw(st.lists(st.none() | usual, min_size=1, max_size=8))
    together = transform(sql_type, data_type, *values)
    alone = transform(sql_type, data_type, *values, odd)
    assert (together.documents_read, len(together.rows), together.rejects) == (len(values), len(values), [])
    assert (alone.documents_read, alone.rows) == (len(values) + 1, together.rows)
    [reject] = alone.rejects
    assert (reject.document_id, reject.column) == (f'"{len(values) + 1}"', "value")


@pytest.mark.parametrize(
    ("sql_type", "data_type", "value", "expected"),
    [
        ("TIMESTAMP", "datetime", b"2025-03-10 12:00:00", datetime(2025, 3, 10, 12)),
        ("TIMESTAMP", "datetime", b"0000-00-00 00:00:00", None),
        ("TIMESTAMP", "datetime", b"0000-00-00 00:00:00.000000", None),
        ("DATE", "date", b"0000-00-00", None),
        ("DATE", "date", b"2025-03-10", datetime(2025, 3, 10).date()),
        ("BYTEA", "binary", b"\x00\xff", b"\x00\xff"),
        ("BOOLEAN", "tinyint", b"1", True),
        ("INTEGER", "varchar", b"12", 12),
        ("INTEGER", "bit", b"\x01\x00", 256),
        ("NUMERIC(10,2)", "double", b"9.999", Decimal("10.00")),
        ("VARCHAR", "int", b"12", "12"),
        ("TEXT", "text", b"", ""),
    ],
)
def test_a_value(sql_type: str, data_type: str, value: bytes, expected: object) -> None:
    [found] = values_of(transform(sql_type, data_type, value))
    assert found == expected


def test_json_is_read_as_json() -> None:
    [found] = values_of(transform("JSONB", "json", b'{"a": [1, 2.50]}'))
    assert json.loads(found.obj) == {"a": [1, 2.5]}


@pytest.mark.parametrize(
    ("sql_type", "data_type", "value", "reason"),
    [
        ("INTEGER", "int", b"2147483648", Reason.OUT_OF_RANGE),
        ("VARCHAR(2)", "varchar", "ééé".encode(), Reason.TOO_LONG),
        ("TEXT", "text", b"a\0b", Reason.NUL_CHARACTER),
        ("TEXT", "varbinary", b"\xff\xfe", Reason.INVALID_TEXT),
        ("TIMESTAMP", "datetime", b"2025-00-10 00:00:00", Reason.OUT_OF_RANGE),
        ("TIME", "time", b"-01:00:00", Reason.OUT_OF_RANGE),
        ("TIMESTAMP", "varchar", b"yesterday", Reason.INVALID_TYPE),
        ("INTEGER", "varchar", b"1_000", Reason.INVALID_TYPE),
        ("JSONB", "json", b"{", Reason.INVALID_TYPE),
        ("NUMERIC(3,0)", "decimal", b"1000", Reason.OUT_OF_RANGE),
    ],
)
def test_a_value_that_does_not_fit_names_both_types_and_never_itself(
    sql_type: str, data_type: str, value: bytes, reason: Reason
) -> None:
    batch = transform(sql_type, data_type, value)
    assert batch.rejects == [Reject('"1"', "value", reason, parse_sql_type(sql_type).sql, data_type)]
    assert (batch.rows, batch.documents_read) == ([], 1)


def test_nothing_where_there_must_be_something_is_the_default_or_a_reject() -> None:
    assert values_of(transform("INTEGER", "int", b"1", None, nullable=False, default=7)) == [1, 7]
    batch = transform("INTEGER", "int", b"1", None, nullable=False)
    assert [reject.reason for reject in batch.rejects] == [Reason.MISSING_VALUE]
    assert values_of(batch) == [1]


def test_zero_is_no_reference() -> None:
    assert values_of(transform("INTEGER", "int", b"0", b"5", None, foreign_key=ACTION)) == [None, 5, None]
    kept = ForeignKey(table="actions", column="id")
    assert values_of(transform("INTEGER", "int", b"0", foreign_key=kept)) == [0]


def test_a_row_with_two_faults_is_one_reject_and_counts_for_the_newest_time() -> None:
    convert = build_row_transformer(table("INTEGER"), {"id": "bigint", "v": "int", "t": "datetime"})
    batch = convert([(b"1", b"x", b"9999-99-99 00:00:00"), (b"2", b"2", b"2025-01-01 00:00:00")])
    assert [(reject.document_id, reject.column) for reject in batch.rejects] == [('"1"', "value")]
    # A time that is none tells nothing of the others.
    assert batch.newest is None
    batch = convert([(b"1", b"x", b"2025-01-02 00:00:00"), (b"2", b"2", b"2025-01-01 00:00:00")])
    assert batch.newest == datetime(2025, 1, 2)


def test_an_empty_page_is_an_empty_batch() -> None:
    convert = build_row_transformer(table("INTEGER"), {"id": "bigint", "v": "int", "t": "datetime"})
    assert convert([]) == TransformedBatch()
