"""Adding columns to the tables of a schema file, as insertions that leave every character that is there.

Here: text in, text out. Writing the file anew from what was read of it, as ruamel.yaml does, changes lines that nobody
touched: `on_missing_parent: null` loses its word, `[{field: tags}]` its braces. Not here: new tables (`placing`).
"""

import re
from collections.abc import Sequence
from copy import deepcopy

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
    key = "additional_columns" if _has_base(table) else "columns"
    columns = next((value for own, value in table.value if own.value == key), None)
    lines = text.splitlines(keepends=True)
    if isinstance(columns, yaml.SequenceNode) and columns.flow_style:
        return _insert_between(columns, columns.value[-1:], _compose_flow(planned))
    if isinstance(columns, yaml.SequenceNode):
        last, column = _find_last_dash(lines, columns)
        return _insert_lines(lines, find_end(lines, last, column), _compose_block(planned, column))
    if table.flow_style:
        inner = _compose_flow(planned)
        return _insert_between(table, table.value[-1], f"{key}: [{inner}]" if inner else "")
    indent = table.value[0][0].start_mark.column
    if columns is not None and is_null(columns):
        end = columns.start_mark.line + 1
        return _insert_lines(lines, end, _compose_block(planned, indent + 2))
    # A comment above the next table is that one's.
    end = find_end(lines, name.start_mark.line, name.start_mark.column, comments=name.start_mark.column + 1)
    silent = "# " if all(column.left_out for column in planned.columns) else ""
    return _insert_lines(lines, end, [f"{' ' * indent}{silent}{key}:\n", *_compose_block(planned, indent + 2)])


def _has_base(table: yaml.MappingNode) -> bool:
    """Tell whether `include_base` is on, however that is spelled, or taken over from an anchor."""
    # Of a copy: reading a mapping writes what it takes over into it.
    return bool(yaml.constructor.SafeConstructor().construct_mapping(deepcopy(table)).get("include_base"))


def _find_last_dash(lines: Sequence[str], columns: yaml.SequenceNode) -> tuple[int, int]:
    """Find line and column of the dash of a list's last item."""
    first, column = columns.start_mark.line, columns.start_mark.column
    if not _is_item(lines[first][column:]):
        # Its anchor: the items are below.
        first = next(number for number in range(first + 1, len(lines)) if _is_item(lines[number].lstrip(" ")))
        column = len(lines[first]) - len(lines[first].lstrip(" "))
    below = range(first, min(columns.end_mark.line + 1, len(lines)))
    dashed = [number for number in below if lines[number].startswith(" " * column) and _is_item(lines[number][column:])]
    return dashed[-1], column


def _is_item(text: str) -> bool:
    return text.startswith("-") and not text[1:2].strip()


def _insert_between(flow: yaml.CollectionNode, last: Sequence[yaml.Node], inner: str) -> Insertion:
    """Insert behind the last of what stands between brackets or braces."""
    end = flow.end_mark.index - 1
    # An alias is read as what it stands for, which is elsewhere.
    if last and flow.start_mark.index < last[-1].end_mark.index <= end:
        end = last[-1].end_mark.index
    return end, f", {inner}" if last and inner else inner


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
