"""Which fields refer to documents of which tables: their ids, looked up among the ids of the tables' documents."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from smartdiet_assets.infer.column_types import describe_share
from smartdiet_assets.infer.naming import build_singular, build_snake_case
from smartdiet_assets.infer.observation import ARRAY, OBJECT, OBJECT_ID, STRING, UUID, Observed
from smartdiet_assets.schema.model import DOCUMENT_ID, Condition, Schema

#: From this share of found ids on, a field is a reference.
ENOUGH = 0.5
_OBJECT_ID = re.compile(r"[0-9a-f]{24}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: Other texts are ids only where all of several are found.
_FEW = 3


@dataclass(frozen=True, slots=True)
class Parent:
    """A table that rows can refer to by the id of its documents; `table` is empty where no table mirrors them."""

    table: str
    column: str
    collection: str
    filter: tuple[Condition, ...] = ()
    group: str = ""

    def resembles(self, path: str) -> bool:
        """Whether a place is named like the table: `customer`, `customers` and `billing_customer_id` like customers."""
        name, own = _build_word(path), build_singular(self.table)
        return bool(own) and (name == own or name.endswith(f"_{own}"))


@dataclass(slots=True)
class Candidate:
    """A place whose values may be ids.

    Attributes:
        found: by parent, how many of the ids looked up there were found.
        asked: how many were looked up there.
        rows: of the ids of items looked up, how many are rows of the table chosen; None where nothing tells.
    """

    path: str
    ids: Mapping[str, object]
    ids_dropped: bool
    in_items: bool
    plain_text: bool = False
    found: dict[Parent, int] = field(default_factory=dict)
    asked: dict[Parent, int] = field(default_factory=dict)
    rows: int | None = None

    def is_found(self) -> bool:
        """Whether each id looked up so far was found in one table that is named like the place."""
        return any(
            number and number == self.asked[parent] and parent.resembles(self.path)
            for parent, number in self.found.items()
        )


@dataclass(frozen=True, slots=True)
class Reference:
    """What the ids of a place turned out to be.

    Attributes:
        parent: where most of them are; None where they are nowhere.
        declare: whether that is enough for a foreign key.
        whole: whether no id is known to dangle and, where every document was read, each was looked up.
    """

    parent: Parent | None
    declare: bool
    whole: bool
    remark: str


def list_parents(schema: Schema | None, own: Parent | None = None) -> list[Parent]:
    """List the tables of a schema that can be referred to by a document's id, and the new table itself."""
    found = [own] if own else []
    for table in schema.tables.values() if schema else ():
        column = table.column(table.document_column)
        unique = (column.name,) in (table.primary_key, *table.unique_constraints)
        spelled = column.type.base.compared_as == "text" and table.source_kind.has_documents
        if table.shape.rows_are_documents and unique and spelled:
            found.append(Parent(table.name, column.name, table.mongo_collection, table.filter, table.group))
    return found


def list_candidates(root: Observed) -> list[Candidate]:
    """List the places whose values may be ids; paths as `planning` spells them, items by the path of their array."""
    return list(_walk(root, "", in_items=False))


def nominate(candidate: Candidate) -> Parent | None:
    """Choose where the remaining ids of a candidate are looked up: where most of the first ones were found."""
    found = [parent for parent, number in candidate.found.items() if number]
    return min(found, key=lambda parent: _rank(candidate, parent), default=None)


def judge(candidate: Candidate, *, complete: bool) -> Reference | None:
    """Judge what was found; None where nothing speaks for a reference.

    Args:
        complete: every document was read, so that an array's items are asked for without a doubt.
    """
    parent = nominate(candidate)
    if parent is None:
        return None
    found, asked = candidate.found[parent], candidate.asked[parent]
    all_asked = asked == len(candidate.ids) and not candidate.ids_dropped
    whole = found == asked and (all_asked or not complete) and candidate.rows in (None, found)
    if candidate.plain_text and (found < asked or asked < _FEW):
        return None
    share = f"{describe_share(found, asked)} of {asked:,} id{'s' if asked > 1 else ''} are in"
    if not parent.table:
        if found < ENOUGH * asked:
            return None
        return Reference(parent, False, whole, f"{share} {parent.collection}, which no table mirrors")
    if found < ENOUGH * asked:
        return Reference(parent, False, whole, f"{share} {parent.table}: too few for a foreign key")
    lacking = candidate.rows is not None and candidate.rows < found
    rows = f", {candidate.rows:,} of them as rows" if lacking else ""
    return Reference(parent, True, whole, f"{share} {parent.table}{rows}")


def combine(references: Sequence[Reference | None]) -> Reference | None:
    """Judge places that feed one column together: a reference of all of them, if it is one to the same table."""
    found = [reference for reference in references if reference]
    if not found:
        return None
    alike = len(found) == len(references) and len({reference.parent for reference in found}) == 1
    return Reference(
        found[0].parent,
        alike and all(reference.declare for reference in found),
        alike and all(reference.whole for reference in found),
        "; ".join(dict.fromkeys(reference.remark for reference in found)),
    )


def _walk(seen: Observed, prefix: str, *, in_items: bool) -> Iterable[Candidate]:
    for name, inner in seen.fields.items():
        path = f"{prefix}.{name}" if prefix else name
        if path == DOCUMENT_ID:
            continue
        yield from _consider(inner, path, in_items=in_items)
        if inner.kinds[OBJECT]:
            yield from _walk(inner, path, in_items=in_items)
        if inner.kinds[ARRAY] and inner.items is not None and not in_items:
            yield from _consider(inner.items, f"{path}[]", in_items=True)
            if inner.items.kinds[OBJECT]:
                yield from _walk(inner.items, f"{path}[]", in_items=True)


def _consider(seen: Observed, path: str, *, in_items: bool) -> Iterable[Candidate]:
    texts = seen.kinds[OBJECT_ID] + seen.kinds[STRING] + seen.kinds[UUID]
    if not seen.ids or texts < ENOUGH * (seen.count - seen.kinds[OBJECT] - seen.kinds[ARRAY]):
        return
    # The text of a status or a name is looked up too: ids may be texts.
    formed = [text for text in seen.ids if _OBJECT_ID.fullmatch(text) or _UUID.fullmatch(text)]
    plain = len(formed) < ENOUGH * len(seen.ids)
    if plain and (seen.kinds[OBJECT] or seen.text.longest > 64):
        return
    yield Candidate(path, seen.ids, seen.ids_dropped, in_items, plain)


def _rank(candidate: Candidate, parent: Parent) -> tuple[float, bool, bool, bool]:
    """Most ids first; then a table, one named like the field, and the one that holds fewer documents."""
    share = candidate.found[parent] / candidate.asked[parent]
    similar = _build_word(candidate.path) == build_singular(parent.table)
    return (-share, not parent.table, not similar, not parent.filter)


def _build_word(path: str) -> str:
    """Name what a place refers to by its last field: `lines[].product_ids` is a product."""
    name = build_singular(build_snake_case(path.rstrip("[]").rpartition(".")[2]))
    return build_singular(name.removesuffix("_id"))
