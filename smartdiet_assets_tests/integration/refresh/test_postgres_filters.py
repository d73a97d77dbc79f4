"""Filters choose schemas, tables and data; what is left out stays in the target, and what is copied stays complete."""

import pytest

from smartdiet_assets.errors import ConfigurationError, RefreshError
from smartdiet_assets_tests.integration.refresh.postgres_refreshed import PostgresPair, assert_same

TABLES = "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname IN ('public', 'app') ORDER BY 1"


@pytest.fixture
def two(postgres_pair: PostgresPair) -> PostgresPair:
    """The same two schemas on both sides, other rows in each."""
    for run, first in ((postgres_pair.source, 1), (postgres_pair.target, 101)):
        run(
            "CREATE SCHEMA app",
            "CREATE TYPE mood AS ENUM ('a', 'b')",
            "CREATE TABLE parents (id int PRIMARY KEY, m mood DEFAULT 'a')",
            "CREATE TABLE children (id serial PRIMARY KEY, parent int REFERENCES parents)",
            "CREATE TABLE app.notes (id int PRIMARY KEY, child int REFERENCES children)",
            "CREATE VIEW counted AS SELECT count(*) FROM children",
            f"INSERT INTO parents SELECT g FROM generate_series({first}, {first} + 9) g",
            f"INSERT INTO children (id, parent) SELECT g, g FROM generate_series({first}, {first} + 9) g",
            f"INSERT INTO app.notes SELECT g, g FROM generate_series({first}, {first} + 9) g",
        )
    return postgres_pair


def first_ids(pair: PostgresPair) -> tuple[int, ...]:
    return pair.target("SELECT (SELECT min(id) FROM parents), (SELECT min(id) FROM children),"
                       " (SELECT min(id) FROM app.notes)")[0]  # fmt: skip


def drop_references(pair: PostgresPair) -> None:
    for run in (pair.source, pair.target):
        run(
            "ALTER TABLE app.notes DROP CONSTRAINT notes_child_fkey",
            "ALTER TABLE children DROP CONSTRAINT children_parent_fkey",
        )


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, (1, 1, 1)),
        ({"include_schemas": ["app"]}, (101, 101, 1)),
        ({"exclude_schemas": ["ap*"]}, (1, 1, 101)),
        ({"include_tables": ["parents"]}, (1, 101, 101)),
        ({"include_tables": ["public.*"]}, (1, 1, 101)),
        ({"exclude_tables": ["app.notes", "parents"]}, (101, 1, 101)),
        ({"include_tables": ["children", "notes"], "exclude_schemas": ["public"]}, (101, 101, 1)),
    ],
)
def test_filters_choose_tables_by_names_and_patterns(
    two: PostgresPair, filters: dict[str, list[str]], expected: tuple[int, ...]
) -> None:
    drop_references(two)
    plan = two.build_refresh(**filters).plan()
    copied = {item.name for item in plan.items if item.copied}
    assert len(copied) == sum(first == 1 for first in expected)
    assert {item.name for item in plan.items if item.action == "leave out"} == {
        "public.parents", "public.children", "app.notes",
    } - copied  # fmt: skip
    two.refresh(**filters)
    assert first_ids(two) == expected
    # Views of what was replaced and of what was not work as before.
    assert two.target("SELECT count FROM counted") == [(10,)]
    assert two.target("SELECT nextval('children_id_seq') IS NOT NULL") == [(True,)]


def test_a_foreign_key_to_a_table_that_stays_is_checked_against_it(two: PostgresPair) -> None:
    with pytest.raises(RefreshError, match=r"public\.children: rows refer to public\.parents"):
        two.refresh(include_tables=["children"])
    assert first_ids(two) == (101, 101, 101)
    two.target("DELETE FROM app.notes", "INSERT INTO parents SELECT generate_series(1, 10)")
    two.refresh(include_tables=["children"])
    assert first_ids(two) == (1, 1, None)
    with pytest.raises(Exception, match="children_parent_fkey"):
        two.target("INSERT INTO children VALUES (9999, 999)")


def test_what_a_copied_table_needs_and_nobody_has_is_named(two: PostgresPair) -> None:
    two.target("DROP TABLE app.notes, children, parents CASCADE")
    with pytest.raises(ConfigurationError, match=r"public\.children needs table public\.parents"):
        two.refresh(include_tables=["children"])


def test_a_type_comes_along_with_the_table_that_needs_it(two: PostgresPair) -> None:
    two.target("DROP SCHEMA app CASCADE", "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    two.refresh(include_tables=["parents"])
    assert two.target(TABLES) == [("public.parents",)]
    assert two.target("SELECT m::text FROM parents LIMIT 1") == [("a",)]


def test_a_type_that_a_table_that_stays_uses_is_not_replaced(two: PostgresPair) -> None:
    two.source("ALTER TYPE mood ADD VALUE 'c'")
    two.target("CREATE TABLE own (m mood)")
    with pytest.raises(ConfigurationError, match=r"public\.own needs public\.mood, which is replaced"):
        two.refresh()
    two.target("ALTER TYPE mood ADD VALUE 'c'")
    two.refresh()
    assert first_ids(two) == (1, 1, 1)


def test_a_table_without_its_data_is_made_empty(two: PostgresPair) -> None:
    two.refresh(exclude_data=["notes"])
    assert first_ids(two) == (1, 1, None)
    with pytest.raises(ConfigurationError, match=r"public\.children to public\.parents"):
        two.refresh(exclude_data=["parents"])
    two.refresh(exclude_data=["parents", "children", "notes"])
    assert first_ids(two) == (None, None, None)


def test_a_name_that_fits_nothing_is_an_error(two: PostgresPair) -> None:
    for filters in ({"include_tables": ["parent"]}, {"exclude_tables": ["x.*"]}, {"include_schemas": ["pub"]}):
        with pytest.raises(ConfigurationError, match="neither database has a"):
            two.refresh(**filters)


def test_extra_tables_go_only_from_the_schemas_that_are_copied(two: PostgresPair) -> None:
    two.target("CREATE TABLE extra (id int)", "CREATE TABLE app.extra (id int)", "CREATE TYPE app.more AS ENUM ('x')")
    drop_references(two)
    two.refresh(include_schemas=["public"], remove_extra=True)
    assert two.target(TABLES) == [("app.extra",), ("app.notes",), ("public.children",), ("public.parents",)]
    two.refresh(remove_extra=True)
    assert_same(two)
