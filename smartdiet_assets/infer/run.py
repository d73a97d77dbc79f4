"""Inferring a collection's tables, from the configured servers to text that loads."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

from psycopg import Connection

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.extract.mongodb.samples import Query
from smartdiet_assets.infer.composing import compose_beginning, compose_entry
from smartdiet_assets.infer.facts import ZONES, prefer_zones
from smartdiet_assets.infer.observation import Limits, Observed, observe_document
from smartdiet_assets.infer.placing import Place
from smartdiet_assets.infer.plan import Plan
from smartdiet_assets.infer.planning import Subject, build_plan, build_table_name
from smartdiet_assets.infer.reading import (
    count_documents,
    examine_documents,
    fetch_sample,
    find_collection,
    look_up,
)
from smartdiet_assets.infer.references import Candidate, Parent, Reference, judge, list_candidates, list_parents
from smartdiet_assets.infer.rows import count_parent_rows
from smartdiet_assets.infer.schema_file import load_text, read_file, write_text
from smartdiet_assets.infer.verification import count_rejects, describe_rejects, mend_plan
from smartdiet_assets.resources.mongo_reading import Read
from smartdiet_assets.schema.columns import MAX_IDENTIFIER
from smartdiet_assets.schema.model import Schema
from smartdiet_assets.transform.decode import decode_batch, decode_damaged_batch

#: Ids of an array's items that are looked up, where every document is read: all, but for the largest of arrays.
_ALL_IDS, _SAMPLED_IDS = 100_000, 1_000
#: Collections without a table in which ids are looked up too, to say where they are.
_MOST_OTHERS = 50
#: A mended plan is tried again; what cannot be mended is known by then.
_TRIES = 4
Result = TypeVar("Result")


class Examine(Protocol):
    """Gives the documents to a function, from the first one on each time it is called."""

    def __call__(self, look: Callable[[Iterable[bytes]], Result], /) -> Result: ...


@dataclass(frozen=True, slots=True)
class Inferred:
    """Entries that load.

    Attributes:
        entry: the YAML of the tables, or the difference to a file whose tables have more.
        text: the whole file with the entry in it.
        tables: those that are new, or have new columns.
        notes: sentences for the operator.
        added: of tables that were there the new columns, as `table.column`, and the new tables.
        before: the file as it was read; None where there was none.
    """

    entry: str
    text: str
    tables: tuple[str, ...]
    notes: tuple[str, ...]
    added: tuple[str, ...] = ()
    before: bytes | None = None

    def write(self, path: Path) -> None:
        """Put them into their file, whole or not at all; see `schema_file.write_text`."""
        write_text(self.text, path, self.before)


@dataclass(frozen=True, slots=True)
class Source:
    """Where documents are read from, how many are looked at, and what is known of what they may refer to.

    Attributes:
        read: reads the database.
        sample: how many documents of a collection to look at; None looks at all.
        target: where the tables are; without it, documents that are there are taken for rows.
        zones: to look for midnights in.
        bare: collections whose ids are ObjectIds only.
    """

    read: Read
    sample: int | None = 1_000
    target: Connection | None = None
    zones: tuple[str, ...] = ZONES
    bare: frozenset[str] = frozenset()


def infer_collection(
    read: Read,
    collection: str,
    files: Sequence[Path],
    *,
    sample: int | None = 1_000,
    table: str = "",
    target: Connection | None = None,
) -> Inferred:
    """Infer the entry of a collection, beside the tables that files declare.

    Args:
        read: reads the source.
        files: the schema file the entry is for, which need not exist, and further ones beside it.
        sample: how many documents to look at; None looks at all.
        table: the name of the table; by default it is made from the collection's.
        target: where the tables are; without it, documents that are there are taken for rows.

    Raises:
        CollectionNotFoundError: there is no such collection.
        ConfigurationError: the collection is empty, or the table's name is taken or too long.
        SchemaFileError: the files cannot be used as they are.
    """
    if len(table.encode()) > MAX_IDENTIFIER:
        raise ConfigurationError(f"PostgreSQL's names have {MAX_IDENTIFIER} bytes at most: give --table a shorter one")
    names = find_collection(read, collection)
    schema, place, before = read_file(files)
    source = Source(read, sample, target, list_zones(schema))
    seen = look_at(source, collection)
    if seen is None:
        raise ConfigurationError(f"the collection {collection} is empty: there is nothing to infer from")
    declared = schema.tables if schema else {}
    if table in declared:
        raise ConfigurationError(f"{files[0]} declares {table} already: give --table another name")
    subject = build_subject(seen, table or build_table_name(collection), declared, place)
    plan = build_plan(seen.root, subject, {})
    parents = list_parents(schema, Parent(plan.main.name, "id", collection) if plan.main.has_text_id else None)
    known = {parent.collection for parent in parents} | {collection}
    parents += [Parent("", "", name) for name in names if name not in known and "." not in name][:_MOST_OTHERS]
    plan = plan_collection(source, seen, subject, parents, place)
    if before is None:
        place = replace(place, before=compose_beginning([plan]))
    entry = compose_entry(plan, place.indent)
    text = place.insert(entry)
    load_text(text, files)
    return Inferred(entry, text, plan.names, _list_notes(subject, plan, schema, files), before=before)


@dataclass(frozen=True, slots=True)
class Seen:
    """A collection that was looked at.

    Attributes:
        examine: gives the same documents again, but for what changed where all are read.
        total: how many there are.
        item_ids: how many ids of an array's items are looked up.
    """

    collection: str
    root: Observed
    examine: Examine
    total: int
    item_ids: int


def look_at(source: Source, collection: str, matching: Query | None = None) -> Seen | None:
    """Look at documents of a collection; None where it has none.

    Args:
        matching: which of its documents.
    """
    total = count_documents(source.read, collection, matching)
    sample = None if source.sample is not None and total <= source.sample else source.sample
    item_ids = _ALL_IDS if sample is None else _SAMPLED_IDS
    limits = Limits(item_ids=item_ids, zones=source.zones)
    examine = _build_examiner(source.read, collection, sample, matching)
    root = examine(lambda batches: _observe(batches, limits))
    if not root.count:
        return None
    return Seen(collection, root, examine, max(total, root.count) if sample is not None else root.count, item_ids)


def build_subject(seen: Seen, table: str, taken: Iterable[str], place: Place) -> Subject:
    """Build what an entry is about."""
    return Subject(
        seen.collection, table, tuple(taken), seen.root.count, seen.total, place.created_field, place.updated_field
    )


def plan_collection(source: Source, seen: Seen, subject: Subject, parents: Sequence[Parent], place: Place) -> Plan:
    """Plan the tables of a collection, their references among them, and try them on the documents.

    Args:
        parents: the tables (and collections without one) that documents may refer to.
    """
    candidates = list_candidates(seen.root)
    references = find_references(source, candidates, parents, seen.item_ids, complete=subject.complete)
    plan = build_plan(seen.root, subject, references)
    _try(plan, place, seen.examine)
    return plan


def find_references(
    source: Source, candidates: Sequence[Candidate], parents: Sequence[Parent], most: int, *, complete: bool
) -> dict[str, Reference]:
    """Find what the ids of each place refer to, by the place's path; see `references.judge`."""
    look_up(source.read, candidates, parents, most, source.bare)
    if source.target is not None:
        count_parent_rows(source.target, candidates)
    judged = {candidate.path: judge(candidate, complete=complete) for candidate in candidates}
    return {path: reference for path, reference in judged.items() if reference}


def list_zones(schema: Schema | None) -> tuple[str, ...]:
    """List the zones to look for midnights in, those of the declared columns first."""
    tables = schema.tables.values() if schema else ()
    return prefer_zones(column.timezone for table in tables for column in table.columns if column.timezone)


def _build_examiner(read: Read, collection: str, sample: int | None, matching: Query | None) -> Examine:
    """Build what gives the documents to a function, the same ones each time but for what changed where all are read."""
    documents = None if sample is None else fetch_sample(read, collection, sample, matching)

    def examine(look: Callable[[Iterable[bytes]], Result]) -> Result:
        return examine_documents(read, collection, look, matching) if documents is None else look(documents)

    return examine


def _observe(batches: Iterable[bytes], limits: Limits) -> Observed:
    root = Observed(limits)
    for batch in batches:
        documents = decode_batch(batch)
        if documents is None:
            documents, _ = decode_damaged_batch(batch)
        for document in documents:
            observe_document(root, document)
    return root


def _try(plan: Plan, place: Place, examine: Examine) -> None:
    """Try the tables of a plan on the documents, and mend it until they take all they can.

    By themselves: each parent stands for its table, whatever else the file declares.
    """
    for attempt in range(_TRIES):
        schema = load_text(place.compose_trial(compose_entry(plan, 2), plan.parents))
        tables = [schema.tables[name] for name in plan.names]
        rejects = examine(lambda batches: count_rejects(tables, batches))  # noqa: B023 - called at once
        if not rejects:
            return
        if attempt == _TRIES - 1 or not mend_plan(plan, rejects):
            describe_rejects(plan, rejects)
            return


def _list_notes(subject: Subject, plan: Plan, schema: Schema | None, files: Sequence[Path]) -> tuple[str, ...]:
    notes = []
    declared = [t.name for t in schema.tables.values() if t.mongo_collection == subject.collection] if schema else []
    if declared:
        notes.append(
            f"{subject.collection} is mirrored by {', '.join(declared)} already; this entry would be one more."
        )
    if not subject.complete:
        notes.append(
            f"Inferred from {subject.read:,} of {subject.total:,} documents; --all reads every one, and tells more."
        )
    if plan.main.name != subject.table:
        notes.append(f"The table is named {plan.main.name}, as {subject.table} is declared already.")
    return tuple(notes)
