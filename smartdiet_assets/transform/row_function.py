"""The function that turns documents of one table into its rows, written out as Python source.

A written-out function tests the usual type of each column in place and calls nothing for it; measured, that is what
makes checking every value affordable. No text from outside stands in the source, not even quoted: names and values
are objects that it refers to by number, so the code has the same shape whatever they are. A test holds that.
"""

import hashlib
import linecache
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from bson.objectid import ObjectId

from smartdiet_assets.schema.documents import Document
from smartdiet_assets.schema.model import (
    DOCUMENT_ID,
    ITEM_POSITION,
    ArraySource,
    Condition,
    Table,
)
from smartdiet_assets.schema.reasons import Reason, Reject
from smartdiet_assets.transform.convert import Adjustment
from smartdiet_assets.transform.filters import build_condition
from smartdiet_assets.transform.forgetting import Forgetting
from smartdiet_assets.transform.index_entries import plan_entry_checks
from smartdiet_assets.transform.paths import list_single
from smartdiet_assets.transform.protection import build_id_test, build_namer
from smartdiet_assets.transform.rejection import Rejection
from smartdiet_assets.transform.value_source import ValueComposer, indented, tells_missing

#: What a row function notes of a document whose id its document column does not tell: the `_id`, the column's value,
#: where its rows begin and end, and how many understood documents came before it.
IdNote = tuple[object, object, int, int, int]

#: Takes documents, three lists to append to (rows, ids of understood documents, rejects) and the newest date
#: so far; returns the newest date and the counts of `Counts`, in that order.
RowFunction = Callable[
    [list[Document], list[tuple[object, ...]], list[object], list[Reject], datetime],
    tuple[datetime, int, int, int, int],
]


class Counts(NamedTuple):
    """What a row function counts beside its lists.

    Attributes:
        rejected: documents rejected whole.
        filtered: documents that the filter leaves out.
        items: items other than null of the documents that were understood.
        collapsed: items left out as another one of their document has the same key.
    """

    rejected: int
    filtered: int
    items: int
    collapsed: int


def compose_row_function(table: Table, *, fast: bool = True) -> str:
    """Compose the source of a table's row function; without `fast`, every value takes the slow path."""
    return _Composer(table, fast).source


def build_row_function(
    table: Table,
    *,
    fast: bool = True,
    adjustments: list[Adjustment] | None = None,
    typed: list[IdNote] | None = None,
    forgetting: Forgetting | None = None,
) -> RowFunction:
    """Compile a table's row function. Tracebacks show its source, under a name made of its hash.

    Args:
        adjustments: added to for each value of a row that its column's `on_invalid` changed.
        typed: added to for each understood document whose id the document column does not tell.
        forgetting: marks the rejects of what is to be left out without a word.

    Raises:
        ValueError: a default or a `set` constant does not fit its column.
    """
    composer = _Composer(table, fast, adjustments, typed, forgetting)
    source = composer.source
    filename = f"<row function {hashlib.sha256(source.encode()).hexdigest()[:12]}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    exec(compile(source, filename, "exec"), composer.names)
    function: RowFunction = composer.names["read_rows"]
    return function


class _Composer:
    """Collects the source and the objects it refers to by name."""

    def __init__(
        self,
        table: Table,
        fast: bool,
        adjustments: list[Adjustment] | None = None,
        typed: list[IdNote] | None = None,
        forgetting: Forgetting | None = None,
    ) -> None:
        self.table = table
        self.fast = fast
        adjustments = [] if adjustments is None else adjustments
        self.values = ValueComposer(table, fast, adjustments, forgetting)
        self.columns, self.names, self.shared = self.values.columns, self.values.names, self.values.shared
        self.entry_checks = plan_entry_checks(table)
        self.names.update((f"check_entry_{n}", check.check) for n, check in enumerate(self.entry_checks))
        self.names.update(
            {
                "ObjectId": ObjectId,
                "Rejection": Rejection,
                "UTC": UTC,
                "adjustments": adjustments,
                "datetime": datetime,
                "list_single": list_single,
                "name_document": build_namer(table),
                "tells_id": build_id_test(table),
                "typed": [] if typed is None else typed,
                "repeated_item": Rejection(Reason.DUPLICATE_KEY, "one item of each key"),
            }
        )
        #: How a reject is made: most tables name a document by its id.
        self.build_reject = f"build_reject(identity{', name_document' if table.hides_ids else ''})"
        self.adjusts = any(column.on_invalid != "reject" for column in self.columns.values())
        self.source = "\n".join(self._compose()) + "\n"

    def _compose(self) -> Iterator[str]:
        table = self.table
        identity = next(i for i, column in self.columns.items() if column.name == table.document_column)
        yield "def read_rows(documents, rows, understood, rejects, newest):"
        yield "    rejected = filtered = items = collapsed = 0"
        yield "    for document in documents:"
        yield "        get = document.get"
        if table.arrays:
            yield "        first = len(rows)"
        yield from indented(2, self._compose_dates())
        yield from indented(2, self._compose_shared())
        if self.adjusts:
            yield "        adjusted = len(adjustments)"
        yield "        try:"
        yield from indented(3, self.values.compose_column(identity, "document"))
        if table.filter:
            conditions = " and ".join(self._compose_condition(i, c) for i, c in enumerate(table.filter))
            yield f"            if not ({conditions}):"
            yield from indented(4, self._compose_id_note(identity, "len(rows)"))
            yield f"                understood.append(c{identity})"
            yield "                filtered += 1"
            yield "                continue"
        body = self._compose_items(identity) if table.arrays else self._compose_row(identity)
        yield from indented(3, body)
        yield "        except Rejection as rejection:"
        yield f"            rejects.append(rejection.{self.build_reject})"
        yield "            rejected += 1"
        if self.adjusts:
            yield "            del adjustments[adjusted:]"
        yield "            continue"
        yield from indented(2, self._compose_id_note(identity, "first" if table.arrays else "len(rows) - 1"))
        if table.tracks_documents:
            yield f"        understood.append(c{identity})"
        yield "    return newest, rejected, filtered, items, collapsed"

    def _compose_id_note(self, identity: int, first: str) -> Iterator[str]:
        """Note a document whose id the column does not tell; nearly every `_id` is an ObjectId, or else any string."""
        usual = "type(identity) is ObjectId"
        column = self.columns[identity]
        if column.type.is_text and column.on_invalid == "reject":
            usual += f" or (type(identity) is str and identity is c{identity} and len(identity) != 24)"
        elif not column.type.is_text:
            usual = f"identity is c{identity} and type(identity) is int"
        yield f"if not ({usual}) and c{identity} is not None and not tells_id(c{identity}, identity):"
        yield f"    typed.append((identity, c{identity}, {first}, len(rows), len(understood)))"

    def _compose_dates(self) -> Iterator[str]:
        """Read the id and the dates, and keep the newest date; a document without dates has its id's."""
        table = self.table
        fields = {table.updated_field: "updated", table.created_field: "created"}
        yield f"identity = {self.values.get(DOCUMENT_ID)}"
        for path, name in fields.items():
            yield from self.values.compose_path(name, path, "get", absent="None")
            yield f"if type({name}) is datetime and {name} > newest:"
            yield f"    newest = {name}"
        undated = " and ".join(f"type({name}) is not datetime" for name in fields.values())
        yield f"if {undated} and type(identity) is ObjectId:"
        yield "    newest = max(newest, object_id_time(identity))"
        self.shared.update({path: name for path, name in fields.items() if "." not in path})
        self.shared[DOCUMENT_ID] = "identity"

    def _compose_shared(self) -> Iterator[str]:
        """Read what several columns need once."""
        paths = [p for c in self.columns.values() if not tells_missing(c) for p in c.mongo_field]
        paths += [array.field for array in self.table.arrays]
        roots = Counter(path.partition(".")[0] for path in paths)
        wanted = [root for root, count in roots.items() if count > 1 and root not in self.shared]
        for number, root in enumerate(wanted):
            yield f"field_{number} = {self.values.get(root)}"
            self.shared[root] = f"field_{number}"

    def _compose_condition(self, number: int, condition: Condition) -> str:
        """Compose one condition of the filter: in place for the usual forms, else a call."""
        self.names[f"condition_{number}"] = build_condition(condition)
        call = f"condition_{number}(document)"
        if not self.fast or "." in condition.path:
            return call
        if condition.operator == "$exists":
            return f"{self.values.bind(condition.path)} {'in' if condition.value else 'not in'} document"
        read = self.values.get(condition.path)
        if condition.operator == "$ne" and condition.value is None:
            return f"(type({read}) is ObjectId or {call})"
        if condition.operator in ("$eq", "$ne") and isinstance(condition.value, str):
            sign = "==" if condition.operator == "$eq" else "!="
            self.names[f"operand_{number}"] = condition.value
            return f"(value {sign} operand_{number} if type(value := {read}) is str else {call})"
        return call

    def _compose_row(self, identity: int) -> Iterator[str]:
        for index in self.columns:
            if index != identity:
                yield from self.values.compose_column(index, "document")
        yield from self._compose_entry_checks()
        yield f"rows.append({self._compose_tuple(self.columns)})"

    def _compose_entry_checks(self) -> Iterator[str]:
        """Compose the tests that a row fits the table's indexes; `len` tells for nearly every row."""
        for number, check in enumerate(self.entry_checks):
            call = f"check_entry_{number}({self._compose_tuple(check.columns)})"
            if check.characters is None:
                yield call
                continue
            lengths = " + ".join(f"len(c{i}{' or ()' if self.columns[i].nullable else ''})" for i in check.columns)
            yield f"if {lengths} > {check.characters}:"
            yield f"    {call}"

    def _compose_items(self, identity: int) -> Iterator[str]:
        """Compose a loop per array. The document's own columns are read only where there is an item."""
        arrays = [f"items_{number}" for number in range(len(self.table.arrays))]
        for name, array in zip(arrays, self.table.arrays, strict=True):
            yield from self.values.compose_path(name, array.field, "get", absent="None")
            yield f"if type({name}) is not list:"
            yield f"    {name} = () if {name} is None else list_single({name})"
        yield f"if {' or '.join(arrays)}:"
        for index, column in self.columns.items():
            if index != identity and column.mongo_field:
                yield from indented(1, self.values.compose_column(index, "document"))
        yield "    seen = set()"
        yield f"    items += {' + '.join(f'len({name})' for name in arrays)}"
        # Of items that share a key the first is shown: read from the end, it is the last.
        backwards = self.table.on_duplicate_item == "last"
        for number, array in sorted(enumerate(self.table.arrays), reverse=backwards):
            yield f"    {self._compose_loop(f'items_{number}', backwards)}"
            yield from indented(2, self._compose_item(number, array))

    def _compose_loop(self, items: str, backwards: bool) -> str:
        if not any(column.item_field == (ITEM_POSITION,) for column in self.columns.values()):
            return f"for item in {f'reversed({items})' if backwards else items}:"
        if backwards:
            return f"for position, item in zip(range(len({items}) - 1, -1, -1), reversed({items})):"
        return f"for position, item in enumerate({items}):"

    def _compose_item(self, number: int, array: ArraySource) -> Iterator[str]:
        constants = dict(array.set)
        yield "if item is None:"
        yield "    items -= 1"
        yield "    continue"
        if self.adjusts:
            yield "adjusted_before = len(adjustments)"
        yield "try:"
        for index, column in self.columns.items():
            if column.item_field:
                yield from indented(1, self.values.compose_column(index, "item"))
            elif not column.mongo_field:
                yield from indented(1, self.values.compose_constant(index, number, constants))
        yield from indented(1, self._compose_entry_checks())
        yield "except Rejection as rejection:"
        yield f"    rejects.append(rejection.{self.build_reject})"
        if self.adjusts:
            yield "    del adjustments[adjusted_before:]"
        yield "    continue"
        if self.table.key:
            varying = [i for i, c in self.columns.items() if c.name in self.table.key and not c.mongo_field]
            yield f"key = {f'c{varying[0]}' if len(varying) == 1 else self._compose_tuple(varying)}"
            yield "if key in seen:"
            if self.adjusts:
                yield "    del adjustments[adjusted_before:]"
            if self.table.on_duplicate_item == "reject":
                yield f"    rejects.append(repeated_item.{self.build_reject})"
            else:
                yield "    collapsed += 1"
            yield "    continue"
            yield "seen.add(key)"
        yield f"rows.append({self._compose_tuple(self.columns)})"

    def _compose_tuple(self, indexes: Any) -> str:
        return f"({', '.join(f'c{index}' for index in indexes)}{',' if len(indexes) == 1 else ''})"
