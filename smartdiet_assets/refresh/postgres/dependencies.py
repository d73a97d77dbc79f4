"""The order in which PostgreSQL's objects can be made, and what is affected where some are dropped. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from smartdiet_assets.refresh.postgres.catalog import VIEWS, Catalog, Dependency, Key

#: By what an object needs another before it can be made; the others (defaults, triggers) are made afterwards.
_NEEDED_AT_ONCE = frozenset({"column"})
#: What can be made again from its definition, for it holds no rows.
_REMADE = VIEWS | {"function"}


@dataclass(slots=True)
class Affected:
    """What is outside of a set of objects and cannot stay as it is when the set is dropped.

    Attributes:
        remade: views and functions that would be dropped too, and can be made again.
        references: foreign keys of tables that stay: (table, constraint).
        others: anything else, with the object they stand in the way of.
    """

    remade: set[Key] = field(default_factory=set)
    references: set[tuple[Key, Key]] = field(default_factory=set)
    others: set[tuple[Key, Key]] = field(default_factory=set)


def sort_objects(keys: Collection[Key], dependencies: Iterable[Dependency]) -> list[Key]:
    """Sort objects so that each follows what it needs, and otherwise as given; a cycle is cut where it is met."""
    wanted = set(keys)
    needs: dict[Key, list[Key]] = {}
    for dependency in dependencies:
        if dependency.via in _NEEDED_AT_ONCE and dependency.dependent in wanted and dependency.referenced in wanted:
            needs.setdefault(dependency.dependent, []).append(dependency.referenced)
    ordered: dict[Key, None] = {}
    begun: set[Key] = set()
    for first in keys:
        pending = [(first, iter(sorted(needs.get(first, ()))))] if first not in begun else []
        begun.add(first)
        while pending:
            key, rest = pending[-1]
            following = next((each for each in rest if each not in begun), None)
            if following is None:
                ordered[key] = None
                pending.pop()
            else:
                begun.add(following)
                pending.append((following, iter(sorted(needs.get(following, ())))))
    return list(ordered)


def find_dependents(keys: Collection[Key], dependencies: Iterable[Dependency], via: Collection[str] = ()) -> set[Key]:
    """Find the objects that need some others, directly or not, without these; by default whatever the reason."""
    by_referenced = _group(dependencies)
    found: set[Key] = set()
    pending = list(keys)
    while pending:
        for dependency in by_referenced.get(pending.pop(), ()):
            if (not via or dependency.via in via) and dependency.dependent not in found:
                found.add(dependency.dependent)
                pending.append(dependency.dependent)
    return found - set(keys)


def find_needed(keys: Collection[Key], dependencies: Iterable[Dependency]) -> set[Key]:
    """Find the objects that some need, directly or not, whatever the reason; foreign keys are left alone."""
    needs: dict[Key, list[Key]] = {}
    for dependency in dependencies:
        if dependency.via != "reference":
            needs.setdefault(dependency.dependent, []).append(dependency.referenced)
    found: set[Key] = set()
    pending = list(keys)
    while pending:
        for each in needs.get(pending.pop(), ()):
            if each not in found:
                found.add(each)
                pending.append(each)
    return found - set(keys)


def find_affected(catalog: Catalog, dropped: Collection[Key]) -> Affected:
    """Find what else is affected where objects are dropped, views of views included."""
    affected = Affected()
    by_referenced = _group(catalog.dependencies)
    gone = set(dropped)
    pending = list(dropped)
    while pending:
        key = pending.pop()
        for dependency in by_referenced.get(key, ()):
            dependent = dependency.dependent
            if dependent in gone:
                continue
            found = catalog.objects.get(dependent)
            if found is not None and found.owned_by is not None and (catalog.class_catalogue, found.owned_by) in gone:
                gone.add(dependent)
                pending.append(dependent)
            elif found is not None and found.kind in _REMADE and dependency.via == "column":
                affected.remade.add(dependent)
                gone.add(dependent)
                pending.append(dependent)
            elif dependency.via == "reference":
                affected.references.add((dependent, dependency.part))
            else:
                affected.others.add((dependent, key))
    affected.references = {pair for pair in affected.references if pair[0] not in gone}
    affected.others = {pair for pair in affected.others if pair[0] not in gone}
    return affected


def _group(dependencies: Iterable[Dependency]) -> Mapping[Key, list[Dependency]]:
    grouped: dict[Key, list[Dependency]] = {}
    for dependency in dependencies:
        grouped.setdefault(dependency.referenced, []).append(dependency)
    return grouped
