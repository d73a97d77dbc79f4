"""The structures of both sides, and how they differ, table by table."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.load.execution import Connection
from smartdiet_assets.load.structure.comparison import compare_tables, find_extra_table, find_missing_table
from smartdiet_assets.load.structure.declared import build_expected_table
from smartdiet_assets.load.structure.difference import Difference
from smartdiet_assets.load.structure.live import LiveTable, read_structure
from smartdiet_assets.schema.model import Schema


@dataclass(frozen=True, slots=True)
class SideStructure:
    """The tables of a side. `declared` is the file they are declared in, None of a server.

    `schema` is the PostgreSQL schema they are in; of a declaration, the one they are compared in.
    """

    schema: str
    tables: Mapping[str, LiveTable]
    declared: Schema | None = None


@dataclass(frozen=True, slots=True)
class StructureComparison:
    """What differs, in the order of the tables.

    Attributes:
        tables: the tables that were compared, those of one side only included; undeclared ones only where asked for.
        undeclared: what the database has beyond the declaration and was not asked for, by name.
        reversed: the declaration is the right side. The differences say what the database would need, and statements
            for it; nothing brings a file to a database.
    """

    left: SideStructure
    right: SideStructure
    tables: Sequence[str]
    differences: Sequence[Difference]
    undeclared: Sequence[str] = ()
    reversed: bool = False


def read_side(connection: Connection) -> SideStructure:
    """Read the tables of a server, in one statement. Views and foreign tables come too."""
    structure = read_structure(connection)
    return SideStructure(structure.schema, structure.tables)


def declare_side(schema: Schema, other: SideStructure) -> SideStructure:
    """Describe the declared tables as they would be in the schema of the other side."""
    live = {(name, column.name): column.collation for name, t in other.tables.items() for column in t.columns.values()}
    tables = {name: build_expected_table(schema, table, other.schema, live) for name, table in schema.tables.items()}
    return SideStructure(other.schema, tables, schema)


def compare_structures(
    left: SideStructure, right: SideStructure, selection: Collection[str] | None, *, undeclared: bool = False
) -> StructureComparison:
    """Compare two sides.

    Args:
        selection: the tables to compare; None is all of them, of a declaration all that it declares.
        undeclared: count tables, indexes and comments as differences that nothing declares.

    Raises:
        ConfigurationError: neither side has a selected table.
    """
    if right.declared is not None:
        turned = compare_structures(right, left, selection, undeclared=undeclared)
        return replace(turned, left=left, right=right, differences=list(map(_turn, turned.differences)), reversed=True)
    names = _choose(left, right, selection)
    ignored = [name for name in names if left.declared is not None and name not in left.tables and not undeclared]
    names = [name for name in names if name not in ignored]
    found: list[Difference] = []
    extra: list[str] = []
    for name in names:
        wanted, present = left.tables.get(name), right.tables.get(name)
        if wanted is None and present is not None:
            found.append(find_extra_table(present))
        elif wanted is not None and present is None:
            found.append(find_missing_table(wanted, right.schema))
        elif wanted is not None and present is not None:
            differences = compare_tables(wanted, present, declared=left.declared is not None)
            differences = _excuse(left.declared, differences)
            found += [difference for difference in differences if undeclared or not difference.undeclared]
            if not undeclared:
                extra += [_name(difference) for difference in differences if difference.undeclared]
    extra += [f"table {name}" for name in ignored]
    return StructureComparison(left, right, names, found, extra)


def _choose(left: SideStructure, right: SideStructure, selection: Collection[str] | None) -> list[str]:
    known = {**left.tables, **right.tables}
    # A view has no structure of its own, except where the other side has a table of that name.
    comparable = [
        name
        for name in known
        if any(name in side.tables and side.tables[name].kind == "table" for side in (left, right))
    ]
    ordered = list(left.tables) if left.declared is not None else []
    ordered += sorted(name for name in comparable if name not in ordered)
    if selection is None:
        return ordered
    for name in selection:
        if name not in ordered:
            close = get_close_matches(name, ordered, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigurationError(f"neither side has a table {name}{hint}")
    return [name for name in ordered if name in selection]


def _excuse(schema: Schema | None, differences: Sequence[Difference]) -> list[Difference]:
    """Take columns for undeclared, not for wrong, where a table mirrors whatever columns its source has."""
    return [
        replace(difference, undeclared=True)
        if schema is not None
        and schema.tables[difference.table].takes_all_columns
        and difference.aspect == "column"
        and difference.related is not None
        else difference
        for difference in differences
    ]


def _name(difference: Difference) -> str:
    return " ".join(part for part in (difference.table, difference.aspect, difference.name) if part)


def _turn(difference: Difference) -> Difference:
    return replace(difference, left=difference.right, right=difference.left)
