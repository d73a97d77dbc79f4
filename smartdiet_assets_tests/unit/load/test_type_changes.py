"""Which changes of a type keep every value, or fail."""

import pytest

from smartdiet_assets.load.structure.type_changes import keeps_values


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("character varying(300)", "character varying(20)"),
        ("character varying", "text"),
        ("jsonb", "text"),
        ("smallint", "bigint"),
        ("bigint", "smallint"),
        ("integer", "numeric(5,2)"),
        ("integer", "double precision"),
        ("real", "double precision"),
        ("numeric(5,2)", "numeric(7,2)"),
        ("numeric(5,2)", "numeric"),
        ("date", "timestamp without time zone"),
        ("timestamp without time zone", "timestamp with time zone"),
        ("text", "integer"),
        ("character varying(36)", "uuid"),
    ],
)
def test_kept_or_refused(old: str, new: str) -> None:
    assert keeps_values(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("numeric", "numeric(5,2)"),
        ("numeric(5,2)", "numeric(5,1)"),
        ("numeric(5,2)", "integer"),
        ("numeric", "double precision"),
        ("double precision", "real"),
        ("double precision", "integer"),
        ("bigint", "double precision"),
        ("timestamp without time zone", "date"),
        ("timestamp(6) without time zone", "timestamp(0) without time zone"),
        ("text", "timestamp without time zone"),
        ("text", "numeric(4,1)"),
        ("text", "jsonb"),
        ("text", "character(3)"),
        ("bytea", "uuid"),
    ],
)
def test_values_may_change(old: str, new: str) -> None:
    assert not keeps_values(old, new)
