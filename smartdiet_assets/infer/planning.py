"""The tables of a collection: one for its documents, and one for each array whose items can be rows."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from smartdiet_assets.infer.column_types import decide_type, describe_shares
from smartdiet_assets.infer.columns import ArrayPlan, Fields
from smartdiet_assets.infer.date_fields import (
    CREATED_FIELD,
    UPDATED_FIELD,
    DateFields,
    find_date_fields,
)
from smartdiet_assets.infer.naming import (
    Names,
    build_reference_name,
    build_singular,
    build_snake_case,
)
from smartdiet_assets.infer.observation import (
    ARRAY,
    INT,
    LONG,
    OBJECT,
    OBJECT_ID,
    OTHER,
    UUID,
    Observed,
)  # fmt: skip
from smartdiet_assets.infer.plan import Plan, PlannedColumn, PlannedTable
from smartdiet_assets.infer.references import Reference, combine
from smartdiet_assets.schema.model import DOCUMENT_ID, ITEM_ITSELF, ITEM_POSITION


@dataclass(frozen=True, slots=True)
class Subject:
    """What an entry is about.

    Attributes:
        table: the name wanted for the table of the documents.
        tables: names that are taken.
        read, total: documents seen, and there.
        created_field, updated_field: what the file takes where a table does not say.
    """

    collection: str
    table: str
    tables: tuple[str, ...]
    read: int
    total: int
    created_field: str = CREATED_FIELD
    updated_field: str = UPDATED_FIELD

    @property
    def complete(self) -> bool:
        """Whether every document was seen."""
        return self.read >= self.total


def build_table_name(collection: str) -> str:
    """Name the table of a collection."""
    return Names().claim(collection)


def build_plan(root: Observed, subject: Subject, references: Mapping[str, Reference]) -> Plan:
    """Plan the tables of a collection.

    Args:
        root: has seen its documents.
        references: what ids turned out to be, by path as `references.list_candidates` spells them.
    """
    names = Names(subject.tables)
    dates = find_date_fields(root)
    identity, id_remarks = _decide_id(root)
    main = PlannedTable(
        names.claim(subject.table, own=True),
        subject.collection,
        f"Documents of {subject.collection}, as inferred from {subject.read:,} of {subject.total:,}.",
        base=identity == "VARCHAR" and dates.base,
        settings=_build_settings(dates, subject),
        remarks=[*id_remarks, *dates.remarks],
    )
    column_names = Names(("id", "created_at", "updated_at"))
    if not main.base:
        main.columns.append(PlannedColumn("id", identity, (DOCUMENT_ID,), nullable=False, primary_key=True))
        main.columns += _build_dates(dates)
    fields = Fields(column_names, references, subject.complete)
    skipped = {DOCUMENT_ID, *filter(None, (dates.created, dates.updated))}
    fields.plan(root, skipped.__contains__)
    if (seen := root.fields.get(DOCUMENT_ID)) and set(seen.kinds) == {OBJECT}:
        fields.plan_parts(DOCUMENT_ID, seen)
    main.columns += fields.columns
    if always := [c.name for c in fields.columns if c.presence == 1 and not c.left_out]:
        main.remarks.append(f"in every document seen, which is no promise, so may be NULL: {', '.join(always)}")
    main.remarks += fields.remarks
    plan = Plan(main)
    for array in fields.arrays:
        plan.links.append(plan_link(array, main, identity, _build_dates(dates), subject.complete, references, names))
    # What is only a comment comes after what counts.
    plan.links.sort(key=lambda link: link.left_out)
    group = _choose_group(references.values())
    for table in plan:
        table.group = group
    return plan


def _decide_id(root: Observed) -> tuple[str, list[str]]:
    """Decide the type of the documents' ids, and say which of them cannot be one."""
    seen = root.fields.get(DOCUMENT_ID)
    if seen is None:
        return "VARCHAR", []
    kinds = set(seen.kinds)
    if kinds <= {INT, LONG}:
        return "BIGINT", []
    if kinds == {UUID}:
        return "UUID", []
    text = "its extended JSON" if kinds == {OBJECT} else "text"
    remarks = [] if kinds == {OBJECT_ID} else [f"_id: {describe_shares(seen.kinds)}, kept as {text}"]
    odd = sum(seen.kinds[kind] for kind in (ARRAY, OTHER)) + seen.text.nul + seen.text.broken
    if odd:
        remarks.append(f"{odd:,} documents have an _id that no column can hold; they will be rejected")
    return "VARCHAR", remarks


def _build_settings(dates: DateFields, subject: Subject) -> dict[str, str]:
    settings = {}
    if dates.created and dates.created != subject.created_field:
        settings["created_field"] = dates.created
    if dates.updated and dates.updated != subject.updated_field:
        settings["updated_field"] = dates.updated
    if dates.incremental != "dates":
        settings["incremental"] = dates.incremental
    return settings


def _build_dates(dates: DateFields) -> list[PlannedColumn]:
    """The two date columns of a table that cannot have them from `include_base`: what is no date is NULL."""
    if not dates.dated:
        return []
    return [
        PlannedColumn(name, "TIMESTAMP", (name,), nullable=not dates.base, on_invalid="" if dates.base else "null")
        for name in ("created_at", "updated_at")
    ]


def plan_link(
    array: ArrayPlan,
    main: PlannedTable,
    identity: str,
    dates: Sequence[PlannedColumn],
    complete: bool,
    references: Mapping[str, Reference],
    tables: Names,
) -> PlannedTable:
    """Plan the table of an array's items: document, what identifies the item, the item's other fields, dates.

    Args:
        main: the table of the documents.
        identity: the type of its id.
        dates: its columns of dates.
        complete: whether every document was seen.
        tables: gives the table its name.
    """
    items = array.seen.items
    assert items is not None, "there are items"
    columns = Names(("created_at", "updated_at"), prefix="item")
    singular = build_singular(build_snake_case(array.path)) or "item"
    parent = PlannedColumn(
        columns.claim(f"{build_singular(main.name)}_id"), identity, (DOCUMENT_ID,), nullable=False,
        foreign_key=f"{main.name}(id)",
    )  # fmt: skip
    prefix = f"{array.path}[]"
    feeding = [prefix if path == ITEM_ITSELF else f"{prefix}.{path}" for path in array.key.paths]
    feeding += [array.path] if array.singles else []
    reference = combine([references.get(path) for path in feeding])
    key = _plan_key(array, items, reference, columns, singular, complete)
    if array.singles:
        key.remarks.append(f"{array.singles}: a value without an array is an array of one")
    fields = Fields(columns, references, complete, in_items=True, prefix=f"{prefix}.")
    if items.kinds[OBJECT]:
        fields.plan(items, {array.key.field}.__contains__)
    link = PlannedTable(
        tables.claim(f"{main.name}_{build_snake_case(array.path) or 'items'}", own=True),
        main.collection,
        f"Items of {array.path} in {main.collection}, a row for each.",
        array=array.path,
        settings=dict(main.settings),
        columns=[parent, key, *fields.columns, *dates],
        unique=[parent.name, key.name],
        remarks=list(fields.remarks),
        left_out=bool(array.key.fault),
    )
    link.columns[2:2] = _offer_position(array, parent, key, fields, columns)
    if array.key.fault:
        link.remarks.insert(0, f"instead of the column: {array.key.fault}, and would be rejected")
    return link


def _plan_key(
    array: ArrayPlan, items: Observed, reference: Reference | None, names: Names, singular: str, complete: bool
) -> PlannedColumn:
    seen = items.fields[array.key.field] if array.key.field else items
    decision = decide_type(seen, complete=complete)
    own = array.key.field in ("_id", "id")
    wanted = singular if not array.key.field or own else array.key.field
    if OBJECT_ID in seen.kinds or own or (reference and reference.declare):
        wanted = build_reference_name(wanted)
    key = PlannedColumn(
        names.claim(wanted), decision.sql_type or "VARCHAR", array.key.paths, in_items=True, nullable=False,
        on_invalid="clamp" if decision.on_invalid == "clamp" else "", remarks=list(array.key.remarks),
    )  # fmt: skip
    if reference:
        key.remarks.insert(0, reference.remark)
        if reference.declare and reference.whole and reference.parent:
            key.sql_type, key.on_invalid = "VARCHAR", ""
            key.foreign_key = f"{reference.parent.table}({reference.parent.column})"
        elif reference.declare:
            key.remarks.append("no foreign key, which would reject the items whose parent is missing")
    read = "the documents" if complete else "the sample"
    if array.key.field:
        key.remarks.append(f"the key: no document in {read} has two items alike in it; of two, the first would show")
    elif not array.seen.repeats:
        key.remarks.append(f"the key: no array in {read} repeats an item; one that did would be one row")
    return key


def _offer_position(
    array: ArrayPlan, parent: PlannedColumn, key: PlannedColumn, fields: Fields, names: Names
) -> list[PlannedColumn]:
    """Offer the place of an item as a key, where a document may come to hold two items that are alike in the other:
    whatever is beside it (a price, a quantity, a street) may differ. An id of the item itself is never shared.
    """
    if array.key.field in ("", "_id", "id") or not fields.columns:
        return []
    position = PlannedColumn(
        names.claim("position"), "INTEGER", (ITEM_POSITION,), in_items=True, nullable=False, left_out=True
    )
    position.remarks.append(
        f"the key where a document may hold two items of one {key.name}:"
        f" unique_constraints: [[{parent.name}, {position.name}]]"
    )
    return [position]


def _choose_group(references: Iterable[Reference]) -> str:
    """The group of most tables that are referred to; "" where nothing tells."""
    groups = Counter(
        r.parent.group for r in references if r.declare and r.parent and r.parent.group not in ("", "default")
    )
    return groups.most_common(1)[0][0] if groups else ""
