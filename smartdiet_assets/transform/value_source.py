"""How a row function reads one value and makes a column's of it, as Python source."""

from collections.abc import Iterator
from textwrap import indent
from typing import Any

from smartdiet_assets.schema.model import DOCUMENT_ID, ITEM_ITSELF, ITEM_POSITION, Column, Scalar, Table
from smartdiet_assets.transform.convert import Adjustment, build_column_converter, build_conversion, build_remembering
from smartdiet_assets.transform.dates import build_object_id_time
from smartdiet_assets.transform.forgetting import Forgetting
from smartdiet_assets.transform.paths import follow_first, take_step
from smartdiet_assets.transform.rejection import MISSING, Rejection


class ValueComposer:
    """Composes the source of a table's values.

    Text from outside is bound by `bind`, and a value by a name of its own; neither is ever written into the source.

    Attributes:
        columns: the stored columns by number; the value of column 3 is in the variable `c3`.
        names: the objects the source refers to.
        shared: variables that hold a field of the document which is read once, by the field's name.
    """

    def __init__(
        self, table: Table, fast: bool, adjustments: list[Adjustment], forgetting: Forgetting | None = None
    ) -> None:
        self.table = table
        self.fast = fast
        self.names: dict[str, Any] = {
            "MISSING": MISSING,
            "follow_first": follow_first,
            "object_id_time": build_object_id_time,
            "take_step": take_step,
        }
        self.columns = dict(enumerate(table.stored_columns))
        self.conversions = {index: build_conversion(column, forgetting) for index, column in self.columns.items()}
        for index, column in self.columns.items():
            conversion = self.conversions[index]
            convert = build_column_converter(column, conversion, adjustments)
            self.names[f"convert_{index}"] = convert
            if conversion.remembered:
                self.names[f"remembered_{index}"] = build_remembering(column, conversion, convert)
        self.bound: dict[str, str] = {}
        self.shared: dict[str, str] = {}

    def compose_column(self, index: int, source: str) -> Iterator[str]:
        """Compose what leaves a column's value in `c<index>`; `source` is `document` or `item`."""
        column = self.columns[index]
        absent = "MISSING" if tells_missing(column) else "None"
        yield f"# {column.type.sql}{'' if column.nullable else ' NOT NULL'}"
        if column.item_field == (ITEM_POSITION,):
            yield "value = position"
        elif source == "item":
            inner = [path for path in column.item_field if path != ITEM_ITSELF]
            yield "if type(item) is dict:"
            yield from indented(1, self._compose_paths(column, inner, "item.get", absent))
            yield "else:"
            if ITEM_ITSELF in column.item_field:
                yield "    value = item"
            else:
                self.names[f"paths_{index}"] = [path.split(".") for path in inner]
                yield f"    value = follow_first(item, paths_{index}, {absent})"
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

    def compose_constant(self, index: int, number: int, constants: dict[str, Scalar]) -> Iterator[str]:
        column = self.columns[index]
        value = constants.get(column.name, column.default)
        if value is None:
            yield f"c{index} = convert_{index}(None)"
            return
        self.names[f"constant_{index}_{number}"] = self._convert_declared(index, value)
        yield f"c{index} = constant_{index}_{number}"

    def compose_path(
        self, target: str, path: str, getter: str, absent: str, in_object_id: bool = False
    ) -> Iterator[str]:
        """Compose reading one dotted path into a variable: in place while it passes through documents."""
        root, *segments = path.split(".")
        suffix = "" if absent == "None" else f", {absent}"
        read = f"{getter}({self.bind(root)}{suffix})"
        if getter == "get" and not suffix:
            read = self.shared.get(root, read)
        if in_object_id and path == DOCUMENT_ID:
            read = f"object_id_time({read})"
            if absent != "None":
                read += f" or {absent}"
        yield f"{target} = {read}"
        nothing = f"{target} is None" if absent == "None" else f"{target} is None or {target} is {absent}"
        for segment in segments:
            name = self.bind(segment)
            step = f"{absent} if {nothing} else take_step({target}, {name}, {absent})"
            yield f"{target} = {target}.get({name}{suffix}) if type({target}) is dict else {step}"

    def _compose_paths(self, column: Column, paths: list[str], getter: str, absent: str) -> Iterator[str]:
        """Compose `value = …` for the first path that leads to a value; null counts only as a last resort."""
        if not paths:
            yield f"value = {absent}"
            return
        in_object_id = column.type.base.is_instant
        yield from self.compose_path("value", paths[0], getter, absent, in_object_id)
        for path in paths[1:]:
            if absent == "None":
                yield "if value is None:"
                yield from indented(1, self.compose_path("value", path, getter, absent, in_object_id))
            else:
                yield "if value is None or value is MISSING:"
                yield from indented(1, self.compose_path("other", path, getter, absent, in_object_id))
                yield "    if other is not MISSING:"
                yield "        value = other"

    def bind(self, text: str) -> str:
        """Give the variable that holds a text from outside."""
        name = self.bound.setdefault(text, f"name_{len(self.bound)}")
        self.names[name] = text
        return name

    def get(self, field: str) -> str:
        return f"get({self.bind(field)})"

    def _convert_declared(self, index: int, value: Scalar) -> Any:
        """Convert a default or a constant of the schema file, by the rules of a document's values."""
        column, conversion = self.columns[index], self.conversions[index]
        try:
            if conversion.constant and isinstance(value, str):
                return conversion.constant(value)
            return conversion.convert(value)
        except (Rejection, ValueError):
            raise ValueError(
                f"{self.table.name}.{column.name}: a declared value does not fit {column.type.sql}"
            ) from None


def tells_missing(column: Column) -> bool:
    """Tell whether a missing field, which takes the default, differs from a null, which stays NULL."""
    return column.default is not None and column.nullable


def indented(levels: int, lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield indent(line, "    " * levels)
