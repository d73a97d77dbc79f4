"""From what was seen of a document's or an item's fields to planned columns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from smartdiet_assets.infer.column_types import decide_type, describe_share, describe_shares
from smartdiet_assets.infer.item_keys import ItemKey, find_item_key
from smartdiet_assets.infer.naming import (
    Names,
    build_reference_name,
    find_path_fault,
    is_secret,
    is_value,
)
from smartdiet_assets.infer.observation import (
    ARRAY,
    OBJECT,
    OBJECT_ID,
    STRING,
    Observed,
    count_singles_as_items,
)
from smartdiet_assets.infer.personal import find_personal, propose_protection
from smartdiet_assets.infer.plan import PlannedColumn
from smartdiet_assets.infer.references import Reference
from smartdiet_assets.schema.reading import fault_of_characters, quote

#: A sub-document with more different fields is a map whose keys are data.
_MOST_NAMED = 40
#: So is one with more than a few, most of which are in few of the documents.
_FEW_NAMES, _SPARSE = 12, 0.25
#: From so many columns on, sub-documents stay whole.
_MOST_COLUMNS = 400
#: A field that fewer documents have is worth a word.
_RARE = 0.02
#: What may stand for an array of one beside arrays of the same.
_LIKE_ITEMS = frozenset({ARRAY, OBJECT_ID, STRING})
_DISCRIMINATORS = ("__t", "_t", "_cls", "_class")
_VERSION_KEY = "__v"


@dataclass(slots=True)
class ArrayPlan:
    """An array whose items can be rows of a table; with a fault, some of them cannot.

    `singles` has the shares where a value may stand without an array, for an array of one.
    """

    path: str
    seen: Observed
    key: ItemKey
    singles: str = ""


@dataclass(slots=True)
class Fields:
    """What the fields of documents (or of items) become.

    Attributes:
        names: gives the columns their names.
        references: what the ids of each path turned out to be.
        complete: every document was read.
        prefix: what the paths of `references` begin with, for items.
        total: documents (or items) seen.
    """

    names: Names
    references: Mapping[str, Reference]
    complete: bool
    in_items: bool = False
    prefix: str = ""
    total: int = 0
    columns: list[PlannedColumn] = field(default_factory=list)
    arrays: list[ArrayPlan] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    empty_arrays: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def plan(self, seen: Observed, skip: Callable[[str], bool]) -> None:
        """Plan all fields seen, but those skipped by name; remarks about fields come last."""
        values, self.total = 0, seen.kinds[OBJECT]
        for name, inner in seen.fields.items():
            if skip(name):
                continue
            if name == _VERSION_KEY and not self.in_items:
                self.remarks.append("__v is left out: it counts versions for mongoose")
            elif is_value(name):
                values += 1
            elif fault := find_path_fault(name):
                self.remarks.append(f"left out: {fault}")
            else:
                self._plan_field(name, inner)
        if values:
            look = "their names look like values (ids, dates, numbers)"
            self.remarks.append(f"left out, as {look}: {values:,} of the fields")
        if seen.crowded:
            self.remarks.append(f"there are more than {len(seen.fields):,} different fields: the others are left out")
        if self.empty:
            self.remarks.append(f"never anything but null or {{}}: {', '.join(self.empty)}")
        if self.empty_arrays:
            self.remarks.append(f"never anything but an empty array: {', '.join(self.empty_arrays)}")

    def plan_parts(self, path: str, seen: Observed) -> None:
        """Plan the fields of a sub-document that has a column as a whole."""
        if self._is_named(seen):
            self._plan_below(path, seen)

    def _plan_below(self, path: str, seen: Observed) -> None:
        for name, inner in seen.fields.items():
            self._plan_field(f"{path}.{name}", inner)

    def _plan_field(self, path: str, seen: Observed) -> None:
        kinds = set(seen.kinds)
        if not kinds or (kinds == {OBJECT} and not seen.fields):
            self.empty.append(quote(path))
        elif kinds == {OBJECT} and self._is_named(seen):
            self._plan_below(path, seen)
        elif ARRAY in kinds:
            self._plan_array(path, seen)
        else:
            self._plan_column(path, seen)

    def _is_named(self, seen: Observed) -> bool:
        """Whether the fields of a sub-document can be columns."""
        names = seen.fields
        if seen.crowded or len(names) > _MOST_NAMED or len(self.columns) > _MOST_COLUMNS:
            return False
        if any(is_value(name) or find_path_fault(name) for name in names):
            return False
        shown = sum(inner.count + inner.nulls for inner in names.values())
        return len(names) <= _FEW_NAMES or shown >= _SPARSE * len(names) * seen.kinds[OBJECT]

    def _plan_array(self, path: str, seen: Observed) -> None:
        kinds = set(seen.kinds)
        items = seen.items
        if kinds == {ARRAY} and (items is None or not items.count):
            self.empty_arrays.append(quote(path))
        elif is_secret(path):
            self._add(path, PlannedColumn("", "JSONB", remarks=["looks like a secret: left out"], left_out=True))
        elif kinds != {ARRAY} and not (items and kinds | set(items.kinds) <= _LIKE_ITEMS):
            self.add_json(path, f"{describe_shares(seen.kinds)}: kept as it is")
        elif items is None or ARRAY in items.kinds:
            self.add_json(path, "arrays in arrays: kept as they are")
        elif self.in_items:
            self.add_json(path, "an array of an item: kept as it is")
        elif fault := fault_of_characters(path):
            self.add_json(path, f"an array that cannot have a table: {fault}")
        else:
            singles = describe_shares(seen.kinds) if len(kinds) > 1 else ""
            seen = count_singles_as_items(seen) if singles else seen
            key = find_item_key(path, seen)
            if key.paths:
                self.arrays.append(ArrayPlan(path, seen, key, singles))
            if key.fault:
                self.add_json(path, f"an array: {key.fault}")

    def add_json(self, path: str, remark: str) -> None:
        """Plan a column that keeps whatever is at a path."""
        self._add(path, PlannedColumn("", "JSONB", remarks=[remark]))

    def _plan_column(self, path: str, seen: Observed) -> None:
        decision = decide_type(seen, complete=self.complete)
        column = PlannedColumn(
            "",
            decision.sql_type,
            presence=seen.count / self.total,
            on_invalid=decision.on_invalid,
            remarks=list(decision.remarks),
        )
        if seen.count <= _RARE * self.total:
            column.remarks.append(
                f"in {describe_share(seen.count, self.total)} of the {'items' if self.in_items else 'documents'}"
            )
        if OBJECT in seen.kinds and decision.sql_type == "JSONB" and len(seen.kinds) == 1:
            column.remarks = ["a map whose keys are data, or too many: kept as it is"]
        reference = self.references.get(self.prefix + path)
        text = decision.sql_type in ("VARCHAR", "TEXT", "UUID")
        if is_secret(path):
            column.left_out = True
            column.remarks.append("looks like a secret: left out")
        elif reference and text:
            column.remarks.insert(0, reference.remark)
            if reference.declare and reference.parent:
                column.sql_type = "VARCHAR"
                column.foreign_key = f"{reference.parent.table}({reference.parent.column})"
                column.on_missing_parent = "null"
                column.on_invalid = "null" if column.on_invalid else ""
        personal = "" if column.left_out or column.foreign_key else find_personal(path, seen.text)
        if proposal := propose_protection(personal, column.sql_type):
            column.remarks.append(f"looks like {personal}; perhaps {proposal}")
        if path in _DISCRIMINATORS and set(seen.kinds) == {STRING} and not self.in_items:
            column.remarks.append(
                f"tells kinds of documents apart: with `filter: {{{path}: …}}` a table has those of one kind"
            )
            self._add("type", column, path)
            return
        is_reference = bool(column.foreign_key) or set(seen.kinds) == {OBJECT_ID}
        self._add(build_reference_name(path) if is_reference else path, column, path)

    def _add(self, wanted: str, column: PlannedColumn, path: str = "") -> None:
        column.name = self.names.claim(wanted)
        column.paths = (path or wanted,)
        column.in_items = self.in_items
        self.columns.append(column)
