"""An entry's place in a schema file: below the tables it declares, at their indentation."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import yaml

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.infer.composing import compose_beginning, compose_scalar
from smartdiet_assets.infer.date_fields import CREATED_FIELD, UPDATED_FIELD
from smartdiet_assets.schema.reading import is_null

_INDENT = 2


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry goes.

    Attributes:
        before, after: the file's text around it.
        indent: blanks before a table's name.
        created_field, updated_field: the dates of tables that do not name theirs.
    """

    before: str
    after: str
    indent: int = _INDENT
    created_field: str = CREATED_FIELD
    updated_field: str = UPDATED_FIELD

    def insert(self, entry: str) -> str:
        """Give the file's text with the entry in it."""
        gap = "" if not self.before or self.before.endswith(("\n\n", ":\n")) else "\n"
        return f"{self.before}{gap}{entry}{chr(10) if self.after.strip() else ''}{self.after}"

    def compose_trial(self, entry: str, parents: Iterable[str]) -> str:
        """Compose a file of an entry by itself, indented by 2; in it, tables with an id stand for its parents."""
        stubs = "".join(f"  {compose_scalar(name)}: {{include_base: true}}\n" for name in sorted(parents))
        created, updated = compose_scalar(self.created_field), compose_scalar(self.updated_field)
        return f"defaults: {{created_field: {created}, updated_field: {updated}}}\ntables:\n{stubs}{entry}"


def find_place(text: str) -> Place:
    """Find the place for an entry in a file's text: `tables:`, or the root of a file that only has tables.

    Raises:
        ConfigurationError: the tables are written in braces, where nothing can be added line by line.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is None:
        return Place((f"{text.rstrip()}\n\n" if text.strip() else "") + compose_beginning(), "")
    assert isinstance(root, yaml.MappingNode), "the file loads"
    keys = {key.value: value for key, value in root.value}
    tables = keys.get("tables", root)
    if is_null(tables) or (tables is not root and not tables.value):
        return _find_first_place(text, tables, keys.get("defaults"))
    if not isinstance(tables, yaml.MappingNode) or tables.flow_style or root.flow_style:
        raise ConfigurationError("the tables of the file are written in braces: add the entry by hand")
    lines = text.splitlines(keepends=True)
    column = tables.value[0][0].start_mark.column
    end = find_end(lines, tables.value[-1][0].start_mark.line, column)
    before = "".join(lines[:end])
    created, updated = _find_date_fields(keys.get("defaults") if tables is not root else None)
    return Place(before if before.endswith("\n") else f"{before}\n", "".join(lines[end:]), column, created, updated)


def _find_first_place(text: str, tables: yaml.Node, defaults: yaml.Node | None) -> Place:
    """Find the place below a `tables:` that has nothing yet, be it written as {} or null."""
    text = text[: tables.start_mark.index] + text[tables.end_mark.index :]
    lines = text.splitlines(keepends=True)
    end = find_end(lines, tables.start_mark.line, _INDENT)
    before = "".join(lines[:end])
    created, updated = _find_date_fields(defaults)
    return Place(before if before.endswith("\n") else f"{before}\n", "".join(lines[end:]), _INDENT, created, updated)


def _find_date_fields(defaults: yaml.Node | None) -> tuple[str, str]:
    """Find the fields of the dates that hold where a table does not say."""
    given = {
        key.value: value.value
        for key, value in (defaults.value if isinstance(defaults, yaml.MappingNode) else ())
        if isinstance(value, yaml.ScalarNode)
    }
    return given.get("created_field", CREATED_FIELD), given.get("updated_field", UPDATED_FIELD)


def find_end(lines: Sequence[str], first: int, column: int, *, comments: int | None = None) -> int:
    """Find the line after what begins on a line: its lines are indented deeper than a column, or empty, or comments.

    Args:
        comments: the column from which on a comment belongs to it; that of the rest by default.
    """
    comments = column if comments is None else comments
    end = first + 1
    for number in range(first + 1, len(lines)):
        line = lines[number]
        stripped = line.strip()
        indent = len(line) - len(line.lstrip(" "))
        if stripped and indent <= column and not (stripped.startswith("#") and indent >= comments):
            break
        if stripped:
            end = number + 1
    return max(end, first + 1)
