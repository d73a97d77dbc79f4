"""The statements that create a table and bring it to the structure of another, composed and not executed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import IntEnum

from psycopg import sql

from smartdiet_assets.load.structure.live import LiveColumn, LiveForeignKey, LiveIndex, LiveTable
from smartdiet_assets.load.structure.naming import build_name
from smartdiet_assets.load.structure.type_changes import is_assignable, keeps_values

#: What a live column without a COLLATE has.
_DEFAULT_COLLATION = ("pg_catalog", "default")


class Phase(IntEnum):
    """When a statement can be made: all of a phase, of whatever tables, before those of the next one."""

    DROP_FOREIGN_KEY = 1
    DROP_KEY = 2
    DROP_COLUMN = 3
    DROP_TABLE = 4
    CREATE_TABLE = 5
    ADD_COLUMN = 6
    #: Defaults and sequences stand in the way of another type.
    DROP_DEFAULT = 7
    SET_TYPE = 8
    SET_NULLABLE = 9
    SET_DEFAULT = 10
    ADD_KEY = 11
    ADD_FOREIGN_KEY = 12
    VALIDATE = 13
    COMMENT = 14


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement; `loses` says that it may lose what is stored, not only fail."""

    phase: Phase
    composed: sql.Composed
    loses: bool = False

    @property
    def text(self) -> str:
        return self.composed.as_string(None)


def _compose_definition(column: LiveColumn, *, nullable: bool) -> sql.Composed:
    """Compose a column as CREATE TABLE and ADD COLUMN take it, without its comment."""
    parts: list[sql.Composable] = [sql.Identifier(column.name), sql.SQL(column.type), *_collate(column)]
    if column.expression is not None:
        kept = "VIRTUAL" if column.virtual else "STORED"
        parts.append(sql.SQL(f"GENERATED ALWAYS AS ({{}}) {kept}").format(sql.SQL(column.expression)))
    elif column.generated:
        parts.append(sql.SQL("GENERATED {} AS IDENTITY").format(_number(column)))
    elif column.default is not None:
        parts.append(sql.SQL("DEFAULT {}").format(sql.SQL(column.default)))
    if not nullable:
        parts.append(sql.SQL("NOT NULL"))
    return sql.SQL(" ").join(parts)


def create_table(wanted: LiveTable, schema_name: str) -> Statement:
    """Compose a table with its columns; what else it has are changes of it."""
    columns = sql.SQL(",\n  ").join(
        _compose_definition(column, nullable=column.nullable) for column in wanted.columns.values()
    )
    target = sql.Identifier(schema_name, wanted.name)
    return Statement(Phase.CREATE_TABLE, sql.SQL("CREATE TABLE {} (\n  {}\n)").format(target, columns))


def drop_tables(*tables: LiveTable) -> Statement:
    """Compose the end of tables: in one statement, their foreign keys to each other do not matter."""
    targets = sql.SQL(", ").join(sql.Identifier(table.schema, table.name) for table in tables)
    return Statement(Phase.DROP_TABLE, sql.SQL("DROP TABLE {}").format(targets), loses=True)


def add_column(table: LiveTable, column: LiveColumn, *, empty: bool = False, waits: bool = False) -> list[Statement]:
    """Compose a column that is to be added; where rows have no value for it, a NOT NULL comes last, and may fail.

    Args:
        empty: the table has no rows.
        waits: the NOT NULL holds for what is written from now on, until `end_wait` says that older rows are filled.
    """
    later = not (empty or column.nullable or column.is_filled)
    definition = _compose_definition(column, nullable=column.nullable or later)
    added = _alter(Phase.ADD_COLUMN, table, "ADD COLUMN {}", definition)
    if not later:
        return [added]
    return [added, _begin_wait(table, column.name) if waits else set_nullable(table, column)]


def drop_column(table: LiveTable, column: LiveColumn) -> Statement:
    name = sql.Identifier(column.name)
    return _alter(Phase.DROP_COLUMN, table, "DROP COLUMN {}", name, loses=column.expression is None)


def set_type(table: LiveTable, wanted: LiveColumn, present: LiveColumn) -> list[Statement]:
    """Compose the change of a column's type and collation, its default taken away meanwhile."""
    target: sql.Composable = sql.SQL(" ").join([sql.SQL(wanted.type), *_collate(wanted)])
    if not is_assignable(present.type, wanted.type):
        # By way of text there is always a cast; it fails where a value means nothing in the new type.
        name = sql.Identifier(wanted.name)
        target = sql.SQL("{} USING {}::text::{}").format(target, name, sql.SQL(wanted.type))
    loses = not keeps_values(present.type, wanted.type)
    statements = [_alter_column(Phase.SET_TYPE, table, wanted.name, "TYPE {}", target, loses=loses)]
    if present.default is not None and not present.generated:
        statements = [*drop_default(table, present), *statements]
        if wanted.default is not None and not wanted.generated:
            statements.append(set_default(table, wanted))
    return statements


def set_nullable(table: LiveTable, wanted: LiveColumn) -> Statement:
    action = "DROP" if wanted.nullable else "SET"
    return _alter_column(Phase.SET_NULLABLE, table, wanted.name, f"{action} NOT NULL")


def _begin_wait(table: LiveTable, column: str) -> Statement:
    check = "ADD CONSTRAINT {} CHECK ({} IS NOT NULL) NOT VALID"
    return _alter(Phase.SET_NULLABLE, table, check, _name_wait(table, column), sql.Identifier(column))


def end_wait(table: LiveTable, column: str, *, nullable: bool) -> list[Statement]:
    """Compose the end of the wait for NOT NULL: no row holds NULL any more, or the column is to be `nullable`."""
    phase, name = Phase.SET_NULLABLE, _name_wait(table, column)
    dropped = _alter(phase, table, "DROP CONSTRAINT {}", name)
    if nullable:
        return [dropped]
    # The validated check spares SET NOT NULL its own scan.
    validated = _alter(phase, table, "VALIDATE CONSTRAINT {}", name)
    return [validated, _alter_column(phase, table, column, "SET NOT NULL"), dropped]


def _name_wait(table: LiveTable, column: str) -> sql.Identifier:
    return sql.Identifier(build_name([table.name, column], "not_null"))


def set_default(table: LiveTable, wanted: LiveColumn) -> Statement:
    expression = sql.SQL(wanted.default or "NULL")
    return _alter_column(Phase.SET_DEFAULT, table, wanted.name, "SET DEFAULT {}", expression)


def drop_default(table: LiveTable, present: LiveColumn) -> list[Statement]:
    """Compose the end of a default, a sequence of either kind included."""
    action = "DROP IDENTITY" if present.identity else "DROP DEFAULT"
    return [_alter_column(Phase.DROP_DEFAULT, table, present.name, action)]


def drop_expression(table: LiveTable, present: LiveColumn) -> Statement:
    return _alter_column(Phase.DROP_DEFAULT, table, present.name, "DROP EXPRESSION")


def add_numbering(table: LiveTable, wanted: LiveColumn) -> list[Statement]:
    """Compose an identity column in the place of a plain one; it goes on after the largest number."""
    name, target = sql.Identifier(wanted.name), sql.Identifier(table.schema, table.name)
    added = _alter_column(Phase.SET_DEFAULT, table, wanted.name, "ADD GENERATED {} AS IDENTITY", _number(wanted))
    moved = sql.SQL("SELECT setval(pg_get_serial_sequence({}, {}), coalesce(max({}), 0) + 1, false) FROM {}").format(
        sql.Literal(target.as_string(None)), sql.Literal(wanted.name), name, target
    )
    return [added, Statement(Phase.SET_DEFAULT, moved)]


def set_numbering(table: LiveTable, wanted: LiveColumn) -> Statement:
    return _alter_column(Phase.SET_DEFAULT, table, wanted.name, "SET GENERATED {}", _number(wanted))


def add_index(table: LiveTable, wanted: LiveIndex, name: str = "") -> Statement:
    """Compose a key or an index; without a `name` PostgreSQL gives it one, so that none is taken."""
    columns = sql.SQL(", ").join(map(sql.Identifier, wanted.columns))
    covering = " INCLUDE " in wanted.form
    if wanted.primary or (wanted.constraint and wanted.plain and wanted.nulls_distinct and not covering):
        named = sql.SQL("CONSTRAINT {} " if name else "").format(sql.Identifier(name))
        deferrable = f" DEFERRABLE{' INITIALLY IMMEDIATE' if name else ''}" if wanted.deferrable else ""
        kind = "PRIMARY KEY" if wanted.primary else "UNIQUE"
        return _alter(Phase.ADD_KEY, table, f"ADD {{}}{kind} ({{}}){deferrable}", named, columns)
    form = sql.SQL("({})" if name else "USING btree ({})").format(columns)
    return Statement(
        Phase.ADD_KEY,
        sql.SQL("CREATE {}INDEX {}ON {} {}").format(
            sql.SQL("UNIQUE " if wanted.unique else ""),
            sql.SQL("{} " if name else "").format(sql.Identifier(name)),
            sql.Identifier(table.schema, table.name),
            sql.SQL("USING {}").format(sql.SQL(wanted.form)) if wanted.name else form,
        ),
    )


def drop_index(table: LiveTable, index: LiveIndex) -> Statement:
    if index.constraint:
        return _alter(Phase.DROP_KEY, table, "DROP CONSTRAINT {}", sql.Identifier(index.name))
    return Statement(Phase.DROP_KEY, sql.SQL("DROP INDEX {}").format(sql.Identifier(table.schema, index.name)))


def add_foreign_key(table: LiveTable, wanted: LiveForeignKey, taken: Collection[str] = ()) -> Statement:
    """Compose a foreign key; `taken` are the names of the table's constraints."""
    definition: sql.Composable = sql.SQL(wanted.definition)
    if wanted.plain:
        definition = sql.SQL("FOREIGN KEY ({}) REFERENCES {} ({}){}").format(
            sql.SQL(", ").join(map(sql.Identifier, wanted.columns)),
            sql.Identifier(table.schema, wanted.parent),
            sql.SQL(", ").join(map(sql.Identifier, wanted.parent_columns)),
            sql.SQL("" if wanted.validated else " NOT VALID"),
        )
    name = sql.Identifier(build_name([table.name, *wanted.columns], "fkey", taken))
    return _alter(Phase.ADD_FOREIGN_KEY, table, "ADD CONSTRAINT {} {}", name, definition)


def restore_foreign_key(table: LiveTable, dropped: LiveForeignKey) -> Statement:
    """Compose a foreign key again that something else made way for."""
    name, definition = sql.Identifier(dropped.name), sql.SQL(dropped.definition)
    return _alter(Phase.ADD_FOREIGN_KEY, table, "ADD CONSTRAINT {} {}", name, definition)


def drop_foreign_key(table: LiveTable, present: LiveForeignKey) -> Statement:
    return _alter(Phase.DROP_FOREIGN_KEY, table, "DROP CONSTRAINT {}", sql.Identifier(present.name))


def validate_foreign_key(table: LiveTable, present: LiveForeignKey) -> Statement:
    return _alter(Phase.VALIDATE, table, "VALIDATE CONSTRAINT {}", sql.Identifier(present.name))


def set_comment(table: LiveTable, comment: str, column: str = "") -> Statement:
    kind = "COLUMN" if column else "TABLE"
    target = sql.Identifier(*(part for part in (table.schema, table.name, column) if part))
    text = sql.Literal(comment) if comment else sql.SQL("NULL")
    return Statement(Phase.COMMENT, sql.SQL("COMMENT ON {} {} IS {}").format(sql.SQL(kind), target, text))


def order_statements(statements: Sequence[Statement]) -> list[Statement]:
    """Order statements of any tables so that each can be made after those before it, each text once."""
    return list({statement.text: statement for statement in sorted(statements, key=lambda s: s.phase)}.values())


def _alter(phase: Phase, table: LiveTable, action: str, *parts: sql.Composable, loses: bool = False) -> Statement:
    target = sql.Identifier(table.schema, table.name)
    return Statement(phase, sql.SQL(f"ALTER TABLE {{}} {action}").format(target, *parts), loses)


def _alter_column(
    phase: Phase, table: LiveTable, column: str, action: str, *parts: sql.Composable, loses: bool = False
) -> Statement:
    return _alter(phase, table, f"ALTER COLUMN {{}} {action}", sql.Identifier(column), *parts, loses=loses)


def _number(column: LiveColumn) -> sql.SQL:
    return sql.SQL("ALWAYS" if column.identity == "a" else "BY DEFAULT")


def _collate(column: LiveColumn) -> list[sql.Composable]:
    if not column.collation or column.collation == _DEFAULT_COLLATION:
        return []
    short = column.collation[1:] if column.collation[0] == "pg_catalog" else column.collation
    return [sql.SQL("COLLATE {}").format(sql.Identifier(*short))]
