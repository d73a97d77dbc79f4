"""From the nodes of a file to its declarations: its root, and what tables have from the sections above them."""

from dataclasses import replace

import yaml

from smartdiet_assets.schema.declaration import FileDeclaration, RootDeclaration, TableDeclaration, find_declaration
from smartdiet_assets.schema.findings import Findings, Place, suggest
from smartdiet_assets.schema.model import PartitionScheme
from smartdiet_assets.schema.reading import describe, is_null, line_of, quote
from smartdiet_assets.schema.section import Section


def parse_file(node: yaml.Node | None, findings: Findings) -> FileDeclaration:
    """Read the root of a file: ours, or a bare map of tables as the replaced tool also read.

    A file may declare no table yet: it is empty, or has nothing but comments, or nothing below `tables:`.
    """
    if node is None or is_null(node):
        return FileDeclaration()
    if not isinstance(node, yaml.MappingNode):
        findings.problem(Place(line_of(node)), f"the file must be a mapping; it holds {describe(node)}")
        return FileDeclaration()
    section = Section(node, Place(line_of(node)), findings)
    if "tables" not in section.nodes:
        return _parse_tables(section, RootDeclaration())
    root = RootDeclaration.model_validate(section)
    return FileDeclaration() if root.tables is None else _parse_tables(root.tables, root)


def _parse_tables(section: Section, root: RootDeclaration) -> FileDeclaration:
    tables = []
    for name, table in section.read().items():
        place = replace(section.at(name), table=name)
        if isinstance(table, Section):
            table.place = place
            tables.append(_parse_table(table, name))
        else:
            section.findings.problem(place, f"{quote(name)} must be a mapping, not {describe(section.nodes[name])}")
    known = [table.mongo_collection for table in tables if table.source_kind.has_documents]
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
    ignored = {path: reason for shared in filter(None, above[::-1]) for path, reason in shared.ignored_fields.items()}
    if ignored:
        # Those of the defaults and of the collection add up: no field is one that somebody else left out too.
        table = table.model_copy(update={"ignored_fields": ignored})
    if not table.source_kind.has_documents and table.on_delete == "flag":
        return table.model_copy(update={"on_delete": "keep"})
    return table


def _parse_table(section: Section, name: str) -> TableDeclaration:
    table = find_declaration(section.nodes).model_validate(section)
    if table.name != name and "name" in table.model_fields_set:
        section.findings.problem(
            table.at("name"),
            f"'name' is {quote(table.name)}, but the table is declared under the key {quote(name)}",
        )
    if section.gives("strategy") and section.gives("import_strategy"):
        section.findings.problem(table.at("strategy"), "'strategy' is 'import_strategy' by another name; give one")
    read = table.complete(name, section)
    return table.model_copy(
        update={"name": name, "import_strategy": table.import_strategy or table.strategy, **read},
    )
