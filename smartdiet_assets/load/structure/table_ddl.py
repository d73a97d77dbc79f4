"""What a run makes of a table's description: the statements that create it and add what it lacks, in their order."""

from collections.abc import Collection, Iterable

from psycopg import sql

from smartdiet_assets.load.structure import alteration
from smartdiet_assets.load.structure.comparison import compare_comments, strip_table
from smartdiet_assets.load.structure.declared import build_index
from smartdiet_assets.load.structure.live import LiveIndex, LiveTable
from smartdiet_assets.load.structure.naming import build_name
from smartdiet_assets.schema.model import Schema, Table


def compose_keys(
    schema: Schema,
    table: Table,
    wanted: LiveTable,
    *,
    taken: Collection[str] = (),
    only_with: Collection[str] | None = None,
    published: bool = False,
) -> list[sql.Composed]:
    """Compose primary key, unique constraints and indexes, then foreign keys: the order a bulk load wants.

    The foreign keys come in the order of their parents in the schema: building one locks the parent against writing,
    and two runs that need two parents must ask for them in one order.

    Args:
        wanted: the table as declared.
        taken: names of relations that exist; an index may not bear one of them.
        only_with: leave out what touches none of these columns (the columns just added).
        published: whether the last statement is to give the table the replica identity that publications ask for.
    """

    def is_wanted(columns: Collection[str]) -> bool:
        return only_with is None or not set(only_with).isdisjoint(columns)

    indexes = [index for index in (*wanted.keys, *wanted.indexes) if is_wanted(index.columns)]
    names = name_indexes(wanted.name, indexes, taken)
    parents = list(schema.tables)
    foreign_keys = [key for key in wanted.foreign_keys if is_wanted(key.columns)]
    statements = [alteration.add_index(wanted, *named) for named in zip(indexes, names, strict=True)]
    statements += [
        alteration.add_foreign_key(wanted, key) for key in sorted(foreign_keys, key=lambda k: parents.index(k.parent))
    ]
    composed = [statement.composed for statement in statements]
    if published:
        # By the primary key, or the key that cannot be deferred.
        identity: sql.Composable = sql.SQL("DEFAULT" if table.primary_key else "FULL")
        for index, name in zip(indexes, names, strict=True):
            if index.columns == table.key and not table.primary_key and index.unique and not index.deferrable:
                identity = sql.SQL("USING INDEX {}").format(sql.Identifier(name))
        target = sql.Identifier(wanted.schema, wanted.name)
        composed.append(sql.SQL("ALTER TABLE {} REPLICA IDENTITY {}").format(target, identity))
    return composed


def compose_indexes(
    table: LiveTable, indexes: Iterable[tuple[str, ...]], *, taken: Collection[str] = ()
) -> list[sql.Composed]:
    """Compose non-unique indexes over columns of a table."""
    wanted = list(map(build_index, indexes))
    names = name_indexes(table.name, wanted, taken)
    return [alteration.add_index(table, *named).composed for named in zip(wanted, names, strict=True)]


def name_indexes(table: str, indexes: Iterable[LiveIndex], taken: Collection[str] = ()) -> list[str]:
    """Name keys and indexes of a table, each once: (a_b) and (a, b) would share a name."""
    names: list[str] = []
    for index in indexes:
        suffix = "pkey" if index.primary else "key" if index.unique else "idx"
        columns = () if index.primary else index.columns
        names.append(build_name([table, *columns], suffix, {*taken, *names}))
    return names


def compose_comments(wanted: LiveTable, present: LiveTable | None = None) -> list[sql.Composed]:
    """Compose the declared comments that are not there yet; an empty description leaves a live one alone."""
    differences = compare_comments(wanted, present or strip_table(wanted, wanted.schema), declared=True)
    return [
        statement.composed
        for difference in differences
        if not difference.undeclared
        for statement in difference.statements
    ]
