"""An entry's place in a schema file: below the tables it declares, at their indentation.

Here: text in, text out, and what the file says for all of its tables. Not here: reading and writing the file (`run`).
"""

from dataclasses import dataclass

import yaml

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.infer.date_fields import CREATED_FIELD, UPDATED_FIELD

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


def find_place(text: str) -> Place:
    """Find the place for an entry in a file's text: `tables:`, or the root of a file that only has tables.

    Raises:
        ConfigurationError: the tables are written in braces, where nothing can be added line by line.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is None:
        return Place(f"{text.rstrip()}\n\ntables:\n" if text.strip() else "tables:\n", "")
    assert isinstance(root, yaml.MappingNode), "the file loads"
    keys = {key.value: value for key, value in root.value}
    tables = keys.get("tables", root)
    if not isinstance(tables, yaml.MappingNode) or tables.flow_style or root.flow_style:
        raise ConfigurationError("the tables of the file are written in braces: add the entry by hand")
    lines = text.splitlines(keepends=True)
    last = max(value.end_mark.line for _, value in tables.value)
    column = tables.value[0][0].start_mark.column
    end = _find_end(lines, tables.value[-1][0].start_mark.line, last, column)
    before = "".join(lines[:end])
    defaults = {
        key.value: value.value
        for key, value in (keys["defaults"].value if isinstance(keys.get("defaults"), yaml.MappingNode) else ())
        if isinstance(value, yaml.ScalarNode)
    }
    return Place(
        before if before.endswith("\n") else f"{before}\n",
        "".join(lines[end:]),
        column,
        defaults.get("created_field", CREATED_FIELD) if tables is not root else CREATED_FIELD,
        defaults.get("updated_field", UPDATED_FIELD) if tables is not root else UPDATED_FIELD,
    )


def _find_end(lines: list[str], first: int, last: int, column: int) -> int:
    """Find the line after the last table: its lines are indented deeper than its name, or empty, or comments."""
    end = first + 1
    for number in range(first + 1, len(lines)):
        line = lines[number]
        stripped = line.strip()
        indent = len(line) - len(line.lstrip(" "))
        if stripped and indent <= column and not (stripped.startswith("#") and indent >= column):
            break
        if stripped:
            end = number + 1
    return max(end, first + 1)
