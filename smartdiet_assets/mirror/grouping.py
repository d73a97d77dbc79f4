"""Which tables of a run are read together: those of one collection, unless foreign keys lead out of it and back in.

Pure.
"""

from collections.abc import Sequence

from smartdiet_assets.schema.model import Schema, Table, find_stem
from smartdiet_assets.schema.sources import MONGODB


def plan_groups(schema: Schema, names: Sequence[str]) -> list[tuple[str, ...]]:
    """Plan the groups of tables that begin together, each table in one, alone or with others of its collection.

    A group begins when all parents of its tables in other groups are over, so no group may wait for itself: a table
    that would have it do so is in a further one, and so is one that may not be created beside another. A table captured
    from the change stream reads little by its window, and removes rows before it does; it is alone.

    Args:
        names: tables, parents first.
    """
    groups: list[list[str]] = []
    group_of: dict[str, int] = {}
    below: list[set[int]] = []
    latest: dict[str, int] = {}
    stems: list[set[str]] = []
    for name in names:
        table = schema.tables[name]
        above = {group_of[parent] for parent in table.parents if parent in group_of}
        group = latest.get(table.mongo_collection) if _may_share(table) else None
        stem = find_stem(name)
        if group is None or stem in stems[group] or not above.isdisjoint(_list_below(group, below)):
            group = len(groups)
            groups.append([])
            below.append(set())
            stems.append(set())
        if _may_share(table):
            latest[table.mongo_collection] = group
        groups[group].append(name)
        stems[group].add(stem)
        group_of[name] = group
        for other in above - {group}:
            below[other].add(group)
    return [tuple(group) for group in groups]


def _may_share(table: Table) -> bool:
    return table.source_kind == MONGODB and table.capture != "change_stream"


def _list_below(group: int, below: Sequence[set[int]]) -> set[int]:
    """List the groups that wait for one."""
    found: set[int] = set()
    stack = [group]
    while stack:
        for other in below[stack.pop()] - found:
            found.add(other)
            stack.append(other)
    return found
