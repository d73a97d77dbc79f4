"""Inferring a collection's tables, from the configured servers to text that loads.

Here: the order of the steps, and the file. Not here: the steps.
"""

import site
import sysconfig
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Protocol, TypeVar

from psycopg import Connection

from smartdiet_assets.errors import ConfigurationError, SchemaFileError
from smartdiet_assets.infer.composing import compose_entry
from smartdiet_assets.infer.facts import prefer_zones
from smartdiet_assets.infer.observation import Limits, Observed, observe_document
from smartdiet_assets.infer.placing import Place, find_place
from smartdiet_assets.infer.plan import Plan
from smartdiet_assets.infer.planning import Subject, build_plan, build_table_name
from smartdiet_assets.infer.reading import (
    count_documents,
    examine_documents,
    fetch_sample,
    find_collection,
    look_up,
)
from smartdiet_assets.infer.references import Parent, judge, list_candidates, list_parents
from smartdiet_assets.infer.rows import count_parent_rows
from smartdiet_assets.infer.verification import count_rejects, describe_rejects, mend_plan
from smartdiet_assets.resources.mongo_reading import Read
from smartdiet_assets.schema.columns import MAX_IDENTIFIER
from smartdiet_assets.schema.loading import load_schema
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
    """An entry that loads.

    Attributes:
        entry: the YAML of its tables.
        text: the whole file with the entry in it.
        notes: sentences for the operator.
    """

    entry: str
    text: str
    tables: tuple[str, ...]
    notes: tuple[str, ...]


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
    schema, place = _read_file(files)
    total = count_documents(read, collection)
    if sample is not None and total <= sample:
        sample = None
    item_ids = _ALL_IDS if sample is None else _SAMPLED_IDS
    limits = Limits(item_ids=item_ids, zones=prefer_zones(_list_zones(schema)))
    examine = _build_examiner(read, collection, sample)
    root = examine(lambda batches: _observe(batches, limits))
    if not root.count:
        raise ConfigurationError(f"the collection {collection} is empty: there is nothing to infer from")
    if schema and table in schema.tables:
        raise ConfigurationError(f"{files[0]} declares {table} already: give --table another name")
    subject = Subject(
        collection,
        table or build_table_name(collection),
        tuple(schema.tables) if schema else (),
        root.count,
        max(total, root.count) if sample is not None else root.count,
        place.created_field,
        place.updated_field,
    )
    plan = _plan(read, root, subject, schema, names, item_ids, target)
    entry, text = _verify(plan, place, files, examine)
    return Inferred(
        entry, text, tuple(t.name for t in plan if not t.left_out), _list_notes(subject, plan, schema, files)
    )


def require_own_file(path: Path) -> None:
    """Refuse a file that is part of an installed package: the next installation would take the entry away again.

    Raises:
        ConfigurationError: says where a file belongs.
    """
    real = path.resolve()
    installed = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), site.getusersitepackages()]
    folders = [*installed, *site.getsitepackages(), str(Path(__file__).parents[1])]
    if any(real.is_relative_to(Path(folder).resolve()) for folder in folders):
        raise ConfigurationError(
            f"{path} is part of the installed package, where nothing is added: copy it to config/schemas.yaml here, or "
            "to where SMARTDIET_SCHEMAS says, and run this again"
        )


def write_entry(inferred: Inferred, path: Path) -> None:
    """Put the entry into its file, whole or not at all."""
    require_own_file(path)
    # Where the file is a link, what it leads to is replaced.
    real = path.resolve()
    written = None
    try:
        with NamedTemporaryFile("w", dir=real.parent, prefix=real.name, delete=False, encoding="utf-8") as handle:
            written = Path(handle.name)
            handle.write(inferred.text)
        if real.exists():
            written.chmod(real.stat().st_mode)
        written.replace(real)
    except OSError as error:
        if written:
            written.unlink(missing_ok=True)
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None


def _read_file(files: Sequence[Path]) -> tuple[Schema | None, Place]:
    path = files[0]
    if not path.exists() or (path.is_file() and not path.read_bytes().strip()):
        return None, find_place("")
    schema = load_schema(*files)
    return schema, find_place(path.read_text(encoding="utf-8-sig"))


def _list_zones(schema: Schema | None) -> list[str]:
    tables = schema.tables.values() if schema else ()
    return [column.timezone for table in tables for column in table.columns if column.timezone]


def _build_examiner(read: Read, collection: str, sample: int | None) -> Examine:
    """Build what gives the documents to a function, the same ones each time but for what changed where all are read."""
    documents = None if sample is None else fetch_sample(read, collection, sample)

    def examine(look: Callable[[Iterable[bytes]], Result]) -> Result:
        return examine_documents(read, collection, look) if documents is None else look(documents)

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


def _plan(
    read: Read,
    root: Observed,
    subject: Subject,
    schema: Schema | None,
    names: Sequence[str],
    most: int,
    target: Connection | None,
) -> Plan:
    # Planned once without references to learn the table's name and its id.
    bare = build_plan(root, subject, {})
    identity = bare.main.column("id")
    own = identity is None or identity.sql_type == "VARCHAR"
    parents = list_parents(schema, Parent(bare.main.name, "id", subject.collection) if own else None)
    known = {parent.collection for parent in parents} | {subject.collection}
    parents += [Parent("", "", name) for name in names if name not in known and "." not in name][:_MOST_OTHERS]
    candidates = list_candidates(root)
    look_up(read, candidates, parents, most)
    if target is not None:
        count_parent_rows(target, candidates)
    judged = {candidate.path: judge(candidate, complete=subject.complete) for candidate in candidates}
    return build_plan(root, subject, {path: reference for path, reference in judged.items() if reference})


def _verify(plan: Plan, place: Place, files: Sequence[Path], examine: Examine) -> tuple[str, str]:
    """Load the entry with its file, and try its tables on the documents until they take all they can."""
    for attempt in range(_TRIES):
        entry = compose_entry(plan, place.indent)
        text = place.insert(entry)
        schema = _load(text, files)
        tables = [schema.tables[table.name] for table in plan if not table.left_out]
        rejects = examine(lambda batches: count_rejects(tables, batches))  # noqa: B023 - called at once
        if not rejects:
            return entry, text
        if attempt == _TRIES - 1 or not mend_plan(plan, rejects):
            describe_rejects(plan, rejects)
            entry = compose_entry(plan, place.indent)
            return entry, place.insert(entry)
    raise AssertionError("the last try returns")


def _load(text: str, files: Sequence[Path]) -> Schema:
    """Load the text as the file it will be.

    Raises:
        SchemaFileError: it cannot be used: a mistake of ours, or a file that is not laid out line by line.
    """
    with NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        try:
            return load_schema(file.name, *files[1:])
        except SchemaFileError as error:
            raise SchemaFileError(f"{files[0]} with the new entry", error.problems) from None


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
