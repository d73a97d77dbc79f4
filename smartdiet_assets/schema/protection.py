"""Which columns are protected: what tables and the overlay say together, and what cannot be combined.

The overlay is a file of protections alone, by table and column. Where both say something, it has the word.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import yaml
from pydantic_core import PydanticCustomError

from smartdiet_assets.schema.declaration import TableDeclaration
from smartdiet_assets.schema.findings import Findings, Place, suggest
from smartdiet_assets.schema.keys import DELETED_AT
from smartdiet_assets.schema.model import Column, Table
from smartdiet_assets.schema.pseudonyms import KEY_VARIABLE, PSEUDONYM_LENGTH, Protection
from smartdiet_assets.schema.reading import describe, is_null, line_of, quote
from smartdiet_assets.schema.section import Section
from smartdiet_assets.schema.values import PROTECTION, read_protection

_ROOT = "protect"
#: What runs go by, and what marks rows.
_READ_BY_RUNS = ("created_at", "updated_at", DELETED_AT)
Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Declared:
    """How a column is to be protected, and where that is said."""

    protection: Protection
    place: Place
    findings: Findings


def list_declared(tables: Sequence[TableDeclaration], findings: Findings) -> dict[Name, Declared]:
    """List the columns that the tables of a file protect."""
    return {
        (table.name, column.name): Declared(column.protect, column.at("protect"), findings)
        for table in tables
        for column in reversed(table.columns)
        if column.protect is not None
    }


def read_overlay(node: yaml.Node | None, tables: Mapping[str, Table], findings: Findings) -> dict[Name, Declared]:
    """Read a file of protections: `protect:`, a mapping of tables, each a mapping of its columns."""
    if node is None or is_null(node):
        return {}
    if not isinstance(node, yaml.MappingNode):
        findings.problem(Place(line_of(node)), f"the file must be a mapping; it holds {describe(node)}")
        return {}
    root = Section(node, Place(line_of(node)), findings).read((_ROOT,), nulls=False)
    given = root.get(_ROOT)
    if not isinstance(given, Section):
        if given is not None:
            findings.problem(root.at(_ROOT), f"{quote(_ROOT)} must be a mapping of tables")
        return {}
    found: dict[Name, Declared] = {}
    for name, section in given.read().items():
        place = replace(given.at(name), table=name)
        if not isinstance(section, Section):
            findings.problem(place, f"{quote(name)} must be a mapping of columns, not {describe(given.nodes[name])}")
        elif name not in tables:
            findings.problem(place, f"{quote(name)} is no table{suggest(name, tables)}")
        else:
            section.place = place
            found |= _read_columns(tables[name], section, findings)
    return found


def _read_columns(table: Table, section: Section, findings: Findings) -> dict[Name, Declared]:
    known = [column.name for column in table.columns]
    found: dict[Name, Declared] = {}
    for name, value in section.read().items():
        place = replace(section.at(name), column=name)
        if name not in known:
            findings.problem(place, f"{quote(name)} is no column{suggest(name, known)}")
            continue
        try:
            found[table.name, name] = Declared(read_protection(value), place, findings)
        except PydanticCustomError as error:
            kept = isinstance(value, Section) and (error.context or {}).get("received")
            received = kept or describe(section.nodes[name])
            findings.problem(place, f"{quote(name)} must be {PROTECTION}, not {received}")
    return found


def protect_tables(tables: Mapping[str, Table], declared: Mapping[Name, Declared]) -> dict[str, Table]:
    """Protect the columns that are to be, and note what cannot be combined."""
    protected = {name: _protect_table(table, declared) for name, table in tables.items()}
    protected = {name: _derive_implicit(table, protected) for name, table in protected.items()}
    for table in protected.values():
        for column in table.columns:
            found = declared.get((table.name, column.name))
            if found is not None and (fault := _find_fault(table, column, found.protection)):
                found.findings.problem(found.place, fault)
            _check_reference(table, column, protected, declared)
    return protected


def find_key_fault(tables: Iterable[Table]) -> str:
    """Say that tables need a key and there is none; empty where nothing is wrong."""
    without = [
        f"{table.name}.{column.name}"
        for table in tables
        for column in table.columns
        if column.is_pseudonym and column.pseudonyms is None
    ]
    if not without:
        return ""
    more = f" and {len(without) - 1} more" if len(without) > 1 else ""
    return (
        f"{KEY_VARIABLE} is not set, and {without[0]}{more} hold pseudonyms: set it, or the variable that "
        "pseudonym_key names, to the secret they are made with (a new one: openssl rand -hex 32)"
    )


def _protect_table(table: Table, declared: Mapping[Name, Declared]) -> Table:
    found = {name: given.protection for (owner, name), given in declared.items() if owner == table.name}
    if not found:
        return table
    return table.with_columns(c.model_copy(update={"protect": found.get(c.name)}) for c in table.columns)


def _derive_implicit(table: Table, tables: Mapping[str, Table]) -> Table:
    """Have a document's id that nobody declared be a pseudonym where it is one in another table of its collection."""
    column = next((c for c in table.columns if c.name == table.document_column and c.implicit), None)
    if column is None:
        return table
    others = [other for other in tables.values() if other.mongo_collection == table.mongo_collection]
    others = [other for other in others if other.document_column in {c.name for c in other.columns}]
    if column.protect or not any(other.hides_ids for other in others):
        return table
    hidden = column.model_copy(update={"protect": Protection(how="pseudonym")})
    return table.with_columns(hidden if c is column else c for c in table.columns)


def _find_fault(table: Table, column: Column, protection: Protection) -> str:
    """Say why a column cannot be protected so; empty where it can."""
    base = column.type.base
    if column.generated:
        return "PostgreSQL numbers the column: it holds nothing of a document"
    if column.name in _READ_BY_RUNS or column.name == table.time_column:
        return f"runs go by {column.name}: it must stay as it is"
    if any(column.name == order.column for order in table.winner if column.name != table.document_column):
        return f"'winner' compares {column.name}: it must stay as it is"
    if protection.how == "pseudonym":
        if not (base.is_text and base.tells_apart) or (column.type.length or PSEUDONYM_LENGTH) < PSEUDONYM_LENGTH:
            return (
                f"a pseudonym has {PSEUDONYM_LENGTH} characters and needs a VARCHAR or TEXT that holds them, not "
                f"{column.type.declared}"
            )
        if column.name == table.document_column and not table.source_kind.has_documents:
            return f"rows of {table.source_kind.title} are asked for by their key: it must stay as it is"
        return ""
    if key := find_key(table, column):
        return f"{column.name} is in {key}, where values must stay apart: only a pseudonym keeps them so"
    if protection.how == "prefix" and not base.is_text:
        return f"characters are kept of texts, not of {column.type.declared}"
    if protection.how in ("year", "month") and not base.is_instant:
        return f"the {protection.how} is kept of dates, not of {column.type.declared}"
    return ""


def find_key(table: Table, column: Column) -> str:
    """Name what a column is a part of that tells rows apart or leads to others; empty where nothing does."""
    if column.foreign_key is not None:
        return "a foreign key"
    if column.name in table.primary_key:
        return "the primary key"
    if column.name == table.document_column or column.name in table.key:
        return "the key of the rows"
    return "a unique constraint" if any(column.name in names for names in table.unique_constraints) else ""


def _check_reference(
    table: Table, column: Column, tables: Mapping[str, Table], declared: Mapping[Name, Declared]
) -> None:
    """Check that a reference is a pseudonym where what it points at is one, and only there."""
    key = column.foreign_key
    parent = tables.get(key.table) if key is not None else None
    if key is None or parent is None or all(key.column != other.name for other in parent.columns):
        return
    if column.is_pseudonym == parent.column(key.column).is_pseudonym:
        return
    # At the one of both that is said to be protected.
    names = [(table.name, column.name), (parent.name, key.column)]
    found = next((declared[name] for name in names if name in declared), None)
    if found is None:
        return
    here, there = f"{table.name}.{column.name}", f"{parent.name}({key.column})"
    which, other = (there, here) if not column.is_pseudonym else (here, there)
    found.findings.problem(
        found.place,
        f"{which} is a pseudonym and {other} is not, but {here} points at {there}: protect both as pseudonym, or none",
    )
