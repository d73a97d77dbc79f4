"""Checks that need every table: the foreign keys."""

from collections.abc import Collection, Mapping

from smartdiet_assets.schema.declaration import ColumnDeclaration, TableDeclaration
from smartdiet_assets.schema.findings import Findings, suggest
from smartdiet_assets.schema.model import Column, Table
from smartdiet_assets.schema.reading import quote


def check_foreign_keys(
    declared: Collection[TableDeclaration],
    tables: Mapping[str, Table],
    names: Collection[str],
    unknown_types: Mapping[str, Collection[str]],
    findings: Findings,
) -> None:
    """Check that every foreign key points at one unique column of its own type.

    Args:
        declared: the tables as declared, for the places.
        tables: the tables as resolved, by name.
        names: the names of all tables of the file, those that could not be read too.
        unknown_types: the columns of each table whose type could not be read.
        findings: takes the problems.
    """
    for table in declared:
        positions = {column.name: column for column in reversed(table.columns)}
        for column in tables[table.name].columns:
            if column.foreign_key is None:
                continue
            parent = tables.get(column.foreign_key.table)
            if parent is not None:
                skip = column.name in unknown_types[table.name]
                skip = skip or column.foreign_key.column in unknown_types[parent.name]
                _check_reference(positions[column.name], column, parent, skip, findings)
            elif column.foreign_key.table not in names:
                name = column.foreign_key.table
                findings.problem(
                    positions[column.name].at("foreign_key"),
                    f"the foreign key points at {quote(name)}, which is no table{suggest(name, names)}",
                )


def _check_reference(
    declared: ColumnDeclaration, column: Column, parent: Table, skip_type: bool, findings: Findings
) -> None:
    assert column.foreign_key is not None
    place, name = declared.at("foreign_key"), column.foreign_key.column
    known = {other.name: other for other in parent.columns}
    if name not in known:
        findings.problem(
            place,
            f"the foreign key points at {parent.name}({name}), which is no column{suggest(name, known)}",
        )
        return
    if (name,) not in (parent.primary_key, *parent.unique_constraints):
        findings.problem(
            place,
            f"the foreign key points at {parent.name}({name}), which is not unique: make it the primary key, "
            f"or give {parent.name} the unique constraint [{name}]",
        )
    if not skip_type and column.type.base.compared_as != known[name].type.base.compared_as:
        findings.problem(
            place,
            f"the column is {column.type.sql}, but {parent.name}({name}) is {known[name].type.sql}: "
            "both ends of a foreign key need one type",
        )
