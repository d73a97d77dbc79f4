"""What is looked at in Matomo's tables: there, readable, with the declared columns and an index on their time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pymysql
from pymysql.connections import Connection

from smartdiet_assets.checks.matomo import open_source_table
from smartdiet_assets.doctor.matomo import MATOMO
from smartdiet_assets.errors import (
    PermissionDeniedError,
    ServerUnreachableError,
    SmartdietError,
)
from smartdiet_assets.extract.matomo.structure import spell_name
from smartdiet_assets.resources.checking import Finding
from smartdiet_assets.resources.matomo_errors import translate_matomo_error
from smartdiet_assets.schema.matomo import compose_source_name
from smartdiet_assets.schema.model import Table


def examine_matomo_tables(
    connection: Connection, tables: Sequence[Table], *, prefix: str, database: str, account: str
) -> Iterator[Finding]:
    """Examine every declared table: one finding for all that are well, one for each that is not.

    Args:
        prefix: what the names of the server's tables begin with.
        database, account: for the statements.

    Raises:
        ServerUnreachableError: the server went away meanwhile.
    """
    indexes: list[str] = []
    slow: list[str] = []
    refused: list[str] = []
    faults = 0
    for table in tables:
        try:
            _, source = open_source_table(connection, table, prefix)
        except (SmartdietError, pymysql.Error) as error:
            fault = translate_matomo_error(error, f"reading {table.source_table}, which {table.name} mirrors,")
            if isinstance(fault, ServerUnreachableError):
                raise fault from None
            faults += 1
            if isinstance(fault, PermissionDeniedError):
                refused.append(compose_source_name(table.source_table, prefix))
            else:
                yield MATOMO.failed("tables", f"{fault}.")
            continue
        if table.time_column and source.time_index is None:
            column = table.column(table.time_column).source_column
            slow.append(table.name)
            indexes.append(
                f"CREATE INDEX {spell_name(f'index_{column}')} ON {spell_name(source.name)} ({spell_name(column)});"
            )
    if refused:
        yield MATOMO.failed(
            "tables",
            f"The user may not read {', '.join(refused)}.",
            statements=[f"GRANT SELECT ON {spell_name(database)}.* TO {account};"],
        )
    if not faults:
        yield MATOMO.passed("tables", f"All {len(tables)} declared tables are there, with every declared column.")
    if indexes:
        yield MATOMO.warned(
            "indexes",
            f"No index leads to the rows of {', '.join(slow)} by their time, so every run scans the table.",
            statements=indexes,
        )
    elif not faults:
        yield MATOMO.passed("indexes", "Every table is read by an index.")
