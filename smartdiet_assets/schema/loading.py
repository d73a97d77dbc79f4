"""From schema files to the resolved schema, or to the list of everything wrong in them.

Each notes its problems and leaves something the next can work on, so that one reading finds them all.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from smartdiet_assets.errors import SchemaFileError
from smartdiet_assets.schema.checking import check_foreign_keys
from smartdiet_assets.schema.declaration import FileDeclaration, TableDeclaration
from smartdiet_assets.schema.findings import Findings
from smartdiet_assets.schema.legacy import apply_legacy_strategy
from smartdiet_assets.schema.model import Schema, Table
from smartdiet_assets.schema.ordering import order_tables
from smartdiet_assets.schema.parsing import parse_file
from smartdiet_assets.schema.protection import Declared, Name, list_declared, protect_tables, read_overlay
from smartdiet_assets.schema.pseudonyms import Pseudonyms, Variable, build_pseudonyms
from smartdiet_assets.schema.reading import read_document
from smartdiet_assets.schema.resolving import note_document_ids, resolve_table


@dataclass(slots=True)
class _File:
    """One file on its way to a schema."""

    path: str
    node: yaml.Node | None = None
    findings: Findings = field(default_factory=Findings)
    content: FileDeclaration = field(default_factory=FileDeclaration)
    tables: list[TableDeclaration] = field(default_factory=list)


def load_schema(
    path: str | Path, *others: str | Path, protected: str | Path | None = None, pseudonym_key: str | Variable = ""
) -> Schema:
    """Read schema files, ours or the replaced tool's, as one schema.

    Args:
        path: its partitions hold for all tables.
        others: further files; foreign keys lead from any file to any other.
        protected: a file of protections, which go before those of the tables' own files.
        pseudonym_key: the secret that pseudonyms are made with, best as `dg.EnvVar`; runs of tables that have some
            refuse without it.

    Raises:
        ConfigurationError: the key is none.
        SchemaFileError: a file cannot be used; it holds every problem, each with table, column and line.
    """
    files = [_read(name) for name in (path, *others)]
    overlay = [] if protected is None else [_read(protected)]
    # A file that is no YAML declares nothing: what it lacks is no problem of the others.
    _raise_problems([*files, *overlay])
    for file in files:
        file.content = parse_file(file.node, file.findings)
        file.tables = [apply_legacy_strategy(table, file.findings) for table in file.content.tables]
    _check_names(files)
    tables: dict[str, Table] = {}
    unknown_types: dict[str, frozenset[str]] = {}
    for file in files:
        for declared in file.tables:
            table, unknown_types[declared.name] = resolve_table(declared, file.findings)
            tables[declared.name] = table.model_copy(update={"path": file.path})
    names = list(dict.fromkeys(name for file in files for name in file.content.names))
    for file in files:
        check_foreign_keys(file.tables, tables, names, unknown_types, file.findings)
    order = _order(files, tables)
    tables = _protect(files, overlay, tables)
    _raise_problems([*files, *overlay])
    return Schema(
        tables=_give_key(note_document_ids({name: tables[name] for name in order}), build_pseudonyms(pseudonym_key)),
        partitions=files[0].content.partitions,
        collections={
            table.mongo_collection: table.rules
            for file in files
            for table in file.tables
            if table.source_kind.has_documents
        },
        path=" and ".join(file.path for file in files),
        files=tuple(file.path for file in files),
        warnings=tuple(_list_warnings(files, tables)),
    )


def _protect(files: Sequence[_File], overlay: Sequence[_File], tables: dict[str, Table]) -> dict[str, Table]:
    declared: dict[Name, Declared] = {}
    for file in files:
        declared |= list_declared(file.tables, file.findings)
    for file in overlay:
        declared |= read_overlay(file.node, tables, file.findings)
    return protect_tables(tables, declared) if declared else tables


def _give_key(tables: dict[str, Table], pseudonyms: Pseudonyms | None) -> dict[str, Table]:
    """Give the columns that hold pseudonyms what makes them."""
    if pseudonyms is None:
        return tables

    def give(table: Table) -> Table:
        if not table.has_pseudonyms:
            return table
        return table.with_columns(
            c.model_copy(update={"pseudonyms": pseudonyms}) if c.is_pseudonym else c for c in table.columns
        )

    return {name: give(table) for name, table in tables.items()}


def _list_warnings(files: Sequence[_File], tables: Collection[str]) -> Iterator[str]:
    if not tables:
        yield (
            f"{files[0].path} declares no table yet; smartdiet infer --all-collections --append adds one for each"
            " collection of the MongoDB database"
        )
    for file in files:
        yield from map(str, sorted(file.findings.warnings, key=lambda found: found.line))


def _read(path: str | Path) -> _File:
    file = _File(str(path))
    file.node = read_document(path, file.findings)
    return file


def _check_names(files: Sequence[_File]) -> None:
    """Note a table that two files declare; the first one is kept."""
    known: dict[str, str] = {}
    for file in files:
        for table in file.tables:
            if table.name in known:
                file.findings.problem(table.place, f"the table is declared in {known[table.name]} too")
        file.tables = [table for table in file.tables if table.name not in known]
        known.update({table.name: file.path for table in file.tables})


def _order(files: Sequence[_File], tables: dict[str, Table]) -> tuple[str, ...]:
    """Order the tables of all files; what is wrong with the order is noted at the file of the table it names."""
    found = Findings()
    order = order_tables([table for file in files for table in file.tables], tables, found)
    for file in files:
        own = {table.name for table in file.tables}
        for noted, kept in ((found.problems, file.findings.problems), (found.warnings, file.findings.warnings)):
            kept.extend(problem for problem in noted if problem.table in own and problem not in kept)
    return order


def _raise_problems(files: Sequence[_File]) -> None:
    errors = [SchemaFileError(file.path, file.findings.problems) for file in files if file.findings.problems]
    if errors:
        raise SchemaFileError(errors[0].path, errors[0].problems, errors[1:])
