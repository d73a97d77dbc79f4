"""A declared table as PostgreSQL's catalogue would describe it: creating, comparing and altering follow from that."""

from collections.abc import Collection, Mapping

from smartdiet_assets.load.structure.defaults import spell_default
from smartdiet_assets.load.structure.live import Collation, LiveColumn, LiveForeignKey, LiveIndex, LiveTable
from smartdiet_assets.schema.model import Column, Schema, Table

#: Byte order: index work on ids is cheaper, and nobody reads ids in alphabetical order.
_ID_COLLATION: Collation = ("C",)


def build_expected_table(
    schema: Schema, table: Table, schema_name: str, parents: Mapping[tuple[str, str], Collation] | None = None
) -> LiveTable:
    """Describe a declared table.

    Constraints and indexes have no names: whatever theirs are, they are recognised by what they do.

    Args:
        parents: the collations of live columns, by table and column. A foreign key takes that of the column it points
            at, since columns of two collations cannot be joined without naming one; other ids are in byte order.
    """
    referenced = _list_referenced(schema, table)
    ids = {*table.primary_key, table.document_column, *referenced}
    return LiveTable(
        schema=schema_name,
        name=table.name,
        kind="table",
        owned=True,
        comment=table.description.strip(),
        columns={column.name: _build_column(table, column, ids, parents or {}) for column in table.columns},
        primary_key=build_index(table.primary_key, unique=True, primary=True) if table.primary_key else None,
        uniques=tuple(
            build_index(columns, unique=True, deferrable=_is_deferrable(table, columns, referenced))
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
        indexes=tuple(map(build_index, build_indexes(table))),
    )


def build_uniques(table: Table) -> tuple[tuple[str, ...], ...]:
    """List what must be unique beside the primary key: the declared lists, and the key where they lack it."""
    uniques = dict.fromkeys((*table.unique_constraints, table.key))
    known = {frozenset(table.primary_key)}
    kept = []
    for columns in uniques:
        if columns and frozenset(columns) not in known:
            known.add(frozenset(columns))
            kept.append(columns)
    return tuple(kept)


def build_indexes(table: Table) -> tuple[tuple[str, ...], ...]:
    """List the declared indexes that no key or longer index of the table serves already."""
    keys = [table.primary_key, *build_uniques(table)]
    declared = tuple(dict.fromkeys(table.indexes))
    return tuple(
        columns
        for columns in declared
        if not any(other != columns and other[: len(columns)] == columns for other in declared)
        and not any(key[: len(columns)] == columns for key in keys)
    )


def build_index(
    columns: tuple[str, ...], *, unique: bool = False, primary: bool = False, deferrable: bool = False
) -> LiveIndex:
    """Describe a key or an index without a name."""
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


def _list_referenced(schema: Schema, table: Table) -> set[str]:
    keys = [column.foreign_key for other in schema.tables.values() for column in other.columns]
    return {key.column for key in keys if key is not None and key.table == table.name}


def _is_deferrable(table: Table, columns: tuple[str, ...], referenced: Collection[str]) -> bool:
    """Tell whether a unique constraint is checked at the end of a statement.

    A secondary one is, so that one UPDATE may swap values. `ON CONFLICT` and foreign keys need the others at once.
    """
    return set(columns) != set(table.key) and not (len(columns) == 1 and columns[0] in referenced)


def _build_column(
    table: Table, column: Column, ids: Collection[str], parents: Mapping[tuple[str, str], Collation]
) -> LiveColumn:
    collation: Collation = ()
    if column.type.is_text and (key := column.foreign_key):
        collation = parents.get((key.table, key.column)) or _ID_COLLATION
    elif column.type.is_text and column.name in ids:
        collation = _ID_COLLATION
    return LiveColumn(
        name=column.name,
        type=column.type.sql,
        nullable=column.nullable and not column.generated and column.name not in table.primary_key,
        default=None if column.generated else spell_default(column.type, column.default),
        identity="d" if column.generated else "",
        expression=None,
        virtual=False,
        collation=collation,
        not_null_pending=False,
        comment=column.description.strip(),
    )
