"""A declared default is recognised in the expression PostgreSQL prints."""

import pytest

from smartdiet_assets.load.structure.defaults import is_same_expression, spell_default
from smartdiet_assets.schema.model import Scalar
from smartdiet_assets.schema.types import ColumnType, parse_sql_type


def is_same_default(type: ColumnType, declared: Scalar, live: str | None) -> bool:
    return is_same_expression(type.sql, spell_default(type, declared), live)


@pytest.mark.parametrize(
    ("type", "declared", "live"),
    [
        ("VARCHAR(9)", None, None),
        ("VARCHAR(9)", None, "NULL::character varying"),
        ("VARCHAR(9)", "it's", "'it''s'::character varying"),
        ("VARCHAR(9)", "a\\b", r"E'a\\b'::character varying"),
        ("VARCHAR(9)", False, "'false'::character varying"),
        ("CHAR(3)", "ab", "'ab '::bpchar"),
        ("BOOLEAN", True, "true"),
        ("BOOLEAN", "yes", "true"),
        ("INTEGER", 5, "5"),
        ("SMALLINT", -1, "'-1'::integer"),
        ("INTEGER", -1, "(-1)"),
        ("NUMERIC(5,2)", 1.5, "1.50"),
        ("DOUBLE PRECISION", 0, "'0'::double precision"),
        ("DATE", "2000-01-02", "'2000-01-02'::date"),
        ("TIMESTAMP", "2000-01-02T03:04", "'2000-01-02 03:04:00'::timestamp without time zone"),
        ("JSONB", '{"a":1}', "'{\"a\": 1}'::jsonb"),
    ],
)
def test_same(type: str, declared: Scalar, live: str | None) -> None:
    assert is_same_default(parse_sql_type(type), declared, live)


@pytest.mark.parametrize(
    ("type", "declared", "live"),
    [
        ("VARCHAR(9)", "a", None),
        ("VARCHAR(9)", None, "'a'::character varying"),
        ("VARCHAR(9)", "", "NULL::character varying"),
        ("INTEGER", 5, "6"),
        ("TIMESTAMP", None, "now()"),
        ("TIMESTAMP", "2000-01-02", "now()"),
        ("VARCHAR(9)", "a", "lower('a'::text)"),
    ],
)
def test_different(type: str, declared: Scalar, live: str | None) -> None:
    assert not is_same_default(parse_sql_type(type), declared, live)
