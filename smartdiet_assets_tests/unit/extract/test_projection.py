"""Reads ask for what a table maps, and for nothing else."""

from smartdiet_assets.extract.projection import compose_projection
from smartdiet_assets_tests.unit.transform.tables import column, condition, entity, users_targets

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


def test_date_fields_are_those_of_the_table() -> None:
    table = entity(created_field="meta.created", updated_field="changed")
    assert compose_projection(table) == {"_id": 1, "changed": 1, "meta.created": 1}
