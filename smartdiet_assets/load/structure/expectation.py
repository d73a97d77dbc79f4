"""A declared table as PostgreSQL's catalogue would describe it, to be compared with a live one in the same words.

Here: one pure function. Not here: how it would be created (`table_ddl`), or comparing (`comparison`).
"""

from collections.abc import Mapping

from smartdiet_assets.load.structure.constraints import (
    Collation,
    build_collations,
    build_indexes,
    build_uniques,
    is_deferrable,
    is_nullable,
)
from smartdiet_assets.load.structure.defaults import compose_default
from smartdiet_assets.load.structure.live import LiveColumn, LiveForeignKey, LiveIndex, LiveTable
from smartdiet_assets.schema.model import Column, Schema, Table


def build_expected_table(
    schema: Schema, table: Table, schema_name: str, live: Mapping[str, LiveTable] | None = None
) -> LiveTable:
    """Describe a declared table, its ids in byte order, or in the collation of the `live` parents they point at.

    Constraints and indexes have no names: whatever theirs are, they are recognised by what they do.
    """
    collations = build_collations(schema, table, _collect_collations(table, live or {}))
    return LiveTable(
        schema=schema_name,
        name=table.name,
        kind="table",
        owned=True,
        comment=table.description.strip(),
        columns={
            column.name: _build_column(table, column, collations.get(column.name, ())) for column in table.columns
        },
        primary_key=_build_index(table.primary_key, unique=True, primary=True) if table.primary_key else None,
        uniques=tuple(
            _build_index(columns, unique=True, deferrable=is_deferrable(schema, table, columns))
            for columns in build_uniques(table)
        ),
        foreign_keys=tuple(
            LiveForeignKey(
                name="",
                columns=(column.name,),
                parent=key.table,
                parent_columns=(key.column,),
                plain=True,
                validated=True,
                definition=f"FOREIGN KEY ({column.name}) REFERENCES {key.table}({key.column})",
            )
            for column in table.columns
            if (key := column.foreign_key) is not None
        ),
        indexes=tuple(_build_index(columns) for columns in build_indexes(table)),
    )


def _collect_collations(table: Table, live: Mapping[str, LiveTable]) -> dict[tuple[str, str], Collation]:
    """Collect the collations of the live columns that a table's foreign keys reference."""
    keys = [column.foreign_key for column in table.columns if column.foreign_key is not None]
    return {
        (key.table, key.column): live[key.table].columns[key.column].collation
        for key in keys
        if key.table in live and key.column in live[key.table].columns
    }


def _build_column(table: Table, column: Column, collation: tuple[str, ...]) -> LiveColumn:
    default = None
    if not column.generated and column.default is not None:
        default = compose_default(column.type, column.default).as_string(None).strip()
    return LiveColumn(
        name=column.name,
        type=column.type.sql,
        nullable=is_nullable(table, column),
        default=default,
        identity="d" if column.generated else "",
        expression=None,
        virtual=False,
        collation=collation,
        not_null_pending=False,
        comment=column.description.strip(),
    )


def _build_index(
    columns: tuple[str, ...], *, unique: bool = False, primary: bool = False, deferrable: bool = False
) -> LiveIndex:
    kind = "UNIQUE INDEX" if unique else "INDEX"
    return LiveIndex(
        name="",
        columns=columns,
        unique=unique,
        primary=primary,
        constraint=unique,
        deferrable=deferrable,
        nulls_distinct=True,
        valid=True,
        plain=True,
        definition=f"CREATE {kind} ON {', '.join(columns)}",
    )
