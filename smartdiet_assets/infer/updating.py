"""What documents have that the declared tables do not: columns and tables of items, added to the file.

Here: the order of the steps, from the configured server to a text that loads and keeps what was there. Not here: which
fields a table takes already (`undeclared`), text (`editing`, `placing`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import unified_diff
from pathlib import Path

from psycopg import Connection

from smartdiet_assets.errors import CollectionNotFoundError, ConfigurationError, SchemaFileError
from smartdiet_assets.infer.column_types import decide_type
from smartdiet_assets.infer.columns import Fields
from smartdiet_assets.infer.composing import compose_entry
from smartdiet_assets.infer.editing import add_columns, list_columns_in_comments, list_tables_in_comments
from smartdiet_assets.infer.everything import Report, choose_collections, note_samples
from smartdiet_assets.infer.naming import Names
from smartdiet_assets.infer.observation import Observed
from smartdiet_assets.infer.placing import find_place
from smartdiet_assets.infer.plan import Plan, PlannedColumn, PlannedTable
from smartdiet_assets.infer.planning import plan_link
from smartdiet_assets.infer.reading import compose_query, list_collections
from smartdiet_assets.infer.references import Reference, list_candidates, list_parents
from smartdiet_assets.infer.run import Inferred, Seen, Source, find_references, list_zones, look_at
from smartdiet_assets.infer.schema_file import decode_text, load_text
from smartdiet_assets.infer.undeclared import choose_main, find_at, list_item_paths, list_paths, prune
from smartdiet_assets.infer.verification import Rejects, count_rejects, mend_plan
from smartdiet_assets.resources.mongo_reading import Read
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Condition, Schema, Table
from smartdiet_assets.schema.reasons import Reason
from smartdiet_assets.schema.sources import MONGODB

_TRIES = 4
#: What another type would take.
_NARROW = frozenset({Reason.INVALID_TYPE, Reason.OUT_OF_RANGE, Reason.TOO_LONG})
#: What changes where a file grows.
_POSITION = {"line": 0, "path": ""}


@dataclass(slots=True)
class _File:
    """The file on its way to more columns.

    Attributes:
        plans: what is added: new columns of tables that are there, as plans of these tables, and new tables.
        notes: sentences for the operator.
        sampled: collections of which not all documents were looked at.
    """

    files: Sequence[Path]
    schema: Schema
    text: str
    plans: list[Plan] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sampled: set[str] = field(default_factory=set)

    def compose(self, more: Sequence[Plan] = ()) -> str:
        """Compose the text with everything that is added."""
        tables = [table for plan in (*self.plans, *more) for table in plan]
        text = add_columns(self.text, [t for t in tables if t.name in self.schema.tables and t.columns])
        new = [Plan(table) for table in tables if table.name not in self.schema.tables]
        if not new:
            return text
        place = find_place(text)
        return place.insert("\n".join(compose_entry(plan, place.indent) for plan in new))


def infer_update(
    read: Read,
    files: Sequence[Path],
    *,
    collection: str = "",
    sample: int | None = 1_000,
    target: Connection | None = None,
    report: Report = lambda collection, number, of: None,
) -> Inferred:
    """Infer what the documents of the mirrored collections have that the tables of the first file do not.

    Nothing that the file says is changed: what no longer fits is said. What it has as a comment is left one.

    Args:
        collection: the only one to look at; "" looks at all.
        sample: how many documents of each to look at; None looks at all.
        target: where the tables are; without it, documents that are there are taken for rows.
        report: is told of each collection.

    Raises:
        CollectionNotFoundError: no table of the file mirrors the collection.
        ConfigurationError: the file is written so that nothing can be added to it.
        SchemaFileError: a file cannot be used as it is.
    """
    schema = load_schema(*files)
    before = files[0].read_bytes()
    file = _File(files, schema, decode_text(before))
    own = [table for table in schema.list_tables(MONGODB) if table.path == str(files[0])]
    collections = list(dict.fromkeys(t.mongo_collection for t in own if collection in ("", t.mongo_collection)))
    if collection and not collections:
        raise CollectionNotFoundError(
            f"no table of {files[0]} mirrors {collection}; smartdiet infer {collection} --append adds one"
        )
    source = Source(read, sample, target, list_zones(schema))
    for number, name in enumerate(collections, 1):
        report(name, number, len(collections))
        tables = [table for table in own if table.mongo_collection == name]
        for condition in dict.fromkeys(table.filter for table in tables):
            _look(file, source, name, condition, tables)
    text = file.compose()
    _check_kept(file, _load(file, text))
    file.notes += note_samples(len(file.sampled))
    if not collection:
        chosen, _ = choose_collections(list_collections(read), {t.mongo_collection for t in schema.tables.values()})
        if chosen:
            file.notes.append(f"No table mirrors {', '.join(chosen)}: smartdiet infer --all-collections adds them.")
    return _conclude(file, text, before)


def _conclude(file: _File, text: str, before: bytes) -> Inferred:
    path = str(file.files[0])
    declared = file.schema.tables
    added = [table for plan in file.plans for table in plan if not table.left_out]
    columns = [f"{t.name}.{c.name}" for t in added if t.name in declared for c in t.columns if not c.left_out]
    return Inferred(
        entry="".join(unified_diff(file.text.splitlines(True), text.splitlines(True), path, path)),
        text=text,
        tables=tuple(dict.fromkeys(t.name for t in added if not all(c.left_out for c in t.columns))),
        notes=tuple(file.notes),
        added=(*columns, *(table.name for table in added if table.name not in declared)),
        before=before,
    )


def _look(
    file: _File, source: Source, collection: str, condition: tuple[Condition, ...], tables: Sequence[Table]
) -> None:
    """Look at the documents of a collection that have a condition, and plan what its tables lack."""
    seen = look_at(source, collection, compose_query(condition) or None)
    if seen is None:
        return
    alike = [table for table in tables if table.filter == condition]
    complete = seen.root.count >= seen.total
    file.sampled |= set() if complete else {collection}
    main = choose_main(alike)
    ignored = set(file.schema.rules_of(collection).ignored_fields)
    rest = prune(seen.root, list_paths(alike, tables) | ignored) if main else replace(seen.root, fields={})
    items = _list_items(seen.root, alike, ignored)
    references = _find_references(file, source, rest, [(path, left) for _, path, left in items], seen, complete)
    plans = [_plan_main(file, main, rest, references, complete)] if main else []
    plans += [_plan_items(file, table, path, left, references, complete) for table, path, left in items]
    plans = [plan for plan in plans if plan.main.columns or plan.links]
    rejects = seen.examine(lambda batches: count_rejects(alike, batches))
    file.notes += _describe_misfits(alike, seen, rejects, complete=complete)
    _try(file, plans, alike, seen)
    file.plans += plans


def _list_items(root: Observed, tables: Sequence[Table], ignored: Collection[str]) -> list[tuple[Table, str, Observed]]:
    """List the tables of one array's items with its path, and what of the items none of their columns takes."""
    found = []
    for table in tables:
        array = find_at(root, table.arrays[0].field) if len(table.arrays) == 1 else None
        if array and array.items:
            path = table.arrays[0].field
            taken = list_item_paths(table) | {
                other.removeprefix(f"{path}.") for other in ignored if other.startswith(f"{path}.")
            }
            found.append((table, path, prune(array.items, taken)))
    return found


def _find_references(
    file: _File, source: Source, rest: Observed, items: Sequence[tuple[str, Observed]], seen: Seen, complete: bool
) -> dict[str, Reference]:
    candidates = list_candidates(rest)
    for path, left in items:
        # With the path that they have from the document on.
        candidates += [replace(one, path=f"{path}[].{one.path}", in_items=True) for one in list_candidates(left)]
    return find_references(source, candidates, list_parents(file.schema), seen.item_ids, complete=complete)


def _plan_main(file: _File, main: Table, rest: Observed, references: Mapping[str, Reference], complete: bool) -> Plan:
    fields = Fields(Names(column.name for column in main.columns), references, complete)
    fields.plan(rest, lambda name: False)
    commented = list_columns_in_comments(file.text)[main.name]
    planned = PlannedTable(main.name, main.mongo_collection, "", columns=_keep(fields.columns, commented))
    plan = Plan(planned)
    if not (main.document_column == "id" and main.key == ("id",)):
        return plan
    names = Names([*file.schema.tables, *(table.name for earlier in file.plans for table in earlier)])
    # As the table is declared: by its dates its items are found too.
    settings = {"created_field": main.created_field, "updated_field": main.updated_field}
    settings |= {"incremental": "none"} if main.incremental == "none" else {}
    owner = replace(planned, group="" if main.group == "default" else main.group, settings=settings)
    dates = [
        PlannedColumn(c.name, "TIMESTAMP", (c.name,), nullable=c.nullable, on_invalid="null" if c.nullable else "")
        for c in main.columns
        if c.name in ("created_at", "updated_at")
    ]
    identity = main.column("id").type.declared
    for array in fields.arrays:
        link = plan_link(array, owner, identity, dates, complete, references, names)
        link.group = owner.group
        if link.name not in list_tables_in_comments(file.text):
            plan.links.append(link)
    return plan


def _plan_items(
    file: _File, table: Table, path: str, left: Observed, references: Mapping[str, Reference], complete: bool
) -> Plan:
    names = Names((column.name for column in table.columns), prefix="item")
    fields = Fields(names, references, complete, in_items=True, prefix=f"{path}[].")
    fields.plan(left, lambda name: False)
    commented = list_columns_in_comments(file.text)[table.name]
    columns = _keep(fields.columns, commented)
    return Plan(PlannedTable(table.name, table.mongo_collection, "", array=path, columns=columns))


def _keep(columns: Sequence[PlannedColumn], commented: set[str]) -> list[PlannedColumn]:
    return [column for column in columns if column.name not in commented]


def _try(file: _File, plans: Sequence[Plan], tables: Sequence[Table], seen: Seen) -> None:
    """Try what is added on the documents, and mend it until it takes all it can."""
    added = {(table.name, column.name) for plan in plans for table in plan for column in table.columns}
    names = {table.name for plan in plans for table in plan if not table.left_out}
    for _ in range(_TRIES):
        schema = _load(file, file.compose(plans))
        tried = [schema.tables[name] for name in names]
        found = seen.examine(lambda batches: count_rejects(tried, batches))  # noqa: B023 - called at once
        rejects = Rejects({key: number for key, number in found.items() if key[:2] in added})
        mended = [
            mend_plan(plan, Rejects({key: n for key, n in rejects.items() if key[0] in {t.name for t in plan}}))
            for plan in plans
        ]
        if not any(mended):
            return


def _describe_misfits(tables: Sequence[Table], seen: Seen, rejects: Rejects, *, complete: bool) -> list[str]:
    """Say which columns no longer take what the documents have, and what type would."""
    notes = []
    for (name, column_name, reason), number in sorted(rejects.items()):
        table = next(table for table in tables if table.name == name)
        sentence = f"{name}.{column_name}: {number:,} of {seen.root.count:,} documents seen will be rejected ({reason})"
        column = next((column for column in table.columns if column.name == column_name), None)
        if column is not None and reason in _NARROW:
            paths = column.item_field or column.mongo_field
            found = [_find_column(seen.root, table, path, bool(column.item_field)) for path in paths]
            decided = {decide_type(each, complete=complete) for each in found if each is not None}
            wider = {decision.sql_type for decision in decided if not decision.on_invalid}
            if len(decided) == len(wider) == 1 and (wanted := wider.pop()) not in ("", column.type.declared):
                sentence += f"; it is {column.type.declared}, and {wanted} would hold what was seen"
        notes.append(f"{sentence}.")
    return notes


def _find_column(root: Observed, table: Table, path: str, in_items: bool) -> Observed | None:
    if not in_items:
        return find_at(root, path)
    array = find_at(root, table.arrays[0].field)
    return find_at(array.items, path) if array and array.items else None


def _load(file: _File, text: str) -> Schema:
    try:
        return load_text(text, file.files)
    except SchemaFileError:
        raise ConfigurationError(
            f"{file.files[0]} is written so that nothing can be added to its tables line by line: add by hand what"
            " smartdiet infer COLLECTION prints"
        ) from None


def _check_kept(file: _File, after: Schema) -> None:
    """Make sure that nothing but what was added is other than before: an anchor may stand for several tables.

    Raises:
        ConfigurationError: something is.
    """
    added = {(t.name, c.name) for plan in file.plans for t in plan for c in t.columns}
    for name, table in file.schema.tables.items():
        now = after.tables[name]
        kept = tuple(column for column in now.columns if (name, column.name) not in added)
        as_before = {**_POSITION, "columns": kept, "indexes": table.indexes}
        if now.model_copy(update=as_before) != table.model_copy(update=_POSITION):
            raise ConfigurationError(
                f"{file.files[0]} is written so that adding to a table would change {name} too: add by hand"
            )
