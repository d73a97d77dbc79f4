"""What a PostgreSQL refresh will do, in words: a line for each table, and what concerns none."""

from collections.abc import Collection, Iterable

import psycopg
from psycopg import Connection

from smartdiet_assets.errors import ConfigurationError, PermissionDeniedError
from smartdiet_assets.refresh.plan import Action, PlannedItem, Side
from smartdiet_assets.refresh.postgres.catalog import TABLES, Catalog, CatalogObject, Key
from smartdiet_assets.refresh.postgres.selection import (
    Obstacle,
    RefreshFilters,
    Selection,
    is_record,
)
from smartdiet_assets.refresh.postgres.sessions import fetch
from smartdiet_assets.resources.postgres import PostgresResource
from smartdiet_assets.resources.variable_kinds import Place

_LONGEST_LIST = 12
_IDENTITY = """\
SELECT (SELECT d.oid::bigint FROM pg_database AS d WHERE d.datname = current_database()),
  pg_postmaster_start_time()::text, current_setting('server_version_num')::integer"""
_OWNED_BY_OTHERS = """\
SELECT c.oid::regclass::text
FROM pg_class AS c
WHERE c.oid = ANY(%s::bigint[]) AND NOT pg_has_role(c.relowner, 'USAGE')
ORDER BY 1"""
_SYSTEM = "SELECT system_identifier::text FROM pg_control_system()"


def read_side(connection: Connection, resource: PostgresResource, place: Place) -> Side:
    """Describe a database, and what tells it from any other, whatever the way to it."""
    database, started, _ = fetch(connection, _IDENTITY)[0]
    try:
        with connection.transaction():
            system = fetch(connection, _SYSTEM)[0][0]
    except psycopg.errors.InsufficientPrivilege:
        system = ""
    return build_side(resource, place, frozenset({f"{system}/{started}/{database}"}))


def build_side(resource: PostgresResource, place: Place, identities: frozenset[str] = frozenset()) -> Side:
    """Describe a database as far as its settings do."""
    server = resource.describe().replace(f" database {resource.database}", "", 1)
    return Side(place, server, (resource.host,), resource.database, identities)


def build_items(source: Catalog, target: Catalog, selection: Selection) -> list[PlannedItem]:
    """Build a line for each table that holds rows, on either side."""
    counterparts = {found.identity: found for found in target.objects.values() if found.kind in TABLES}
    items = []
    for key, found in source.objects.items():
        if found.kind != "table":
            continue
        there = counterparts.get(found.identity)
        rows = (there.rows or 0) if there is not None else None
        if key in selection.created:
            note = "without rows" if key in selection.empty else ""
            if is_record(found):
                note = "the lines of the copied tables"
            action: Action = "create" if there is None else "replace"
            items.append(PlannedItem(found.label, action, found.rows, rows, note))
        elif key in selection.excluded:
            items.append(PlannedItem(found.label, "leave out", found.rows, rows, "by the filters"))
    staying: tuple[tuple[Collection[Key], Action], ...] = ((selection.kept, "keep"), (selection.removed, "remove"))
    for keys, action in staying:
        for key, found in target.objects.items():
            if key in keys and found.kind == "table":
                items.append(PlannedItem(found.label, action, None, found.rows or 0))
    return items


def build_notes(
    source: Catalog, target: Catalog, selection: Selection, filters: RefreshFilters, versions: tuple[int, int]
) -> list[str]:
    """Build the sentences that concern no table: what else is copied, what is not, what stays."""
    notes = []
    others = [source.objects[key] for key in source.objects if key in selection.created]
    others = [found for found in others if found.kind not in TABLES and not found.implicit and not found.owned_by]
    if others:
        notes.append(f"Copied too: {_list_objects(others)}")
    schemas = {source.objects[key].schema for key in selection.chosen}
    left_out = [text for schema, text in source.left_out if schema in schemas or not schema]
    if left_out:
        notes.append(f"NOT copied, for a refresh does not know how: {_list(left_out)}")
    missing = sorted(set(source.extensions) - set(target.extensions) - selection.extensions)
    if missing:
        notes.append(f"Extensions that nothing copied needs, not added to the target: {_list(missing)}")
    stays = [target.objects[key] for key in target.objects if key in selection.kept]
    stays = [found for found in stays if found.kind not in TABLES and not found.owned_by]
    if stays:
        notes.append(f"Stays in the target, which the source has not: {_list_objects(stays)}")
    gone = [target.objects[key] for key in target.objects if key in selection.removed]
    gone = [found for found in gone if found.kind not in TABLES and not found.owned_by]
    if gone:
        notes.append(f"Will be REMOVED from the target, which the source has not: {_list_objects(gone)}")
    if selection.remade:
        remade = [target.objects[key] for key in target.objects if key in selection.remade]
        notes.append(f"Made again in the target, for it needs what is replaced: {_list_objects(remade)}")
    if selection.references:
        tables = sorted({target.objects[key].label for key, _ in selection.references})
        notes.append(f"Foreign keys to replaced tables made again, of: {_list(tables)}")
    if filters.sample is not None and filters.sample < 100:
        notes.append(
            f"A sample: {filters.sample:g}% of each table's rows, and every row that a copied one refers to. The "
            "mirror's watermarks are copied with it: the next sync adds what changed, not what the sample left out."
        )
    if versions[1] // 10000 < versions[0] // 10000:
        notes.append(
            f"The target is PostgreSQL {versions[1] // 10000}, older than the source, {versions[0] // 10000}: where it "
            "does not know something, the refresh fails and changes nothing."
        )
    return notes


def check_target_fits(
    source: Catalog, target: Catalog, selection: Selection, obstacles: Iterable[Obstacle], connection: Connection
) -> None:
    """Refuse where the target cannot take what is copied, before anything is written.

    Raises:
        SmartdietError: says all that stands in the way, and what to do.
    """
    used = {source.objects[key].schema for key in selection.created}
    foreign = sorted(name for name in used if target.schemas.get(name) is False)
    if foreign:
        raise PermissionDeniedError(
            f"the target's user does not own the schemas {_list(foreign)}, which a refresh puts aside while it works; "
            "ALTER SCHEMA ... OWNER TO the user, or refresh as their owner"
        )
    others = [oid for catalogue, oid in selection.dropped | selection.remade if catalogue == target.class_catalogue]
    owned_by_others = [row[0] for row in fetch(connection, _OWNED_BY_OTHERS, [others])]
    if owned_by_others:
        raise PermissionDeniedError(
            f"the target's user must own what is replaced, and does not own {_list(owned_by_others)}; ALTER TABLE ... "
            "OWNER TO the user, or refresh as their owner"
        )
    problems = []
    available = {row[0] for row in fetch(connection, "SELECT name FROM pg_available_extensions")}
    for name in sorted(selection.extensions):
        wanted, there = source.extensions[name], target.extensions.get(name)
        if there is None and name not in available:
            problems.append(f"its server lacks the extension {name}: install it there")
        elif there is not None and there.schema != wanted.schema:
            problems.append(
                f"the extension {name} is in its schema {there.schema}, in the source in {wanted.schema}:"
                f" ALTER EXTENSION {name} SET SCHEMA {wanted.schema}"
            )
        elif there is not None and there.schema in used and not there.relocatable:
            problems.append(f"the extension {name} cannot be moved out of the schema {there.schema}")
    problems += [
        f"{describe(connection, obstacle.part)} needs {target.objects[obstacle.dropped].label}, which is replaced: "
        "drop it, or leave the other out"
        for obstacle in obstacles
    ]
    if problems:
        raise ConfigurationError("the target cannot take the copy: " + "; ".join(problems) + "; nothing was written")


def describe(connection: Connection, key: Key) -> str:
    """Describe an object of a database in PostgreSQL's own words."""
    row = fetch(connection, f"SELECT pg_describe_object({key[0]}, {key[1]}, 0)")[0]
    return str(row[0])


def _list_objects(found: Iterable[CatalogObject]) -> str:
    return _list([f"{each.kind} {each.label}" for each in found])


def _list(names: list[str]) -> str:
    more = len(names) - _LONGEST_LIST
    return ", ".join(names[:_LONGEST_LIST]) + (f" and {more} more" if more > 0 else "")
