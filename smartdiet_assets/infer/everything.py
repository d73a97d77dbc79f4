"""Inferring the tables of every collection of a database, from the configured servers to text that loads.

Here: which collections, and the order of the steps. Not here: one collection (`run`), what the tables are to each other
(`linking`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from psycopg import Connection

from smartdiet_assets.infer.composing import compose_beginning, compose_entry
from smartdiet_assets.infer.linking import link_plans
from smartdiet_assets.infer.naming import Names
from smartdiet_assets.infer.observation import INT, LONG, OBJECT_ID, UUID
from smartdiet_assets.infer.plan import Plan
from smartdiet_assets.infer.planning import build_table_name
from smartdiet_assets.infer.reading import list_collections, list_id_kinds
from smartdiet_assets.infer.references import Parent, list_parents
from smartdiet_assets.infer.run import (
    Inferred,
    Source,
    build_subject,
    list_zones,
    look_at,
    plan_collection,
)
from smartdiet_assets.infer.schema_file import load_text, read_file
from smartdiet_assets.resources.mongo_reading import Read

#: Called before a collection is looked at: its name, its number from 1 on, and how many there are.
Report = Callable[[str, int, int], None]
#: Ids of these kinds are no text columns, which alone can be referred to.
_NO_TEXT = ({INT}, {LONG}, {INT, LONG}, {UUID})
_GRIDFS = ".chunks"


def infer_collections(
    read: Read,
    files: Sequence[Path],
    *,
    sample: int | None = 1_000,
    target: Connection | None = None,
    report: Report = lambda collection, number, of: None,
) -> Inferred:
    """Infer the entries of every collection that no table mirrors, in the order of their foreign keys.

    Args:
        read: reads the source.
        files: the schema file the entries are for, which need not exist, and further ones beside it; or none yet.
        sample: how many documents of each collection to look at; None looks at all.
        target: where the tables are; without it, documents that are there are taken for rows.
        report: is told of each collection.

    Raises:
        CollectionNotFoundError: the database has no collection.
        SchemaFileError: the files cannot be used as they are.
    """
    schema, place, before = read_file(files)
    declared = schema.tables if schema else {}
    mirrored = {table.mongo_collection for table in declared.values()}
    chosen, left_out = choose_collections(list_collections(read), mirrored)
    kinds = {collection: list_id_kinds(read, collection) for collection in chosen}
    names = _name_tables(chosen, declared)
    bare = frozenset(collection for collection, found in kinds.items() if found == {OBJECT_ID})
    source = Source(read, sample, target, list_zones(schema), bare)
    parents = list_parents(schema)
    parents += [
        Parent(names[collection], "id", collection) for collection in chosen if kinds[collection] not in _NO_TEXT
    ]
    plans: list[Plan] = []
    totals: dict[str, int] = {}
    for number, collection in enumerate(chosen, 1):
        report(collection, number, len(chosen))
        seen = look_at(source, collection)
        if seen is None:
            left_out[collection] = "empty"
            continue
        links = [table.name for plan in plans for table in plan]
        taken = {*declared, *names.values(), *links} - {names[collection]}
        subject = build_subject(seen, names[collection], taken, place)
        plans.append(plan_collection(source, seen, subject, parents, place))
        totals[collection] = seen.total
    plans = link_plans(plans, totals, declared)
    if before is None:
        place = replace(place, before=compose_beginning(plans))
    entry = "\n".join(compose_entry(plan, place.indent) for plan in plans)
    text = place.insert(entry) if entry else place.before + place.after
    load_text(text, files)
    tables = tuple(name for plan in plans for name in plan.names)
    partly = sum(total > (sample or total) for total in totals.values())
    return Inferred(entry, text, tables, tuple(_list_notes(left_out, partly)), before=before)


def _list_notes(left_out: Mapping[str, str], partly: int) -> Iterator[str]:
    if left_out:
        names = {
            why: ", ".join(sorted(name for name in left_out if left_out[name] == why)) for why in left_out.values()
        }
        yield f"Left out: {'; '.join(f'{why} ({names[why]})' for why in sorted(names))}."
    yield from note_samples(partly)


def note_samples(partly: int) -> Iterator[str]:
    """Say of how many collections not all documents were looked at, if of any."""
    if partly:
        collections = f"{partly} collection{'s' * (partly > 1)}"
        yield f"Of {collections} a sample was looked at; --all reads every document, and tells more."


def choose_collections(found: Mapping[str, str], mirrored: set[str]) -> tuple[list[str], dict[str, str]]:
    """Choose the collections to infer; gives the names of the others with the reason.

    Args:
        found: each collection with what it is, in MongoDB's words.
        mirrored: those that a table mirrors.
    """
    left_out = {name: reason for name, kind in found.items() if (reason := _reject(name, kind, found, mirrored))}
    return [name for name in found if name not in left_out], left_out


def _reject(name: str, kind: str, found: Mapping[str, str], mirrored: set[str]) -> str:
    """Say why a collection is not inferred; "" where nothing speaks against it."""
    if name in mirrored:
        return "mirrored already"
    if name.startswith("system."):
        return "MongoDB's own"
    if kind == "view":
        return "a view"
    if kind == "timeseries":
        return "a time series"
    if name.endswith(_GRIDFS) and f"{name.removesuffix(_GRIDFS)}.files" in found:
        return "the bytes of GridFS's files"
    if "$" in name:
        return "a name with $"
    return ""


def _name_tables(collections: Sequence[str], declared: Mapping[str, object]) -> dict[str, str]:
    """Name the table of each collection, each name once."""
    names = Names(declared)
    return {collection: names.claim(build_table_name(collection), own=True) for collection in collections}
