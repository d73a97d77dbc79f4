"""From a schema file to the resolved schema, or to the list of everything wrong in it.

Here: the order of the steps. Each notes its problems and leaves something the next can work on, so that one
reading finds them all.
Not here: the steps themselves.
"""

from pathlib import Path

from smartdiet_assets.errors import SchemaFileError
from smartdiet_assets.schema.checking import check_foreign_keys
from smartdiet_assets.schema.file_keys import parse_file
from smartdiet_assets.schema.findings import Findings
from smartdiet_assets.schema.legacy import apply_legacy_strategy
from smartdiet_assets.schema.model import Schema
from smartdiet_assets.schema.ordering import order_tables
from smartdiet_assets.schema.reading import read_document
from smartdiet_assets.schema.resolving import resolve_table


def load_schema(path: str | Path) -> Schema:
    """Read a schema file, ours or the replaced tool's.

    Raises:
        SchemaFileError: the file cannot be used; it holds every problem, each with table, column and line.
    """
    findings = Findings()
    node = read_document(path, findings)
    if findings.problems:
        raise SchemaFileError(str(path), findings.problems)
    file = parse_file(node, findings)
    declared = [apply_legacy_strategy(table, findings) for table in file.tables]
    resolved = {table.name: resolve_table(table, findings) for table in declared}
    tables = {name: table for name, (table, _) in resolved.items()}
    unknown_types = {name: unknown for name, (_, unknown) in resolved.items()}
    check_foreign_keys(declared, tables, file.names, unknown_types, findings)
    order = order_tables(declared, tables, findings)
    if findings.problems:
        raise SchemaFileError(str(path), findings.problems)
    warnings = sorted(findings.warnings, key=lambda warning: warning.line)
    return Schema(
        tables={name: tables[name] for name in order},
        partitions=file.partitions,
        path=str(path),
        warnings=tuple(str(warning) for warning in warnings),
    )
