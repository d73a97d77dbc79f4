"""From the nodes of a file to its declarations: its root, and what several keys of a table say together."""

from collections.abc import Iterator
from dataclasses import replace

import yaml

from smartdiet_assets.schema.declaration import (
    ColumnDeclaration,
    FileDeclaration,
    Mapped,
    MatomoTableDeclaration,
    RootDeclaration,
    TableDeclaration,
)
from smartdiet_assets.schema.findings import Findings, Place, suggest
from smartdiet_assets.schema.matomo import DEFAULT_PREFIX, KNOWN_TIME_COLUMNS
from smartdiet_assets.schema.model import DOCUMENT_ID, PartitionScheme
from smartdiet_assets.schema.reading import describe, fault_of_characters, line_of, quote
from smartdiet_assets.schema.section import Section

#: What is read without `include_base: true`, and beside it.
_COLUMNS = ("columns", "additional_columns")
_MAPPINGS = ("explicit_mappings", "additional_mappings")
#: What `include_base` stands for.
_BASE = (
    ("id", "VARCHAR", (DOCUMENT_ID,), "Identity of the document."),
    ("created_at", "TIMESTAMP", (), "When the document was created, UTC."),
    ("updated_at", "TIMESTAMP", (), "When the document was last changed, UTC."),
)


def parse_file(node: yaml.Node | None, findings: Findings) -> FileDeclaration:
    """Read the root of a file: ours, or a bare map of tables as the replaced tool also read."""
    if not isinstance(node, yaml.MappingNode) or not node.value:
        held = "" if node is None or isinstance(node, yaml.MappingNode) else f"; it holds {describe(node)}"
        findings.problem(Place(line_of(node) if node else 1), f"the file declares no tables{held}")
        return FileDeclaration()
    section = Section(node, Place(line_of(node)), findings)
    if "tables" not in section.nodes:
        return _parse_tables(section, RootDeclaration())
    root = RootDeclaration.model_validate(section)
    if root.tables is None:
        if not section.gives("tables"):
            findings.problem(root.at("tables"), "the file declares no tables")
        return FileDeclaration()
    return _parse_tables(root.tables, root)


def _parse_tables(section: Section, root: RootDeclaration) -> FileDeclaration:
    tables = []
    for name, table in section.read().items():
        place = replace(section.at(name), table=name)
        if isinstance(table, Section):
            table.place = place
            tables.append(_parse_table(table, name))
        else:
            section.findings.problem(place, f"{quote(name)} must be a mapping, not {describe(section.nodes[name])}")
    known = [table.mongo_collection for table in tables if not table.source_table]
    for name in root.collections:
        if name not in known:
            section.findings.problem(
                root.at("collections", name), f"no table mirrors the collection {quote(name)}{suggest(name, known)}"
            )
    return FileDeclaration(
        tuple(_inherit(table, root.collections.get(table.mongo_collection), root.defaults) for table in tables),
        tuple(section.nodes),
        PartitionScheme(every=root.partitions.every, start=root.partitions.start),
    )


def _inherit(table: TableDeclaration, *above: TableDeclaration | None) -> TableDeclaration:
    """Give a table what it does not say itself, from the nearest of those above it that says it."""
    for shared in filter(None, above):
        own = table.model_fields_set if table.owners else table.model_fields_set - {"owners"}
        table = table.model_copy(update={key: getattr(shared, key) for key in shared.model_fields_set - own})
    if table.source_table and table.on_delete == "flag":
        return table.model_copy(update={"on_delete": "keep"})
    return table


def _parse_table(section: Section, name: str) -> TableDeclaration:
    matomo = "source_table" in section.nodes
    table = (MatomoTableDeclaration if matomo else TableDeclaration).model_validate(section)
    if table.name != name and "name" in table.model_fields_set:
        section.findings.problem(
            table.at("name"),
            f"'name' is {quote(table.name)}, but the table is declared under the key {quote(name)}",
        )
    if section.gives("strategy") and section.gives("import_strategy"):
        section.findings.problem(table.at("strategy"), "'strategy' is 'import_strategy' by another name; give one")
    read = _read_matomo(table, name, section) if matomo else _read_mongo(table, name, section)
    return table.model_copy(
        update={"name": name, "import_strategy": table.import_strategy or table.strategy, **read},
    )


def _read_mongo(table: TableDeclaration, name: str, section: Section) -> dict[str, object]:
    for array in table.arrays:
        if fault := fault_of_characters(array.field):
            section.findings.problem(array.at("field"), f"the array {quote(array.field)}: {fault}")
    for keys in (_COLUMNS, _MAPPINGS):
        right, wrong = keys[::-1] if table.include_base else keys
        # It is read all the same, to check the rest.
        if section.gives(wrong):
            where = "not read beside" if table.include_base else "read only beside"
            section.findings.problem(
                table.at(wrong), f"{quote(wrong)} is {where} include_base: true; use {quote(right)}"
            )
    own, more = table.columns, table.additional_columns
    return {
        "mongo_collection": table.mongo_collection or name,
        "columns": (*_base_columns(table), *more, *own) if table.include_base else (*own, *more),
        "mappings": tuple(_list_mappings(table)),
    }


def _list_mappings(table: TableDeclaration) -> Iterator[Mapped]:
    for key in _MAPPINGS[::-1] if table.include_base else _MAPPINGS:
        for source, column in getattr(table, key).items():
            yield table.at(key, source), source, column


def _base_columns(table: TableDeclaration) -> Iterator[ColumnDeclaration]:
    for name, sql_type, field, description in _BASE:
        yield ColumnDeclaration(
            place=replace(table.at("include_base"), column=name),
            name=name,
            sql_type=sql_type,
            nullable=False,
            primary_key=name == "id",
            mongo_field=field,
            description=description,
        )


def _read_matomo(table: TableDeclaration, name: str, section: Section) -> dict[str, object]:
    if not section.gives("source_table"):
        section.findings.problem(table.at("source_table"), "'source_table' must be the name of a table of Matomo")
    read: dict[str, object] = {"source_table": table.source_table or name}
    if "time_column" not in table.places:
        read["time_column"] = KNOWN_TIME_COLUMNS.get(table.source_table.removeprefix(DEFAULT_PREFIX))
    return read
