"""Which objects of a PostgreSQL database a refresh copies, and what becomes of those of the target. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import LiteralString

from smartdiet_assets.errors import ConfigurationError, UnknownNamesError
from smartdiet_assets.load.records import RECORDS
from smartdiet_assets.load.structure.live import BOOKKEEPING_SCHEMA
from smartdiet_assets.load.structure.naming import build_name, candidates_name_in
from smartdiet_assets.refresh.patterns import matches
from smartdiet_assets.refresh.postgres.catalog import RELATIONS, TABLES, Catalog, CatalogObject, Key
from smartdiet_assets.refresh.postgres.dependencies import find_affected, find_dependents, find_needed


@dataclass(frozen=True, slots=True)
class RefreshFilters:
    """What is copied: names, or patterns with `*` and `?`; of a table with or without its schema.

    Attributes:
        exclude_data: tables that are made, and stay empty.
        sample: percentage of each table's rows, besides the rows that these refer to; None copies all.
        remove_extra: whether what only the target has goes.
    """

    include_tables: Sequence[str] = ()
    exclude_tables: Sequence[str] = ()
    include_schemas: Sequence[str] = ()
    exclude_schemas: Sequence[str] = ()
    exclude_data: Sequence[str] = ()
    sample: float | None = None
    remove_extra: bool = False


@dataclass(slots=True)
class Selection:
    """What a refresh does; keys are those of the source's catalogue, or of the target's where it says so.

    Attributes:
        chosen: all that the target will have as the source has it.
        created: those of them that are made; the others are in the target already, just the same.
        after: those of `created` that need something only the target has, and are made when names are final.
        borrowed: of the target, those that are just the same.
        dropped: of the target, what is replaced or removed.
        removed: of the target, those of `dropped` that the source has not.
        kept: of the target, what the source has not, and stays.
        remade: of the target, what stays but is dropped and made again, because it needs something dropped.
        references: of the target, foreign keys (table, constraint) that are dropped and made again.
        empty: tables that are made without rows.
        new_schemas: that the target has not.
        extensions: that what is chosen needs.
        mirrored: the chosen tables, as the mirror's own tables call them: each with its schema before it.
        excluded: tables of the source that are not chosen.
    """

    chosen: set[Key] = field(default_factory=set)
    created: set[Key] = field(default_factory=set)
    after: set[Key] = field(default_factory=set)
    borrowed: set[Key] = field(default_factory=set)
    dropped: set[Key] = field(default_factory=set)
    removed: set[Key] = field(default_factory=set)
    kept: set[Key] = field(default_factory=set)
    remade: set[Key] = field(default_factory=set)
    references: set[tuple[Key, Key]] = field(default_factory=set)
    empty: set[Key] = field(default_factory=set)
    new_schemas: list[str] = field(default_factory=list)
    extensions: set[str] = field(default_factory=set)
    mirrored: list[tuple[str, str]] = field(default_factory=list)
    excluded: set[Key] = field(default_factory=set)


@dataclass(slots=True)
class Obstacle:
    """Something of the target that stands in the way: `part` needs `dropped`."""

    part: Key
    dropped: Key


def choose_objects(source: Catalog, target: Catalog, filters: RefreshFilters) -> tuple[Selection, list[Obstacle]]:
    """Decide what is copied and what becomes of the target's objects.

    Returns:
        The decision, and what of the target stands in its way.

    Raises:
        ConfigurationError: a name fits nothing, or what is chosen needs what is neither chosen nor in the target.
    """
    _check_patterns(source, target, filters)
    selection = Selection()
    _choose_of_source(source, filters, selection)
    _choose_records(source, selection)
    _match_target(source, target, filters, selection)
    obstacles = _decide_dependents(target, selection)
    counterparts = target.name_objects()
    selection.created = {
        key
        for key in selection.chosen
        if (there := counterparts.get((key[0], source.objects[key].identity))) is None
        or there.key not in selection.borrowed
    }
    _choose_after(source, target, selection)
    selection.new_schemas = sorted({source.objects[key].schema for key in selection.created} - set(target.schemas))
    selection.extensions = {
        source.members[dependency.referenced]
        for dependency in source.dependencies
        if dependency.dependent in selection.created and dependency.referenced in source.members
    }
    return selection, obstacles


def choose_mirrored(source: Catalog, filters: RefreshFilters) -> list[tuple[str, str]]:
    """Choose the tables whose runs a refresh excludes while it works: those that are copied, by schema and name."""
    selection = Selection()
    _choose_of_source(source, filters, selection)
    return selection.mirrored


def is_record(found: CatalogObject) -> bool:
    """Whether a table is one of the mirror's own that has lines about every table."""
    return found.schema == BOOKKEEPING_SCHEMA and found.name in RECORDS


def compose_about(columns: Collection[str]) -> LiteralString:
    """Compose the condition that a line of a record is about one of the tables `schemas` and `names`.

    Args:
        columns: of the record; an older one does not tell schemas apart. One about collections goes by schemas alone.
    """
    if "table_name" not in columns:
        return "schema_name = ANY ({schemas}::text[])"
    if "schema_name" in columns:
        return "(schema_name, table_name) IN (SELECT * FROM unnest({schemas}::text[], {names}::text[]))"
    return "table_name = ANY ({names}::text[])"


def fits(found: CatalogObject, patterns: Collection[str]) -> bool:
    """Whether a pattern fits an object's name, with or without its schema."""
    return matches(found.name, patterns) or matches(found.label, patterns)


def _check_patterns(source: Catalog, target: Catalog, filters: RefreshFilters) -> None:
    both = [*source.objects.values(), *target.objects.values()]
    relations = [found for found in both if found.kind in RELATIONS]
    unknown = [
        f"table {name}"
        for name in (*filters.include_tables, *filters.exclude_tables, *filters.exclude_data)
        if not any(fits(found, [name]) for found in relations)
    ]
    schemas = {*source.schemas, *target.schemas}
    unknown += [
        f"schema {name}"
        for name in (*filters.include_schemas, *filters.exclude_schemas)
        if not any(matches(schema, [name]) for schema in schemas)
    ]
    if unknown:
        raise UnknownNamesError(f"neither database has a {', '.join(dict.fromkeys(unknown))}")


def _passes_schema(schema: str, filters: RefreshFilters) -> bool:
    if schema == BOOKKEEPING_SCHEMA:
        return False
    included = not filters.include_schemas or matches(schema, filters.include_schemas)
    return included and not matches(schema, filters.exclude_schemas)


def _passes(catalog: Catalog, found: CatalogObject, filters: RefreshFilters) -> bool:
    """Whether a relation passes the filters; partitions and owned sequences do what their table does."""
    if not _passes_schema(found.schema, filters):
        return False
    of = found
    while (up := of.partition_of or of.owned_by) is not None and (above := catalog.relation(up)) is not None:
        of = above
    if found.kind == "sequence" and of is found and filters.include_tables:
        return fits(found, filters.include_tables)
    return (not filters.include_tables or fits(of, filters.include_tables)) and not fits(of, filters.exclude_tables)


def _choose_of_source(source: Catalog, filters: RefreshFilters, selection: Selection) -> None:
    for key, found in source.objects.items():
        if found.kind in RELATIONS:
            if _passes(source, found, filters):
                selection.chosen.add(key)
            elif found.kind in TABLES and found.schema != BOOKKEEPING_SCHEMA:
                selection.excluded.add(key)
        elif not filters.include_tables and _passes_schema(found.schema, filters):
            selection.chosen.add(key)
    if filters.include_tables:
        for key in find_needed(selection.chosen, source.dependencies):
            needed = source.objects.get(key)
            if needed is not None and (needed.kind not in RELATIONS or needed.kind == "sequence"):
                selection.chosen.add(key)
    if not any(source.objects[key].kind in RELATIONS for key in selection.chosen):
        raise ConfigurationError("the source has no table that passes the filters: nothing to copy")
    tables = [source.objects[key] for key in selection.chosen if source.objects[key].kind in TABLES]
    selection.mirrored = sorted({(table.schema, table.name) for table in tables})
    selection.empty = {table.key for table in tables if fits(_root(source, table), filters.exclude_data)}


def _root(catalog: Catalog, found: CatalogObject) -> CatalogObject:
    while found.partition_of is not None and (above := catalog.relation(found.partition_of)) is not None:
        found = above
    return found


def _choose_records(source: Catalog, selection: Selection) -> None:
    """Add the mirror's own tables: those with lines about every table, and the companions of the chosen ones."""
    # An older mirror's companions are named after their tables alone.
    companions = {candidates_name_in(*one) for one in selection.mirrored}
    companions |= {build_name([name], "candidates") for _, name in selection.mirrored}
    for key, found in source.objects.items():
        if (
            found.schema == BOOKKEEPING_SCHEMA
            and found.kind in TABLES
            and (is_record(found) or found.name in companions)
        ):
            selection.chosen.add(key)


def _match_target(source: Catalog, target: Catalog, filters: RefreshFilters, selection: Selection) -> None:
    """Decide which objects of the target are replaced, borrowed, removed and kept."""
    chosen = {(key[0], source.objects[key].identity): source.objects[key] for key in selection.chosen}
    in_source = source.name_objects()
    for key, found in target.objects.items():
        mine = chosen.get((key[0], found.identity))
        if mine is not None and found.kind not in RELATIONS and mine.statement == found.statement:
            selection.borrowed.add(key)
        elif mine is not None:
            selection.dropped.add(key)
        elif (key[0], found.identity) not in in_source:
            passes = _passes(target, found, filters) if found.kind in RELATIONS else (
                _passes_schema(found.schema, filters) and not filters.include_tables
            )  # fmt: skip
            if passes and not found.implicit:
                (selection.removed if filters.remove_extra else selection.kept).add(key)
    # A partition goes with the table it is a part of, and a sequence with the table it serves.
    more = True
    while more:
        gone = {oid for _, oid in selection.dropped | selection.removed}
        more = False
        for key, found in target.objects.items():
            if (
                found.partition_of in gone or found.owned_by in gone
            ) and key not in selection.dropped | selection.removed:
                (selection.dropped if found.owned_by else selection.removed).add(key)
                selection.kept.discard(key)
                more = True
    selection.dropped |= selection.removed


def _decide_dependents(target: Catalog, selection: Selection) -> list[Obstacle]:
    """Find what else of the target is affected; what is borrowed and affected is replaced instead."""
    while True:
        replaced = selection.borrowed & find_dependents(selection.dropped, target.dependencies)
        # A borrowed type that a kept table uses stays; a function that takes a replaced table's row does not.
        if not replaced:
            break
        selection.borrowed -= replaced
        selection.dropped |= replaced
    affected = find_affected(target, selection.dropped)
    selection.remade = affected.remade
    selection.references = affected.references
    return [Obstacle(part, dropped) for part, dropped in sorted(affected.others)]


def _choose_after(source: Catalog, target: Catalog, selection: Selection) -> None:
    """Find what needs a relation that is not copied, and must wait until the target's own is in its place."""
    there = target.name_objects()
    missing: set[str] = set()
    direct: set[Key] = set()

    def require(owner: Key, needed: CatalogObject) -> None:
        if (needed.key[0], needed.identity) not in there:
            missing.add(f"{source.objects[owner].label} needs {needed.kind} {needed.label}")

    for dependency in source.dependencies:
        if dependency.dependent not in selection.created or dependency.referenced in selection.chosen:
            continue
        needed = source.objects.get(dependency.referenced)
        if needed is None or (
            needed.owned_by is not None and (source.class_catalogue, needed.owned_by) in selection.chosen
        ):
            continue
        require(dependency.dependent, needed)
        if dependency.via == "column" and needed.kind in RELATIONS:
            direct.add(dependency.dependent)
    if missing:
        raise ConfigurationError(
            "what is copied needs what the filters leave out and the target has not: " + "; ".join(sorted(missing))
        )
    selection.after = (direct | find_dependents(direct, source.dependencies, ("column",))) & selection.created
    tables = sorted(source.objects[key].label for key in selection.after if source.objects[key].kind in TABLES)
    if tables:
        raise ConfigurationError(f"these tables are made from others that the filters leave out: {', '.join(tables)}")
