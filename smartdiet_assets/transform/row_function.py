"""The function that turns documents of one table into its rows, written out as Python source.

Here: composing the source from a `Table` and compiling it. A written-out function tests the usual type of
each column in place and calls nothing for it; measured, that is what makes checking every value affordable.
Not here: what values become (`convert` and its families), decoding, or the result (`batch`).
"""

import json
import linecache
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from textwrap import indent
from typing import Any

from bson.objectid import ObjectId

from smartdiet_assets.schema.model import (
    DOCUMENT_ID,
    ITEM_ITSELF,
    ArraySource,
    Column,
    Condition,
    Scalar,
    Table,
)
from smartdiet_assets.schema.reasons import Reject
from smartdiet_assets.transform.convert import (
    OBJECT_ID_TIME_TYPES,
    Adjustment,
    build_column_converter,
    build_conversion,
    build_remembering,
)
from smartdiet_assets.transform.dates import build_object_id_time
from smartdiet_assets.transform.filters import build_condition
from smartdiet_assets.transform.index_entries import plan_entry_checks
from smartdiet_assets.transform.json_documents import JsonText
from smartdiet_assets.transform.rejection import MISSING, Rejection

#: Takes documents, three lists to append to (rows, ids of understood documents, rejects) and the newest date
#: so far; returns the newest date and how many documents were rejected whole.
RowFunction = Callable[
    [list[dict[str, Any]], list[tuple[Any, ...]], list[object], list[Reject], datetime], tuple[datetime, int]
]


def compose_row_function(table: Table, *, fast: bool = True) -> str:
    """Compose the source of a table's row function; without `fast`, every value takes the slow path."""
    return _Composer(table, fast).source


def build_row_function(table: Table, *, fast: bool = True, adjustments: list[Adjustment] | None = None) -> RowFunction:
    """Compile a table's row function. Tracebacks show its source.

    Args:
        adjustments: added to for each value of a row that its column's `on_invalid` changed.

    Raises:
        ValueError: a default or a `set` constant does not fit its column.
    """
    composer = _Composer(table, fast, adjustments)
    filename = f"<rows of {table.name}{'' if fast else ', slow path'}>"
    source = composer.source
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    exec(compile(source, filename, "exec"), composer.names)
    function: RowFunction = composer.names["read_rows"]
    return function


class _Composer:
    """Collects the source and the objects it refers to by name."""

    def __init__(self, table: Table, fast: bool, adjustments: list[Adjustment] | None = None) -> None:
        self.table = table
        self.fast = fast
        adjustments = [] if adjustments is None else adjustments
        self.names: dict[str, Any] = {
            "MISSING": MISSING,
            "ObjectId": ObjectId,
            "Rejection": Rejection,
            "UTC": UTC,
            "adjustments": adjustments,
            "datetime": datetime,
            "object_id_time": build_object_id_time,
        }
        self.columns = dict(enumerate(table.stored_columns))
        self.conversions = {index: build_conversion(column) for index, column in self.columns.items()}
        for index, column in self.columns.items():
            conversion = self.conversions[index]
            convert = build_column_converter(column, conversion, adjustments)
            self.names[f"convert_{index}"] = convert
            if conversion.remembered:
                self.names[f"remembered_{index}"] = build_remembering(column, conversion, convert)
        self.entry_checks = plan_entry_checks(table)
        self.names.update((f"check_entry_{n}", check.check) for n, check in enumerate(self.entry_checks))
        self.adjusts = any(column.on_invalid != "reject" for column in self.columns.values())
        #: Fields read once into a variable, by the expression that reads them.
        self.shared: dict[str, str] = {}
        self.source = "\n".join(self._compose()) + "\n"

    def _compose(self) -> Iterator[str]:
        table = self.table
        keeps_documents = table.shape != "one_row" or bool(table.filter)
        identity = next(i for i, column in self.columns.items() if column.name == table.document_column)
        yield "def read_rows(documents, rows, understood, rejects, newest):"
        yield f'    """Rows of {table.name} from documents of {table.mongo_collection}."""'
        yield "    rejected = 0"
        yield "    for document in documents:"
        yield "        get = document.get"
        yield from _indented(2, self._compose_dates())
        yield from _indented(2, self._compose_shared())
        if self.adjusts:
            yield "        adjusted = len(adjustments)"
        yield "        try:"
        yield from _indented(3, self._compose_column(identity, "document"))
        if table.filter:
            conditions = " and ".join(self._compose_condition(i, c) for i, c in enumerate(table.filter))
            yield f"            if not ({conditions}):"
            yield f"                understood.append(c{identity})"
            yield "                continue"
        body = self._compose_items(identity) if table.arrays else self._compose_row(identity)
        yield from _indented(3, body)
        yield "        except Rejection as rejection:"
        yield "            rejects.append(rejection.build_reject(identity))"
        yield "            rejected += 1"
        if self.adjusts:
            yield "            del adjustments[adjusted:]"
        yield "            continue"
        if keeps_documents:
            yield f"        understood.append(c{identity})"
        yield "    return newest, rejected"

    def _compose_dates(self) -> Iterator[str]:
        """Read the id and the dates, and keep the newest date; a document without dates has its id's."""
        table = self.table
        fields = {table.updated_field: "updated", table.created_field: "created"}
        yield "identity = get('_id')"
        for path, name in fields.items():
            yield from self._compose_path(name, path, "get", absent="None")
            yield f"if type({name}) is datetime and {name} > newest:"
            yield f"    newest = {name}"
        undated = " and ".join(f"type({name}) is not datetime" for name in fields.values())
        yield f"if {undated} and type(identity) is ObjectId:"
        yield "    newest = max(newest, object_id_time(identity))"
        self.shared.update({_get(path): name for path, name in fields.items() if "." not in path})
        self.shared[_get(DOCUMENT_ID)] = "identity"

    def _compose_shared(self) -> Iterator[str]:
        """Read what several columns need once."""
        paths = [p for c in self.columns.values() if not _tells_missing(c) for p in c.mongo_field]
        paths += [array.field for array in self.table.arrays]
        roots = Counter(path.partition(".")[0] for path in paths)
        wanted = [root for root, count in roots.items() if count > 1 and _get(root) not in self.shared]
        for number, root in enumerate(wanted):
            yield f"field_{number} = {_get(root)}"
            self.shared[_get(root)] = f"field_{number}"

    def _compose_condition(self, number: int, condition: Condition) -> str:
        """Compose one condition of the filter: in place for the usual forms, else a call."""
        self.names[f"condition_{number}"] = build_condition(condition)
        call = f"condition_{number}(document)"
        if not self.fast or "." in condition.path:
            return call
        if condition.operator == "$exists":
            return f"{condition.path!r} {'in' if condition.value else 'not in'} document"
        read = _get(condition.path)
        if condition.operator == "$ne" and condition.value is None:
            return f"(type({read}) is ObjectId or {call})"
        if condition.operator in ("$eq", "$ne") and isinstance(condition.value, str):
            sign = "==" if condition.operator == "$eq" else "!="
            return f"(value {sign} {condition.value!r} if type(value := {read}) is str else {call})"
        return call

    def _compose_row(self, identity: int) -> Iterator[str]:
        for index in self.columns:
            if index != identity:
                yield from self._compose_column(index, "document")
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
            yield from self._compose_path(name, array.field, "get", absent="None")
            yield f"if type({name}) is not list:"
            yield f"    {name} = () if {name} is None else ({name},)"
        yield f"if {' or '.join(arrays)}:"
        for index, column in self.columns.items():
            if index != identity and column.mongo_field:
                yield from _indented(1, self._compose_column(index, "document"))
        yield "    seen = set()"
        for number, array in enumerate(self.table.arrays):
            yield f"    for item in items_{number}:"
            yield from _indented(2, self._compose_item(number, array))

    def _compose_item(self, number: int, array: ArraySource) -> Iterator[str]:
        constants = dict(array.set)
        yield "if item is None:"
        yield "    continue"
        if self.adjusts:
            yield "adjusted_before = len(adjustments)"
        yield "try:"
        yield f"    # an item of {array.field}"
        for index, column in self.columns.items():
            if column.item_field:
                yield from _indented(1, self._compose_column(index, "item"))
            elif not column.mongo_field:
                yield from _indented(1, self._compose_constant(index, number, constants))
        yield from _indented(1, self._compose_entry_checks())
        yield "except Rejection as rejection:"
        yield "    rejects.append(rejection.build_reject(identity))"
        if self.adjusts:
            yield "    del adjustments[adjusted_before:]"
        yield "    continue"
        if self.table.key:
            varying = [i for i, c in self.columns.items() if c.name in self.table.key and not c.mongo_field]
            yield f"key = {f'c{varying[0]}' if len(varying) == 1 else self._compose_tuple(varying)}"
            yield "if key in seen:"
            if self.adjusts:
                yield "    del adjustments[adjusted_before:]"
            yield "    continue"
            yield "seen.add(key)"
        yield f"rows.append({self._compose_tuple(self.columns)})"

    def _compose_constant(self, index: int, number: int, constants: dict[str, Scalar]) -> Iterator[str]:
        column = self.columns[index]
        value = constants.get(column.name, column.default)
        if value is None:
            yield f"c{index} = convert_{index}(None)"
            return
        converted = self._convert_declared(index, value)
        if type(converted) in (str, int, bool):
            yield f"c{index} = {converted!r}"
        else:
            self.names[f"constant_{index}_{number}"] = converted
            yield f"c{index} = constant_{index}_{number}"

    def _compose_column(self, index: int, source: str) -> Iterator[str]:
        """Compose what leaves a column's value in `c<index>`; `source` is `document` or `item`."""
        column = self.columns[index]
        absent = "MISSING" if _tells_missing(column) else "None"
        yield f"# {column.name} {column.type.sql}{'' if column.nullable else ' NOT NULL'}"
        if source == "item":
            inner = [path for path in column.item_field if path != ITEM_ITSELF]
            yield "if type(item) is dict:"
            yield from _indented(1, self._compose_paths(column, inner, "item.get", absent))
            yield "else:"
            yield f"    value = {'item' if ITEM_ITSELF in column.item_field else absent}"
        else:
            yield from self._compose_paths(column, list(column.mongo_field), "get", absent)
        expression = f"convert_{index}(value)"
        if column.nullable:
            expression = f"None if value is None else {expression}"
        for path in reversed(self.conversions[index].fast if self.fast else ()):
            result = path.result.format(remembered=f"remembered_{index}")
            expression = f"{result} if {path.check} else {expression}"
        if column.default is not None:
            self.names[f"default_{index}"] = self._convert_declared(index, column.default)
            expression = f"default_{index} if value is {absent} else {expression}"
        yield f"c{index} = {expression}"

    def _compose_paths(self, column: Column, paths: list[str], getter: str, absent: str) -> Iterator[str]:
        """Compose `value = …` for the first path that leads to a value; null counts only as a last resort."""
        if not paths:
            yield f"value = {absent}"
            return
        in_object_id = column.type.name in OBJECT_ID_TIME_TYPES
        yield from self._compose_path("value", paths[0], getter, absent, in_object_id)
        for path in paths[1:]:
            if absent == "None":
                yield "if value is None:"
                yield from _indented(1, self._compose_path("value", path, getter, absent, in_object_id))
            else:
                yield "if value is None or value is MISSING:"
                yield from _indented(1, self._compose_path("other", path, getter, absent, in_object_id))
                yield "    if other is not MISSING:"
                yield "        value = other"

    def _compose_path(
        self, target: str, path: str, getter: str, absent: str, in_object_id: bool = False
    ) -> Iterator[str]:
        """Compose reading one dotted path into a variable; it passes through documents only."""
        root, *segments = path.split(".")
        suffix = "" if absent == "None" else f", {absent}"
        read = f"{getter}({root!r}{suffix})"
        read = self.shared.get(read, read)
        if in_object_id and path == DOCUMENT_ID:
            read = f"object_id_time({read})"
            if absent != "None":
                read += f" or {absent}"
        yield f"{target} = {read}"
        for segment in segments:
            yield f"{target} = {target}.get({segment!r}{suffix}) if type({target}) is dict else {absent}"

    def _convert_declared(self, index: int, value: Scalar) -> Any:
        """Convert a default or a constant of the schema file, by the rules of a document's values."""
        column = self.columns[index]
        try:
            if column.type.name == "jsonb" and isinstance(value, str):
                json.loads(value)
                return JsonText(value)
            return self.conversions[index].convert(value)
        except (Rejection, ValueError):
            raise ValueError(
                f"{self.table.name}.{column.name}: a declared value does not fit {column.type.sql}"
            ) from None

    def _compose_tuple(self, indexes: Any) -> str:
        return f"({', '.join(f'c{index}' for index in indexes)}{',' if len(indexes) == 1 else ''})"


def _get(root: str) -> str:
    return f"get({root!r})"


def _tells_missing(column: Column) -> bool:
    """Tell whether a missing field, which takes the default, differs from a null, which stays NULL."""
    return column.default is not None and column.nullable


def _indented(levels: int, lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield indent(line, "    " * levels)
