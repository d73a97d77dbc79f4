"""Groups of tables that are read together: no group waits for itself, whatever foreign keys there are."""

from graphlib import TopologicalSorter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from smartdiet_assets.mirror.grouping import plan_groups
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Schema
from smartdiet_assets_tests.support.declared import declare

CONFIG = Path(__file__).parents[3] / "config" / "schemas.yaml"


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    """A few tables of two or three collections, each with foreign keys to some of those before it."""
    text = "tables:\n"
    for number in range(draw(st.integers(1, 7))):
        text += f"  t{number}:\n    mongo_collection: c{draw(st.integers(0, 2))}\n    include_base: true\n"
        parents = draw(st.sets(st.integers(0, number), max_size=3))
        if parents:
            text += "    additional_columns:\n"
        for parent in sorted(parents):
            key = f"mongo_field: p{parent}, foreign_key: t{parent}(id)"
            text += f"      - {{name: p{parent}_id, sql_type: VARCHAR, {key}}}\n"
    return declare(text)


@settings(max_examples=60)
@given(schema=schemas())
def test_every_table_is_in_one_group_of_its_collection_and_groups_have_an_order(schema: Schema) -> None:
    groups = plan_groups(schema, list(schema.tables))
    assert sorted(name for group in groups for name in group) == sorted(schema.tables)
    group_of = {name: group for group in groups for name in group}
    before = {
        group: {group_of[parent] for name in group for parent in schema.tables[name].parents} - {group}
        for group in groups
    }
    list(TopologicalSorter(before).static_order())
    for group in groups:
        assert len({schema.tables[name].mongo_collection for name in group}) == 1


def test_the_company_reads_each_of_its_collections_once() -> None:
    schema = load_schema(CONFIG)
    groups = plan_groups(schema, list(schema.tables))
    assert len(groups) == len({table.mongo_collection for table in schema.tables.values()})
    assert ("days", "days_contents_links", "days_logbooks_links") in groups


def test_a_table_that_foreign_keys_lead_back_to_is_in_a_further_group() -> None:
    schema = declare("""
tables:
  users: {mongo_collection: users, include_base: true}
  orders:
    include_base: true
    additional_columns: [{name: user_id, sql_type: VARCHAR, mongo_field: user, foreign_key: users(id)}]
  favourites:
    mongo_collection: users
    include_base: true
    additional_columns: [{name: order_id, sql_type: VARCHAR, mongo_field: order, foreign_key: orders(id)}]
  addresses: {mongo_collection: users, include_base: true}
""")
    assert plan_groups(schema, list(schema.tables)) == [("users",), ("orders",), ("favourites", "addresses")]
    assert plan_groups(schema, ["users", "favourites"]) == [("users", "favourites")]


def test_tables_whose_names_are_alike_are_not_created_at_once() -> None:
    pairs = [("x" * 62 + "a", "x" * 62 + "b"), ("_orders", "orders")]
    names = [name for pair in pairs for name in pair]
    schema = declare(
        "tables:\n" + "".join(f"  {name}: {{mongo_collection: c, include_base: true}}\n" for name in names)
    )
    groups = plan_groups(schema, names)
    assert sorted(name for group in groups for name in group) == sorted(names)
    assert not [pair for pair in pairs if any(set(pair) <= set(group) for group in groups)]
