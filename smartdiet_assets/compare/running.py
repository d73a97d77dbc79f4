"""One comparison from its two sides to what differs, with every server opened and closed."""

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from smartdiet_assets.compare.documents import compare_documents, turn
from smartdiet_assets.compare.row_differences import RowComparison
from smartdiet_assets.compare.rows import Report, compare_rows
from smartdiet_assets.compare.sides import Side, open_mirror, open_mongo, open_side
from smartdiet_assets.compare.structures import (
    SideStructure,
    StructureComparison,
    compare_structures,
    declare_side,
    read_side,
)
from smartdiet_assets.errors import ConfigurationError
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.schema.model import Schema


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a comparison found; `structure` is None where MongoDB is one of the sides, `rows` without `--data`."""

    left: Side
    right: Side
    structure: StructureComparison | None
    rows: Sequence[RowComparison] | None = None

    @property
    def differs(self) -> bool:
        rows = self.rows or ()
        return bool(self.structure and self.structure.differences) or not all(table.equal for table in rows)

    @property
    def faulty(self) -> bool:
        """Whether some table could not be compared."""
        return any(table.fault for table in self.rows or ())


def _ignore(table: str, rows: int) -> None:
    """Report to nobody."""


def compare_structure_sides(
    left: Side,
    right: Side,
    schema: Schema | None,
    selection: Sequence[str] | None,
    *,
    leave_out: Collection[str] = (),
    data: bool = False,
    undeclared: bool = False,
    namespace: str | None = None,
    limit: int | None = 20,
    report: Report = _ignore,
) -> Outcome:
    """Compare two of the declaration and PostgreSQL servers.

    Args:
        schema: the declaration, where it is one of the sides.
        selection: the tables to compare; None is all.
        leave_out: tables that are not compared, nor missed.
        data: also compare rows; both sides are servers.
        undeclared: count as differences what nothing declares.
        namespace: the PostgreSQL schema to look at; None is the first of each search path.
        limit: how many keys of a table are listed of each kind; None is all.

    Raises:
        SmartdietError: a server cannot be reached or refuses, or no side has a selected table.
    """
    with ExitStack() as stack:
        servers = {
            side: stack.enter_context(open_side(side, namespace)) for side in (left, right) if side.kind != "schema"
        }
        found = {side: read_side(connection) for side, connection in servers.items()}
        if schema is not None:
            [live] = found.values()
            found[left if left.kind == "schema" else right] = declare_side(schema, live)
        found = {side: _drop_tables(structure, leave_out) for side, structure in found.items()}
        structure = compare_structures(found[left], found[right], selection, undeclared=undeclared)
        if not data:
            return Outcome(left, right, structure)
        rows = compare_rows(
            servers[left], servers[right], (found[left], found[right]), structure.tables, limit=limit, report=report
        )
        return Outcome(left, right, structure, list(rows))


def _drop_tables(structure: SideStructure, names: Collection[str]) -> SideStructure:
    return replace(structure, tables={name: table for name, table in structure.tables.items() if name not in names})


def compare_with_documents(
    left: Side,
    right: Side,
    schema: Schema,
    environment: Environment,
    selection: Sequence[str],
    *,
    limit: int | None = 20,
    report: Report = _ignore,
) -> Outcome:
    """Compare MongoDB, one of the sides, with its mirror, the other one.

    Raises:
        SmartdietError: a server cannot be reached or refuses.
    """
    source, mirror = (left, right) if left.kind == "mongo" else (right, left)
    if foreign := [name for name in selection if not schema.tables[name].source_kind.has_documents]:
        raise ConfigurationError(
            f"{', '.join(foreign)}: mirrored from {schema.tables[foreign[0]].source_kind.title};"
            " `smartdiet check --all` compares those"
        )
    with open_mongo(source) as read, open_mirror(mirror) as connection:
        connection.autocommit = True
        rows = list(
            compare_documents(
                connection,
                read,
                schema,
                selection,
                limit=limit,
                global_date_threshold=environment.global_date_threshold,
                report=report,
            )
        )
    return Outcome(left, right, None, rows if source is left else list(map(turn, rows)))
