"""Whatever a document holds: nothing raises, everything is counted, and every value has its column's type."""

import math
import uuid
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import bson
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
from hypothesis import given, settings
from hypothesis import strategies as st

from smartdiet_assets.schema.model import ArraySource, Table
from smartdiet_assets.schema.types import ColumnType
from smartdiet_assets.transform.batch import TransformedBatch, build_transformer
from smartdiet_assets.transform.json_documents import JsonText
from smartdiet_assets.transform.row_function import build_row_function
from smartdiet_assets_tests.oracle.rows import describe, position_of
from smartdiet_assets_tests.support.conversion_table import EDGES, RESULTS
from smartdiet_assets_tests.support.tables import column, entity, users_targets

PYTHON_TYPES: dict[str, type] = {
    "varchar": str,
    "char": str,
    "text": str,
    "smallint": int,
    "integer": int,
    "bigint": int,
    "boolean": bool,
    "date": date,
    "time": time,
    "timestamp": datetime,
    "timestamptz": datetime,
    "numeric": Decimal,
    "real": float,
    "double precision": float,
    "jsonb": JsonText,
    "uuid": uuid.UUID,
    "bytea": bytes,
}
SQL_TYPES = [*RESULTS, "VARCHAR(5)"]
NAMES = [f"c{number}" for number in range(len(SQL_TYPES))]
TYPED = entity(
    *(column(name, sql_type, name, f"other.{name}") for name, sql_type in zip(NAMES, SQL_TYPES, strict=True)),
    column("paris", "DATE", "paris", timezone="Europe/Paris"),
    column("flag", "BOOLEAN", "flag", default=True),
)
TARGETS = users_targets()

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
moments = st.datetimes().map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000))
scalars = st.one_of(
    st.sampled_from([edge[1] for edge in EDGES if not isinstance(edge[1], dict | list)]),
    st.none(),
    st.booleans(),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**63), 2**63 - 1).map(Int64),
    st.floats(),
    text,
    st.integers(-10, 10**6).map(str),
    st.datetimes().map(datetime.isoformat),
    st.times().map(time.isoformat),
    moments,
    st.integers(-(2**63), 2**63 - 1).map(DatetimeMS),
    st.binary(max_size=4),
    st.uuids().map(Binary.from_uuid),
    st.binary(max_size=20).map(lambda data: Binary(data, 4)),
    st.binary(min_size=12, max_size=12).map(ObjectId),
    st.builds(Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    st.binary(min_size=16, max_size=16).map(Decimal128.from_bid),
    st.sampled_from([MinKey(), MaxKey(), Regex("a", "i"), Code("f()"), Code("f()", {"a": 1}), DBRef("a", ObjectId())]),
)
names = st.text("abc$", min_size=1, max_size=3)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=5,
)
ids = st.one_of(scalars.filter(lambda value: not isinstance(value, Regex)), st.dictionaries(names, scalars, max_size=2))


@st.composite
def documents(draw: st.DrawFn, fields: list[str]) -> dict[str, Any]:
    chosen = draw(st.lists(st.sampled_from(fields), unique=True, max_size=6))
    return {"_id": draw(ids), **{name: draw(values) for name in chosen}}


def run_both(table: Table, found: list[dict[str, Any]]) -> TransformedBatch:
    """Transform by the fast and by the slow path; both must agree, NaN being equal to itself."""
    raw = b"".join(bson.encode(document) for document in found)
    batch = build_transformer(table)(raw)
    decoded = bson.decode_all(raw, bson.CodecOptions(datetime_conversion=bson.DatetimeConversion.DATETIME_AUTO))
    rows: list[Any] = []
    understood: list[Any] = []
    rejects: list[Any] = []
    newest, *_ = build_row_function(table, fast=False)(decoded, rows, understood, rejects, datetime.min)
    assert repr(batch.rows) == repr(rows)
    assert [[type(value) for value in row] for row in batch.rows] == [[type(value) for value in row] for row in rows]
    assert (repr(batch.documents), batch.rejects) == (repr(understood), rejects)
    assert batch.newest == (None if newest == datetime.min else newest)
    return batch


def check_value(column_type: ColumnType, value: Any) -> None:
    assert type(value) is PYTHON_TYPES[column_type.name]
    if isinstance(value, datetime):
        assert (value.tzinfo is not None) == (column_type.name == "timestamptz")
    if isinstance(value, str):
        assert "\0" not in value
        assert column_type.length is None or len(value) <= column_type.length
        value.encode()
    if column_type.precision is not None and not value.is_nan():
        assert abs(value) < Decimal(10) ** (column_type.precision - column_type.scale)
    if column_type.name == "real" and math.isfinite(value):
        assert value == 0 or 1e-46 < abs(value) < 3.5e38
    if column_type.name in ("smallint", "integer", "bigint"):
        assert value.bit_length() < {"smallint": 16, "integer": 32, "bigint": 64}[column_type.name] + (value < 0)


@settings(max_examples=100)
@given(st.lists(documents([*NAMES, "other", "paris", "flag", "creation_date"]), max_size=4))
def test_any_documents_of_an_entity(found: list[dict[str, Any]]) -> None:
    batch = run_both(TYPED, found)
    assert batch.documents_read == len(found) == len(batch.rows) + len(batch.rejects)
    for row in batch.rows:
        for stored, value in zip(TYPED.stored_columns, row, strict=True):
            if value is not None:
                check_value(stored.type, value)


@settings(max_examples=100)
@given(sql_type=st.sampled_from(SQL_TYPES), value=scalars | values)
def test_any_value_in_any_column(sql_type: str, value: Any) -> None:
    table = entity(column("value", sql_type, "v"))
    batch = run_both(table, [{"_id": 1, "v": value}])
    assert len(batch.rows) + len(batch.rejects) == 1
    for _, got in batch.rows:
        if got is not None:
            check_value(table.columns[1].type, got)


@settings(max_examples=70)
@given(st.lists(documents(["targets", "health_targets", "creation_date", "update_date"]), max_size=4))
def test_any_documents_of_a_relationship(found: list[dict[str, Any]]) -> None:
    batch = run_both(TARGETS, found)
    assert batch.documents_read == len(found)
    assert len(batch.documents) <= len(found) <= len(batch.documents) + len(batch.rejects)
    by_document: dict[Any, list[Any]] = {}
    for row in batch.rows:
        by_document.setdefault(row[0], []).append(row[1:3])
    if len(set(map(repr, batch.documents))) == len(found):
        assert all(len(set(keys)) == len(keys) for keys in by_document.values())


@settings(max_examples=70)
@given(st.lists(documents(NAMES), min_size=1, max_size=3), st.data())
def test_any_damage_is_counted(found: list[dict[str, Any]], data: st.DataObject) -> None:
    encoded = [bytearray(bson.encode(document)) for document in found]
    spoilt = data.draw(st.sampled_from(encoded))
    for _ in range(data.draw(st.integers(1, 3))):
        # The length prefix stays: it frames the document in its batch.
        if len(spoilt) > 5:
            spoilt[data.draw(st.integers(4, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    batch = build_transformer(TYPED)(b"".join(encoded))
    assert batch.documents_read == len(found) == len(batch.rows) + len(batch.rejects)


PATHS = ("a.b", "a.0", "a.0.b", "b.1.0", "0.a", "_id.a", "_id.0.b")
PATHED = entity(
    *(column(f"p{number}", "TEXT", path) for number, path in enumerate(PATHS)),
    column("both", "TEXT", "a.0", "b.a", default="d"),
    column("nulled", "INTEGER", "b.a", on_invalid="null"),
)
tangles = st.recursive(
    st.none() | st.text("xy", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab01"), inner, max_size=3),
    max_leaves=8,
)
tangled = st.fixed_dictionaries(
    {"_id": st.text("xy", max_size=2) | st.dictionaries(st.sampled_from("ab01"), tangles, max_size=3)},
    optional=dict.fromkeys("ab01", tangles),
)


@settings(max_examples=100)
@given(tangled)
def test_paths_through_whatever_there_is(document: dict[str, Any]) -> None:
    batch = run_both(PATHED, [document])
    expected = describe(PATHED, document)
    assert batch.rows == (expected.rows or [])
    assert {(reject.column, reject.reason) for reject in batch.rejects} <= expected.faults


LINES = [
    users_targets(
        columns=(
            *users_targets().columns[:3],
            column("place", "INTEGER", nullable=False, item_field=("$position",)),
            column("name", "TEXT", item_field=("a.0", "b")),
        ),
        key=key,
        on_duplicate_item=setting,
        arrays=(ArraySource(field="a.0", set=(("type", "x"),)), ArraySource(field="b.a", set=(("type", "y"),))),
    )
    for setting in ("first", "last", "reject")
    for key in (("user_id", "target_id"), ("user_id", "type", "place"))
]


@settings(max_examples=70)
@given(st.sampled_from(LINES), tangled.filter(lambda document: isinstance(document["_id"], str)))
def test_items_of_whatever_there_is(table: Table, document: dict[str, Any]) -> None:
    batch = run_both(table, [document])
    expected = describe(table, document)
    keys = [position_of(table, name) for name in table.key]
    first: dict[Any, Any] = {}
    for row in expected.rows or []:
        first.setdefault(tuple(row[place] for place in keys), row)
    assert sorted(batch.rows, key=repr) == sorted(first.values(), key=repr)
    repeated = len(expected.rows or []) - len(first)
    assert batch.collapsed == (0 if table.on_duplicate_item == "reject" else repeated)
    assert {(reject.column, reject.reason) for reject in batch.rejects} <= expected.faults
