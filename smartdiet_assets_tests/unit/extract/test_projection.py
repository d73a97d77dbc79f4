"""Reads ask for what a table maps, and for nothing else unless that is little."""

from typing import Any

import bson
import pytest

from smartdiet_assets.extract.mongodb.projection import compose_projection, needs_most
from smartdiet_assets_tests.support.tables import column, condition, entity, users_targets

DATES = {"_id": 1, "creation_date": 1, "update_date": 1}


def test_columns_filter_and_dates_are_read() -> None:
    table = entity(
        column("born", "DATE", "birthday", "birthdate"),
        column("city", "VARCHAR", "address.city"),
        filter=(condition("__t", "$eq", "menu"),),
    )
    assert compose_projection(table) == DATES | {"birthday": 1, "birthdate": 1, "address.city": 1, "__t": 1}


def test_array_is_read_whole_so_that_odd_items_are_seen() -> None:
    assert compose_projection(users_targets()) == DATES | {"targets": 1, "health_targets": 1}


def test_path_below_another_is_left_out() -> None:
    table = entity(column("a", "JSONB", "a"), column("b", "VARCHAR", "a.b.c"), column("ab", "VARCHAR", "ab.c"))
    assert compose_projection(table) == DATES | {"a": 1, "ab.c": 1}


def test_reference_is_read_by_its_field() -> None:
    assert compose_projection(entity(column("user_id", "VARCHAR", "user.$id"))) == DATES | {"user": 1}


def test_array_behind_a_number_is_read_whole() -> None:
    table = entity(
        column("x", "REAL", "loc.coordinates.0"), column("y", "TEXT", "tags.0.name"), column("z", "TEXT", "0.1")
    )
    assert compose_projection(table) == DATES | {"loc.coordinates": 1, "tags": 1, "0": 1}


def test_date_fields_are_those_of_the_table() -> None:
    table = entity(created_field="meta.created", updated_field="changed")
    assert compose_projection(table) == {"_id": 1, "changed": 1, "meta.created": 1}


@pytest.mark.parametrize(
    ("document", "most"),
    [
        ({"a": "x" * 90, "b": "y" * 10}, True),
        ({"a": "x" * 90, "b": "y" * 60}, False),
        ({"a": "x", "in": {"a": "x" * 90, "b": "y"}}, True),
        ({"a": "x", "in": {"a": "x", "b": "y" * 90}}, False),
        ({"in": [{"a": "x", "b": "y" * 90}]}, True),  # an array is read whole
    ],
)
def test_most_of_a_document_is_three_quarters_of_its_bytes(document: dict[str, Any], most: bool) -> None:
    assert needs_most(bson.encode(document) * 2, {"a": 1, "in.a": 1}) == most


def test_documents_that_cannot_be_decoded_are_not_measured() -> None:
    assert not needs_most(b"\x10\x00\x00\x00broken", {"a": 1})
