"""A plan as YAML, laid out like `config/schemas.yaml`: short columns on one line, remarks as comments."""

import re
from collections.abc import Iterable, Iterator
from textwrap import wrap

import yaml

from smartdiet_assets.infer.naming import is_secret
from smartdiet_assets.infer.plan import Plan, PlannedColumn, PlannedTable
from smartdiet_assets.schema.model import DOCUMENT_ID

_WIDTH = 120
_BEGINNING = """\
defaults:
  ignored_fields:
    __v: counts versions for mongoose

"""
_PLAIN = re.compile(r"\w+(\(\w+\))?([ .]\w+)*")


def compose_beginning(plans: Iterable[Plan] = ()) -> str:
    """Compose a new file down to `tables:`: the fields that are left out of the tables of plans are not missed."""
    ignored: dict[str, dict[str, None]] = {}
    for table in (table for plan in plans for table in plan if not table.left_out):
        for path in (column.paths[0] for column in table.columns if column.left_out and is_secret(column.paths[0])):
            ignored.setdefault(table.collection, {})[f"{table.array}.{path}" if table.array else path] = None
    lines = ["collections:"] if ignored else []
    for collection, paths in ignored.items():
        lines += [f"  {compose_scalar(collection)}:", "    ignored_fields:"]
        lines += [f"      {compose_scalar(path)}: looks like a secret" for path in paths]
    return _BEGINNING + "".join(f"{line}\n" for line in [*lines, *[""] * bool(lines), "tables:"])


def compose_entry(plan: Plan, indent: int = 2) -> str:
    """Compose the entry of all tables of a plan, each indented by so many blanks and ended by a new line."""
    blocks = []
    for table in plan:
        lines = list(_compose_table(table))
        if table.left_out:
            lines = [f"# {line}" if line else "#" for line in lines]
        blocks.append("".join(" " * indent + line + "\n" for line in lines))
    return "\n".join(blocks)


def compose_columns(columns: Iterable[PlannedColumn], *, is_item_table: bool) -> list[str]:
    """Compose the lines of columns, without the indentation of their list."""
    return [line[4:] for column in columns for line in _compose_column(column, is_item_table=is_item_table)]


def compose_scalar(text: str) -> str:
    """Write a text as YAML reads it back, also inside brackets; in quotes where it must."""
    if _PLAIN.fullmatch(text) and text.isprintable():
        try:
            if yaml.safe_load(text) == text:
                return text
        except yaml.YAMLError:
            pass
    return str(yaml.safe_dump(text, default_style='"', allow_unicode=True, width=float("inf"))).strip()


def _compose_table(table: PlannedTable) -> Iterator[str]:
    yield f"{compose_scalar(table.name)}:"
    yield from _compose_remarks(table.remarks, 2)
    yield f"  description: {compose_scalar(table.description)}"
    if table.group:
        yield f"  group: {compose_scalar(table.group)}"
    if table.collection != table.name:
        yield f"  mongo_collection: {compose_scalar(table.collection)}"
    if table.base:
        yield "  include_base: true"
    for key, value in table.settings.items():
        yield f"  {key}: {compose_scalar(value)}"
    if table.array:
        yield "  import_strategy: smart_diff"
        yield f"  arrays: [{{field: {compose_scalar(table.array)}}}]"
    if table.columns:
        silent = "# " if all(column.left_out for column in table.columns) else ""
        yield f"  {silent}{'additional_columns' if table.base else 'columns'}:"
    for column in table.columns:
        yield from _compose_column(column, is_item_table=bool(table.array))
    if table.unique:
        yield f"  unique_constraints: [[{', '.join(map(compose_scalar, table.unique))}]]"


def _compose_column(column: PlannedColumn, *, is_item_table: bool) -> Iterator[str]:
    values = {"name": compose_scalar(column.name), "sql_type": compose_scalar(column.sql_type)}
    if not column.nullable:
        values["nullable"] = "false"
    if column.primary_key:
        values["primary_key"] = "true"
    if column.foreign_key:
        values["foreign_key"] = compose_scalar(column.foreign_key)
    if column.on_missing_parent:
        values["on_missing_parent"] = column.on_missing_parent
    if column.paths and not _is_default(column, is_item_table):
        paths = [compose_scalar(path) for path in column.paths]
        values["item_field" if column.in_items else "mongo_field"] = (
            paths[0] if len(paths) == 1 else f"[{', '.join(paths)}]"
        )
    if column.on_invalid:
        values["on_invalid"] = column.on_invalid
    line = "- {" + ", ".join(f"{key}: {value}" for key, value in values.items()) + "}"
    if column.left_out:
        line = f"# {line}"
    remark = "; ".join(map(_on_one_line, column.remarks))
    if remark and len(line) + len(remark) + 10 <= _WIDTH:
        yield f"    {line}  # {remark}"
        return
    yield from _compose_remarks([remark] if remark else [], 4)
    yield f"    {line}"


def _is_default(column: PlannedColumn, is_item_table: bool) -> bool:
    """Whether the column is fed by that without being told."""
    if column.name in ("created_at", "updated_at") and not column.in_items:
        return True
    if column.paths == (DOCUMENT_ID,) and column.name == "id":
        return not is_item_table
    return column.paths == (column.name,) and column.in_items == is_item_table


def _compose_remarks(remarks: Iterable[str], indent: int) -> Iterator[str]:
    for remark in remarks:
        for line in wrap(_on_one_line(remark), _WIDTH - indent - 6, break_on_hyphens=False):
            yield f"{' ' * indent}# {line}"


def _on_one_line(remark: str) -> str:
    """Keep a name with a line break or the like from ending the comment."""
    return "".join(letter if letter.isprintable() else "?" for letter in remark)
