"""The order of the tables: parents before children, and what the file says about order itself."""

import heapq
from collections.abc import Mapping, Sequence

from smartdiet_assets.schema.declaration import TableDeclaration
from smartdiet_assets.schema.findings import Findings, Place
from smartdiet_assets.schema.model import Table


def order_tables(
    declared: Sequence[TableDeclaration], tables: Mapping[str, Table], findings: Findings
) -> tuple[str, ...]:
    """Order the tables, parents first; among tables free to go, by `export_order`, then as in the file.

    Every loop of foreign keys is a problem; a table that points at itself is none.
    """
    parents = {name: {parent for parent in table.parents if parent in tables} for name, table in tables.items()}
    levels = {table.name: table.export_order for table in declared}
    _check_export_order(declared, parents, levels, findings)
    ranks = {name: (levels[name] or 0, position, name) for position, name in enumerate(tables)}
    order: list[str] = []
    while len(order) < len(tables):
        order += _free_tables(parents, ranks, order)
        if len(order) < len(tables):
            loop = _find_loop(tables, parents, order)
            findings.problem(
                _place_of_reference(declared, loop[0], loop[1]),
                f"the foreign keys form a loop: {' -> '.join(loop)}",
            )
            order += loop[:-1]
    return tuple(order)


def _free_tables(
    parents: Mapping[str, set[str]], ranks: Mapping[str, tuple[int, int, str]], done: Sequence[str]
) -> list[str]:
    """Give the tables that can follow the ones done, each after all its parents."""
    placed = set(done)
    waiting = {name: parents[name] - placed for name in parents if name not in placed}
    children: dict[str, list[str]] = {}
    for name, missing in waiting.items():
        for parent in missing:
            children.setdefault(parent, []).append(name)
    free = [ranks[name] for name, missing in waiting.items() if not missing]
    heapq.heapify(free)
    found = []
    while free:
        name = heapq.heappop(free)[2]
        found.append(name)
        for child in children.get(name, ()):
            waiting[child].discard(name)
            if not waiting[child]:
                heapq.heappush(free, ranks[child])
    return found


def _find_loop(tables: Mapping[str, Table], parents: Mapping[str, set[str]], done: Sequence[str]) -> list[str]:
    """Find a loop among the tables left, each of which has a parent left; it ends where it begins."""
    left = [name for name in parents if name not in set(done)]
    path = [left[0]]
    while path[-1] not in path[:-1]:
        path.append(next(parent for parent in tables[path[-1]].parents if parent in left))
    loop = path[path.index(path[-1]) : -1]
    first = loop.index(min(loop, key=left.index))
    return [*loop[first:], *loop[:first], loop[first]]


def _check_export_order(
    declared: Sequence[TableDeclaration],
    parents: Mapping[str, set[str]],
    levels: Mapping[str, int | None],
    findings: Findings,
) -> None:
    for table in declared:
        level = table.export_order
        for parent in sorted(parents[table.name]):
            above = levels[parent]
            if level is None or above is None or level > above:
                continue
            place = table.at("export_order")
            if level < above:
                findings.problem(
                    place,
                    f"export_order {level} puts {table.name} before {parent} ({above}), its parent",
                )
            else:
                findings.warn(
                    place,
                    f"has the export_order {level} of {parent}, its parent: {parent} goes first",
                )


def _place_of_reference(declared: Sequence[TableDeclaration], child: str, parent: str) -> Place:
    table = next(table for table in declared if table.name == child)
    for column in table.columns:
        if (column.foreign_key or "").partition("(")[0].strip() == parent:
            return column.at("foreign_key")
    return table.place
