"""The root of a schema file: its tables, its partitions, and the defaults of its tables.

Here: the root keys, and the form without them, a bare map of tables, which the replaced tool also read.
Not here: the keys of a table (`schema.table_keys`).
"""

from dataclasses import replace

import yaml

from smartdiet_assets.schema.declaration import FileDeclaration, TableDeclaration
from smartdiet_assets.schema.findings import Findings, Place, suggest
from smartdiet_assets.schema.model import CollectionRules, PartitionScheme
from smartdiet_assets.schema.reading import describe, line_of, quote
from smartdiet_assets.schema.section import Section
from smartdiet_assets.schema.table_keys import (
    COLLECTION_KEYS,
    DEFAULTS_KEYS,
    MATOMO_TABLE_KEYS,
    TABLE_KEYS,
    is_matomo,
    parse_rules,
    parse_shared,
    parse_table,
)

ROOT_KEYS = ("tables", "defaults", "partitions", "collections")
PARTITIONS_KEYS = ("every", "start")


def parse_file(node: yaml.Node | None, findings: Findings) -> FileDeclaration:
    """Read the root of a file: ours, or a bare map of tables as the replaced tool also read."""
    if not isinstance(node, yaml.MappingNode) or not node.value:
        line = line_of(node) if node is not None else 1
        findings.problem(Place(line), f"the file declares no tables{_instead(node)}")
        return FileDeclaration()
    root = Section(node, Place(line_of(node)), findings)
    if "tables" not in root.places:
        return _parse_tables(root.expect(None), TableDeclaration(Place(0), ""), PartitionScheme())
    root.expect(ROOT_KEYS)
    defaults = root.section("defaults", DEFAULTS_KEYS)
    shared = TableDeclaration(Place(0), "")
    if defaults:
        shared = replace(parse_shared(defaults, shared), rules=parse_rules(defaults, shared.rules))
    partitions = root.section("partitions", PARTITIONS_KEYS)
    scheme = _parse_partitions(partitions) if partitions else PartitionScheme()
    tables = root.section("tables")
    if tables is None:
        if "tables" not in root:
            findings.problem(root.at("tables"), "the file declares no tables")
        return FileDeclaration()
    declared = _parse_tables(tables, shared, scheme)
    collections = root.section("collections")
    return _apply_rules(declared, collections, shared.rules) if collections else declared


def _instead(node: yaml.Node | None) -> str:
    return f"; it holds {describe(node)}" if node is not None and not isinstance(node, yaml.MappingNode) else ""


def _parse_partitions(section: Section) -> PartitionScheme:
    every, start = section.choice("every", ("month", "week", "day")), section.day("start")
    return PartitionScheme.model_validate(
        {key: value for key, value in (("every", every), ("start", start)) if value is not None}
    )


def _parse_tables(section: Section, shared: TableDeclaration, partitions: PartitionScheme) -> FileDeclaration:
    tables = []
    for name in section:
        place = replace(section.at(name), table=name)
        if name not in section:
            section.findings.problem(place, f"{quote(name)} must be a mapping, not nothing")
        elif table := section.section(name, table=name):
            table.expect(MATOMO_TABLE_KEYS if is_matomo(table) else TABLE_KEYS)
            tables.append(parse_table(table, name, shared))
    return FileDeclaration(tuple(tables), tuple(section), partitions)


def _apply_rules(declared: FileDeclaration, section: Section, base: CollectionRules) -> FileDeclaration:
    """Give the tables of each collection that the file names its rules."""
    known = [table.mongo_collection for table in declared.tables if not table.source_table]
    rules = {}
    for name in section:
        if name not in known:
            section.findings.problem(
                section.at(name), f"no table mirrors the collection {quote(name)}{suggest(name, known)}"
            )
        elif own := section.section(name, COLLECTION_KEYS):
            rules[name] = parse_rules(own, base)
    tables = tuple(replace(table, rules=rules.get(table.mongo_collection, table.rules)) for table in declared.tables)
    return replace(declared, tables=tables)
