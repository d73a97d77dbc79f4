"""Every BSON type against every column type, exactly as documented."""

from typing import Any

import pytest

from smartdiet_assets.schema.reasons import Reason
from smartdiet_assets.schema.types import TYPES, parse_sql_type
from smartdiet_assets_tests.support.conversion_table import (
    EDGES,
    MISSING,
    RESULTS,
    SAMPLES,
    find_result,
    render_markdown,
)
from smartdiet_assets_tests.support.tables import single, transform


def check(sql_type: str, value: Any, expected: Any) -> None:
    batch = transform(single(sql_type), {"_id": 1} if value is MISSING else {"_id": 1, "v": value})
    if isinstance(expected, Reason):
        assert batch.rows == []
        assert [(reject.column, reject.reason) for reject in batch.rejects] == [("value", expected)]
        return
    assert batch.rejects == []
    [(_, got)] = batch.rows
    assert type(got) is type(expected)
    is_nan = expected != expected
    assert got != got if is_nan else got == expected
    # 1.0 and 1.00 are equal decimals, and different numerics to a reader.
    assert str(got) == str(expected)


@pytest.mark.parametrize("label", SAMPLES)
@pytest.mark.parametrize("sql_type", RESULTS)
def test_type_converts_as_documented(sql_type: str, label: str) -> None:
    check(sql_type, SAMPLES[label], find_result(sql_type, label))


@pytest.mark.parametrize(("sql_type", "value", "expected"), EDGES, ids=[f"{e[0]}-{i}" for i, e in enumerate(EDGES)])
def test_edge_converts_as_documented(sql_type: str, value: Any, expected: Any) -> None:
    check(sql_type, value, expected)


def test_every_column_type_is_documented() -> None:
    assert {parse_sql_type(sql_type).name for sql_type in RESULTS} == set(TYPES)


def test_every_documented_result_names_a_sample() -> None:
    assert all(label in SAMPLES for results in RESULTS.values() for label in results)


def test_reject_names_types_and_never_the_value() -> None:
    [reject] = transform(single("VARCHAR(5)"), {"_id": 1, "v": "secret value"}).rejects
    assert (reject.expected, reject.received) == ("character varying(5)", "string")
    assert "secret" not in repr(reject)


def test_markdown_has_a_row_per_sample() -> None:
    assert len(render_markdown().splitlines()) == len(SAMPLES) + 2
