"""What the plans of many collections are to each other, by their foreign keys alone."""

import pytest

from smartdiet_assets.infer.everything import choose_collections
from smartdiet_assets.infer.linking import link_plans
from smartdiet_assets.infer.plan import Plan, PlannedColumn, PlannedTable

#: For each table of documents those it refers to, and behind a bar those that its items do.
SHOP = {
    "reviews": "products customers", "orders": "customers | products", "settings": "", "products": "categories",
    "customers": "", "categories": "categories",
}  # fmt: skip


def build_plans(references: dict[str, str]) -> list[Plan]:
    plans = []
    for name, spelled in references.items():
        of_documents, bar, of_items = spelled.partition("|")
        plan = Plan(PlannedTable(name, name, "", base=True, columns=[refer(to) for to in of_documents.split()]))
        if bar:
            own = PlannedColumn("own_id", "VARCHAR", ("_id",), foreign_key=f"{name}(id)")
            items = [own, *map(refer, of_items.split())]
            plan.links.append(PlannedTable(f"{name}_items", name, "", array="items", columns=items))
        plans.append(plan)
    return plans


def refer(to: str) -> PlannedColumn:
    return PlannedColumn(f"{to}_id", "VARCHAR", (to,), foreign_key=f"{to}(id)", on_missing_parent="null")


def link(references: dict[str, str], **totals: int) -> dict[str, Plan]:
    return {plan.main.name: plan for plan in link_plans(build_plans(references), totals, ())}


def test_parents_come_first_also_those_of_items() -> None:
    assert list(link(SHOP)) == ["settings", "customers", "categories", "products", "reviews", "orders"]


def test_parents_of_items_wait_where_they_refer_back() -> None:
    linked = link({"orders": "| products", "products": "orders"})
    assert list(linked) == ["orders", "products"]
    assert all(column.foreign_key for plan in linked.values() for table in plan for column in table.columns)


def test_tables_are_in_the_group_of_what_most_refer_to() -> None:
    groups = {name: plan.main.group for name, plan in link(SHOP).items()}
    assert groups == {
        "customers": "customers", "orders": "customers", "products": "products", "categories": "products",
        "reviews": "products", "settings": "",
    }  # fmt: skip
    assert {table.group for table in link(SHOP)["orders"]} == {"customers"}


def test_a_group_that_is_declared_wins_also_for_who_follows() -> None:
    plans = build_plans({"users": "", "posts": "users", "likes": "users posts"})
    plans[0].main.group = "people"
    assert {plan.main.group for plan in link_plans(plans, {}, ())} == {"people"}


@pytest.mark.parametrize(
    ("references", "totals", "given_up"),
    [
        ({"users": "companies", "companies": "users"}, {"users": 1000, "companies": 3}, [("companies", "users")]),
        ({"a": "b", "b": "c", "c": "a"}, {"a": 900, "b": 30, "c": 1}, [("c", "a")]),
        ({"a": "a"}, {}, []),
        ({"a": "b c", "b": "a", "c": "b"}, {"a": 9, "b": 1, "c": 9}, [("b", "a")]),
    ],
)
def test_of_a_loop_the_weakest_foreign_key_goes_and_says_so(
    references: dict[str, str], totals: dict[str, int], given_up: list[tuple[str, str]]
) -> None:
    linked = link(references, **totals)
    lost = [(name, column) for name, plan in linked.items() for column in plan.main.columns if not column.foreign_key]
    assert [(name, column.paths[0]) for name, column in lost] == given_up
    for name, column in lost:
        assert column.remarks == [f"no foreign key, which would close a loop: {column.paths[0]} refers to {name}"]
        assert column.on_missing_parent == ""


def test_what_refers_to_no_table_or_to_ids_that_are_no_text_loses_its_foreign_key() -> None:
    plans = build_plans({"orders": "customers ghosts known", "customers": ""})
    plans[1].main.base = False
    plans[1].main.columns = [PlannedColumn("id", "BIGINT", ("_id",), primary_key=True)]
    orders = next(plan.main for plan in link_plans(plans, {}, ["known"]) if plan.main.name == "orders")
    assert [column.foreign_key for column in orders.columns] == ["", "", "known(id)"]
    assert orders.columns[0].remarks == ["no foreign key: customers has no id that it could point at"]


def test_what_is_no_collection_of_documents_is_left_out_with_the_reason() -> None:
    found = dict.fromkeys(("carts", "fs.chunks", "fs.files", "my.chunks", "odd$", "system.js", "users"), "collection")
    chosen, left_out = choose_collections({**found, "daily": "view", "weather": "timeseries"}, {"users"})
    assert chosen == ["carts", "fs.files", "my.chunks"]
    assert left_out == {
        "daily": "a view", "fs.chunks": "the bytes of GridFS's files", "odd$": "a name with $",
        "system.js": "MongoDB's own", "users": "mirrored already", "weather": "a time series",
    }  # fmt: skip
