"""What a declared table needs in PostgreSQL beyond its columns: keys, indexes, nullability, collations.

Here: facts read from the declaration, which composing and comparing share. Not here: SQL.
"""

from collections.abc import Collection, Mapping

from smartdiet_assets.schema.model import Column, Schema, Table

Collation = tuple[str, ...]

#: Byte order: index work on ids is cheaper, and nobody reads ids in alphabetical order.
ID_COLLATION: Collation = ("C",)
#: What a live column without a COLLATE has.
DEFAULT_COLLATION: Collation = ("pg_catalog", "default")


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


def is_nullable(table: Table, column: Column) -> bool:
    """Tell whether the live column should accept NULL: primary keys and generated columns never do."""
    return column.nullable and not column.generated and column.name not in table.primary_key


def is_deferrable(schema: Schema, table: Table, columns: Collection[str]) -> bool:
    """Tell whether a unique constraint is checked at the end of a statement.

    A secondary one is, so that one UPDATE may swap values. `ON CONFLICT` and foreign keys need the others at
    once.
    """
    referenced = any(
        key is not None and key.table == table.name and {key.column} == set(columns)
        for other in schema.tables.values()
        for key in (column.foreign_key for column in other.columns)
    )
    return not referenced and set(columns) != set(table.key)


def build_collations(
    schema: Schema, table: Table, parents: Mapping[tuple[str, str], Collation]
) -> dict[str, Collation]:
    """Decide the COLLATE of each text column that holds ids; other columns are left out.

    A foreign key takes the collation of the live parent column, since columns of two collations cannot be
    joined without naming one.

    Args:
        parents: the collations of live columns, by table and column.
    """
    referenced = {
        key.column
        for other in schema.tables.values()
        for key in (column.foreign_key for column in other.columns)
        if key is not None and key.table == table.name
    }
    collations: dict[str, Collation] = {}
    for column in table.columns:
        if not column.type.is_text:
            continue
        key = column.foreign_key
        if key is None:
            if column.name in {*table.primary_key, table.document_column, *referenced}:
                collations[column.name] = ID_COLLATION
            continue
        collations[column.name] = parents.get((key.table, key.column)) or ID_COLLATION
    return collations
