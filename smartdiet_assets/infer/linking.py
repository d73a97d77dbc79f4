"""What the plans of many collections are to each other: their order, the loops of their foreign keys, their groups.

Here: plans in, plans out; a foreign key that cannot be is taken out, with a remark that says why. Not here: a single
plan (`planning`).
"""

from collections.abc import Collection, Mapping, Sequence

from smartdiet_assets.infer.plan import Plan, PlannedColumn, PlannedTable
from smartdiet_assets.schema.model import DOCUMENT_ID

Plans = Mapping[str, Plan]


def link_plans(plans: Sequence[Plan], totals: Mapping[str, int], declared: Collection[str]) -> list[Plan]:
    """Link the plans of many collections: gives them in the order of their foreign keys, parents first.

    Args:
        plans: what refers to a table that is neither theirs nor declared loses its foreign key.
        totals: how many documents each collection has.
        declared: the tables that are there already.
    """
    named = {plan.main.name: plan for plan in plans}
    for plan in plans:
        _drop_strays(plan, named, declared)
    for name, parent in _find_loops(named, totals):
        for column in _list_references(named[name].main, parent):
            _drop(column, f"no foreign key, which would close a loop: {parent} refers to {name}")
    _choose_groups(named)
    return _order(named)


def _drop_strays(plan: Plan, named: Plans, declared: Collection[str]) -> None:
    """Take out the foreign keys of tables that did not come to be, or whose ids turned out to be no text."""
    for column in (column for table in plan for column in table.columns if column.parent):
        parent = named.get(column.parent)
        is_own_document = column.paths == (DOCUMENT_ID,)
        if column.parent not in declared and not (parent and (parent.main.has_text_id or is_own_document)):
            _drop(column, f"no foreign key: {column.parent} has no id that it could point at")


def _drop(column: PlannedColumn, remark: str) -> None:
    column.foreign_key = column.on_missing_parent = ""
    column.remarks.append(remark)


def _list_references(table: PlannedTable, parent: str) -> list[PlannedColumn]:
    return [column for column in table.columns if column.parent == parent]


def _find_loops(named: Plans, totals: Mapping[str, int]) -> list[tuple[str, str]]:
    """Find the references to give up, as (child, parent), so that no loop is left.

    Of a loop the one whose child has the fewest documents for one of the parent's: a company has many users, so what a
    user says of its company counts, and not the company's word on its owner. Only tables of documents are referred to.
    """
    parents = {name: plan.main.parents & named.keys() - {name} for name, plan in named.items()}
    given_up = []
    while loop := _find_loop(parents):
        weakest = min(
            zip(loop, [*loop[1:], loop[0]], strict=True),
            key=lambda edge: (_count(named, totals, edge[0]) / _count(named, totals, edge[1]), edge),
        )
        parents[weakest[0]] = parents[weakest[0]] - {weakest[1]}
        given_up.append(weakest)
    return given_up


def _count(named: Plans, totals: Mapping[str, int], name: str) -> int:
    return max(1, totals.get(named[name].main.collection, 1))


def _find_loop(parents: Mapping[str, set[str]]) -> list[str]:
    """Find a loop, each table followed by its parent; empty where there is none."""
    left = {name: set(above) for name, above in parents.items()}
    while free := [name for name, above in left.items() if not above & left.keys()]:
        for name in free:
            del left[name]
    if not left:
        return []
    path = [min(left)]
    while path[-1] not in path[:-1]:
        path.append(min(left[path[-1]] & left.keys()))
    return path[path.index(path[-1]) : -1]


def _order(named: Plans) -> list[Plan]:
    """Order plans: after the parents of their documents and, where that can be, those of their items; else by name."""
    done: dict[str, Plan] = {}
    while left := [name for name in named if name not in done]:
        free = [name for name in left if not (named[name].main.parents & named.keys()) - {name} - done.keys()]
        name = next((name for name in free if not named[name].parents & named.keys() - done.keys()), free[0])
        done[name] = named[name]
    return list(done.values())


def _choose_groups(named: Plans) -> None:
    """Give each plan a group: that of declared tables it refers to, or the name of the table that leads its kin.

    A table that several refer to leads. One that refers to others follows the one with most children, and one that only
    a leader refers to follows that; what nothing refers to, and refers to nothing, is in no group.
    """
    parents = {name: [parent for parent in _list_parents(plan) if parent in named] for name, plan in named.items()}
    children = {name: [child for child, above in parents.items() if name in above] for name in named}

    def find_leader(name: str, passed: Collection[str] = ()) -> str:
        if len(children[name]) > 1 or name in passed:
            return name
        if parents[name]:
            return find_leader(max(parents[name], key=lambda parent: len(children[parent])), {*passed, name})
        return next((child for child in children[name] if len(children[child]) > 1), name)

    leaders = {name: find_leader(name) for name in named if children[name] or parents[name]}
    given = {name: plan.main.group for name, plan in named.items()}
    for name, plan in named.items():
        leader = leaders.get(name, "")
        for table in plan:
            table.group = given[name] or given.get(leader) or leader


def _list_parents(plan: Plan) -> list[str]:
    """List the other plans' tables that a plan refers to, those of its documents first."""
    found = [column.parent for table in plan for column in table.columns if column.parent]
    return [parent for parent in dict.fromkeys(found) if parent != plan.main.name]
