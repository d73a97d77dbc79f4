"""Adding columns to the tables of a schema file, as insertions that leave every character that is there.

Here: text in, text out. Writing the file anew from what was read of it, as ruamel.yaml does, changes lines that nobody
touched: `on_missing_parent: null` loses its word, `[{field: tags}]` its braces. Not here: new tables (`placing`).
"""

import re
from collections.abc import Mapping, Sequence

import yaml

from smartdiet_assets.infer.composing import compose_columns
from smartdiet_assets.infer.placing import find_end
from smartdiet_assets.infer.plan import PlannedTable
from smartdiet_assets.schema.reading import is_null

_COLUMN_IN_COMMENT = re.compile(r"#\s*-\s*\{?\s*name:\s*\"?([^\s,\"}]+)")
_TABLE_IN_COMMENT = re.compile(r"^\s*#\s*\"?([^\s\":]+)\"?:\s*$", re.MULTILINE)
#: Where a text is inserted, and what.
Insertion = tuple[int, str]


def add_columns(text: str, tables: Sequence[PlannedTable]) -> str:
    """Add the columns of planned tables to the tables of the same names that a file declares."""
    nodes = find_tables(text)
    insertions = [_add(text, *nodes[table.name], table) for table in tables]
    for index, added in sorted(insertions, reverse=True):
        text = text[:index] + added + text[index:]
    return text


def find_tables(text: str) -> dict[str, tuple[yaml.ScalarNode, yaml.MappingNode]]:
    """Find the tables of a file: the nodes of each one's name and of what it says."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    tables = next((value for key, value in pairs if key.value == "tables"), root)
    return {key.value: (key, value) for key, value in (tables.value if isinstance(tables, yaml.MappingNode) else ())}


def list_columns_in_comments(text: str) -> dict[str, set[str]]:
    """List the columns that each table of a file has as a comment: somebody, or we, decided against them."""
    found = find_tables(text)
    lines = text.splitlines()
    starts = sorted((key.start_mark.line, name) for name, (key, _) in found.items())
    ends = [line for line, _ in starts[1:]] + [len(lines)]
    return {
        name: set(_COLUMN_IN_COMMENT.findall("\n".join(lines[start:end])))
        for (start, name), end in zip(starts, ends, strict=True)
    }


def list_tables_in_comments(text: str) -> set[str]:
    """List the tables that a file has as a comment."""
    return set(_TABLE_IN_COMMENT.findall(text))


def _add(text: str, name: yaml.ScalarNode, table: yaml.MappingNode, planned: PlannedTable) -> Insertion:
    given: Mapping[str, yaml.Node] = {key.value: value for key, value in table.value}
    key = "additional_columns" if "include_base" in given and given["include_base"].value == "true" else "columns"
    columns = given.get(key)
    lines = text.splitlines(keepends=True)
    if isinstance(columns, yaml.SequenceNode) and columns.flow_style:
        inner = _compose_flow(planned)
        last = columns.value[-1].end_mark.index if columns.value else columns.start_mark.index + 1
        return last, f", {inner}" if columns.value else inner
    if isinstance(columns, yaml.SequenceNode):
        first = columns.value[-1].start_mark.line
        column = len(lines[first]) - len(lines[first].lstrip(" "))
        end = find_end(lines, first, column)
        return _insert_lines(lines, end, _compose_block(planned, column))
    if table.flow_style:
        return table.end_mark.index - 1, f", {key}: [{_compose_flow(planned)}]"
    indent = table.value[0][0].start_mark.column
    if columns is not None and is_null(columns):
        end = columns.start_mark.line + 1
        return _insert_lines(lines, end, _compose_block(planned, indent + 2))
    end = find_end(lines, name.start_mark.line, name.start_mark.column)
    return _insert_lines(lines, end, [f"{' ' * indent}{key}:\n", *_compose_block(planned, indent + 2)])


def _insert_lines(lines: Sequence[str], number: int, added: Sequence[str]) -> Insertion:
    before = "".join(lines[:number])
    return len(before), ("" if before.endswith("\n") else "\n") + "".join(added)


def _compose_block(planned: PlannedTable, indent: int) -> list[str]:
    composed = compose_columns(planned.columns, is_item_table=bool(planned.array))
    return [f"{' ' * indent}{line}\n" for line in composed]


def _compose_flow(planned: PlannedTable) -> str:
    """Between braces there is no room for comments, nor for the columns that are one."""
    lines = compose_columns((c for c in planned.columns if not c.left_out), is_item_table=bool(planned.array))
    return ", ".join(line.removeprefix("- ").partition("  # ")[0] for line in lines if not line.startswith("#"))
