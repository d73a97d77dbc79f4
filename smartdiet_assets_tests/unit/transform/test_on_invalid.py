"""What `on_invalid` makes of a value its column cannot hold, and that each such value is counted once."""

from datetime import UTC, date, datetime
from typing import Any

import bson
import pytest
from bson import Binary, DatetimeMS, ObjectId

from smartdiet_assets.schema.model import ArraySource
from smartdiet_assets.schema.reasons import Reason
from smartdiet_assets.transform.batch import build_transformer
from smartdiet_assets.transform.row_function import build_row_function
from smartdiet_assets_tests.support.tables import column, entity, single, transform, users_targets

ID = ObjectId("65e8f3a0c2a4b1d2e3f4a5b6")
HEX = str(ID)
BEFORE_TIME, AFTER_TIME = DatetimeMS(-(1 << 62)), DatetimeMS(1 << 62)

#: Type, settings, value, what `clamp` makes of it.
FITTED: list[tuple[str, dict[str, Any], Any, Any]] = [
    ("VARCHAR(3)", {}, "abcdef", "abc"),
    ("VARCHAR(3)", {}, "é😀aé", "é😀a"),
    ("VARCHAR(3)", {}, "a\0b\0cd", "abc"),
    ("VARCHAR(3)", {}, "\0", ""),
    ("VARCHAR(3)", {}, 123456, "123"),
    ("VARCHAR(3)", {}, ["ab", "cd"], "{ab"),
    ("CHAR", {}, "ab", "a"),
    ("TEXT", {}, "a\0b", "ab"),
    ("DATE", {}, BEFORE_TIME, date(1, 1, 1)),
    ("DATE", {}, AFTER_TIME, date(9999, 12, 31)),
    ("DATE", {"timezone": "Europe/Paris"}, AFTER_TIME, date(9999, 12, 31)),
    ("DATE", {"timezone": "Europe/Paris"}, datetime(9999, 12, 31, 23, 30), date(9999, 12, 31)),
    ("DATE", {"timezone": "America/New_York"}, datetime(1, 1, 1), date(1, 1, 1)),
    ("TIMESTAMP", {}, BEFORE_TIME, datetime(1, 1, 1)),
    ("TIMESTAMP", {}, AFTER_TIME, datetime(9999, 12, 31, 23, 59, 59, 999999)),
    ("TIMESTAMP", {"timezone": "America/New_York"}, datetime(1, 1, 1), datetime(1, 1, 1)),
    ("TIMESTAMPTZ", {}, BEFORE_TIME, datetime(1, 1, 1, tzinfo=UTC)),
    ("TIMESTAMPTZ", {}, "9999-12-31T23:00:00-05:00", datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
]
#: Type and a value that no cutting or moving makes fit.
UNFIT: list[tuple[str, Any, Reason]] = [
    ("VARCHAR(3)", {"a": 1}, Reason.INVALID_TYPE),
    ("VARCHAR(30)", AFTER_TIME, Reason.OUT_OF_RANGE),
    ("DATE", True, Reason.INVALID_TYPE),
    ("TIMESTAMP", "soon", Reason.INVALID_TYPE),
    ("TIMESTAMP", "2024-02-31", Reason.OUT_OF_RANGE),
    ("TIMESTAMPTZ", Binary(b"x"), Reason.INVALID_TYPE),
]


@pytest.mark.parametrize(("sql_type", "settings", "value", "expected"), FITTED)
def test_clamp_makes_a_value_fit(sql_type: str, settings: dict[str, Any], value: Any, expected: Any) -> None:
    batch = transform(single(sql_type, on_invalid="clamp", **settings), {"_id": ID, "v": value})
    assert (batch.rows, batch.rejects) == ([(HEX, expected)], [])
    assert (batch.clamped, batch.nulled) == ({"value": 1}, {})


@pytest.mark.parametrize(("sql_type", "settings", "value", "_expected"), FITTED)
def test_the_same_value_is_rejected_with_its_column_where_nothing_is_said(
    sql_type: str, settings: dict[str, Any], value: Any, _expected: Any
) -> None:
    batch = transform(single(sql_type, **settings), {"_id": ID, "v": value})
    assert [reject.column for reject in batch.rejects] == ["value"]
    assert (batch.clamped, batch.nulled) == ({}, {})


@pytest.mark.parametrize(("sql_type", "value", "reason"), UNFIT)
def test_what_clamp_cannot_make_fit_is_rejected(sql_type: str, value: Any, reason: Reason) -> None:
    batch = transform(single(sql_type, on_invalid="clamp"), {"_id": ID, "v": value})
    assert [(reject.column, reject.reason) for reject in batch.rejects] == [("value", reason)]
    assert batch.clamped == {}


def test_clamp_replaces_what_is_no_unicode() -> None:
    raw = bson.encode({"_id": ID, "v": "a?b?c"}).replace(b"a?b?c", b"a\xffb\xfec")
    batch = build_transformer(single("VARCHAR(4)", on_invalid="clamp"))(raw)
    assert batch.rows == [(HEX, "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}")]
    assert batch.clamped == {"value": 1}


@pytest.mark.parametrize(
    ("sql_type", "settings", "value"), [*(row[:3] for row in FITTED), *((row[0], {}, row[1]) for row in UNFIT)]
)
def test_null_takes_the_place_of_any_invalid_value(sql_type: str, settings: dict[str, Any], value: Any) -> None:
    batch = transform(single(sql_type, on_invalid="null", **settings), {"_id": ID, "v": value})
    assert (batch.rows, batch.rejects) == ([(HEX, None)], [])
    assert (batch.nulled, batch.clamped) == ({"value": 1}, {})


@pytest.mark.parametrize(
    ("sql_type", "value"), [("INTEGER", "x"), ("NUMERIC(3, 1)", 1e9), ("UUID", "x"), ("JSONB", "a\0b"), ("BOOLEAN", 7)]
)
def test_null_is_for_every_type(sql_type: str, value: Any) -> None:
    batch = transform(single(sql_type, on_invalid="null"), {"_id": ID, "v": value})
    assert (batch.rows, batch.rejects, batch.nulled) == ([(HEX, None)], [], {"value": 1})


def test_valid_and_missing_values_are_not_counted() -> None:
    table = entity(column("a", "DATE", "a", on_invalid="null"), column("b", "VARCHAR(3)", "b", on_invalid="clamp"))
    batch = transform(table, {"_id": ID, "a": datetime(2024, 1, 1), "b": "abc  "}, {"_id": 2, "a": None}, {"_id": 3})
    assert len(batch.rows) == 3
    assert (batch.nulled, batch.clamped) == ({}, {})


def test_remembered_days_are_counted_each_time() -> None:
    """A zoned day is computed once for equal instants."""
    table = single("DATE", timezone="Europe/Paris", on_invalid="null")
    documents = [{"_id": number, "v": datetime(9999, 12, 31, 23, 30)} for number in range(3)]
    batch = transform(table, *documents)
    assert ([row[1] for row in batch.rows], batch.nulled) == ([None] * 3, {"value": 3})


def test_a_rejected_row_counts_for_no_column() -> None:
    table = entity(column("a", "VARCHAR(1)", "a", on_invalid="clamp"), column("b", "INTEGER", "b"))
    batch = transform(table, {"_id": 1, "a": "long", "b": "x"}, {"_id": 2, "a": "long"})
    assert (len(batch.rejects), batch.clamped) == (1, {"a": 1})


def test_each_batch_counts_its_own() -> None:
    transformer = build_transformer(single("VARCHAR(1)", on_invalid="clamp"))
    raw = bson.encode({"_id": ID, "v": "long"})
    assert [transformer(raw).clamped, transformer(raw * 2).clamped] == [{"value": 1}, {"value": 2}]


def test_items_count_where_they_are_rows() -> None:
    """A rejected item, and one that repeats another's key, is no row."""
    table = users_targets(
        arrays=(ArraySource(field="targets"),),
        key=("user_id", "target_id"),
        columns=(
            *(c for c in users_targets().columns if c.name in ("user_id", "target_id")),
            column("label", "VARCHAR(3)", item_field=("label",), on_invalid="clamp"),
            column("weight", "INTEGER", item_field=("weight",)),
        ),
    )
    items = [{"target": "a", "label": "long"}, {"target": "a", "label": "long"}]
    batch = transform(table, {"_id": ID, "targets": [*items, {"target": "b", "label": "long", "weight": "x"}]})
    assert [row[:3] for row in batch.rows] == [(HEX, "a", "lon")]
    assert (len(batch.rejects), batch.clamped) == (1, {"label": 1})


@pytest.mark.parametrize("on_invalid", ["null", "clamp"])
def test_a_declared_value_is_never_adjusted(on_invalid: str) -> None:
    with pytest.raises(ValueError, match="a declared value does not fit"):
        build_row_function(single("VARCHAR(3)", default="too long", on_invalid=on_invalid))
