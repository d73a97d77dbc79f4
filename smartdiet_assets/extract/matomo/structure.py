"""What a table of Matomo looks like on its server, and whether it has what is declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pymysql.connections import Connection

from smartdiet_assets.errors import SourceTableError
from smartdiet_assets.schema.columns import fault_of_column_name
from smartdiet_assets.schema.model import Column, Table
from smartdiet_assets.schema.types import MAX_LENGTH, MAX_PRECISION, ColumnType, parse_sql_type

#: PostgreSQL's limit of a name, in bytes.
#: Values of a leading column an index is walked by, one by one.
_MAX_GROUPS = 1_000

#: The PostgreSQL type that holds every value of a type of MariaDB; of the unsigned one, where it differs.
_TYPES: dict[str, tuple[str, str]] = {
    "tinyint": ("SMALLINT", "SMALLINT"),
    "smallint": ("SMALLINT", "INTEGER"),
    "mediumint": ("INTEGER", "INTEGER"),
    "int": ("INTEGER", "BIGINT"),
    "bigint": ("BIGINT", "NUMERIC(20,0)"),
    "year": ("SMALLINT", "SMALLINT"),
    "float": ("REAL", "REAL"),
    "double": ("DOUBLE PRECISION", "DOUBLE PRECISION"),
    **dict.fromkeys(("date",), ("DATE", "DATE")),
    **dict.fromkeys(("datetime", "timestamp"), ("TIMESTAMP", "TIMESTAMP")),
    "time": ("TIME", "TIME"),
    "json": ("JSONB", "JSONB"),
    "uuid": ("UUID", "UUID"),
    **dict.fromkeys(
        ("tinytext", "text", "mediumtext", "longtext", "enum", "set", "inet4", "inet6"),
        ("TEXT", "TEXT"),
    ),
}


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """One column on the server; `data_type` is MariaDB's name without length, as `int` or `varchar`."""

    name: str
    data_type: str
    unsigned: bool
    nullable: bool
    length: int | None
    precision: int | None
    scale: int | None
    comment: str = ""


@dataclass(frozen=True, slots=True)
class TimeIndex:
    """An index that leads to rows by time: directly, or within each value of one column before it."""

    name: str
    group_column: str | None


@dataclass(frozen=True, slots=True)
class SourceTable:
    """A table on the server, under its own name there; `rows` is about how many it has, None where nobody counted."""

    name: str
    columns: Mapping[str, SourceColumn]
    time_index: TimeIndex | None
    unique_columns: frozenset[str]
    rows: int | None = None


# Names are asked for as they are written: the collation of the catalogue tells no case apart.
_COLUMNS = """\
SELECT column_name, data_type, column_type, is_nullable, character_maximum_length, numeric_precision, numeric_scale,
  column_comment
FROM information_schema.columns
WHERE table_schema = DATABASE() AND table_name = %s
ORDER BY ordinal_position"""

_INDEXES = """\
SELECT index_name, seq_in_index, column_name, non_unique, cardinality, sub_part, collation, nullable
FROM information_schema.statistics
WHERE table_schema = DATABASE() AND table_name = %s
ORDER BY index_name, seq_in_index"""


def fetch_source_table(connection: Connection, name: str, time_column: str = "") -> SourceTable:
    """Fetch what the server says about a table.

    Args:
        name: the table's name on the server.
        time_column: the column, as it is called there, for which an index is looked for.

    Raises:
        pymysql.Error: there is no such table, or the user may not read it.
    """
    with connection.cursor() as cursor:
        # The catalogue shows nothing of a table that is missing, and nothing of one that may not be read.
        cursor.execute(f"SELECT 1 FROM {quote_name(name)} LIMIT 0", ())
        cursor.fetchall()
        cursor.execute(_COLUMNS, (name,))
        columns = [_build_column(*row) for row in cursor.fetchall()]
        cursor.execute(_INDEXES, (name,))
        indexes: dict[str, list[tuple[Any, ...]]] = {}
        for row in cursor.fetchall():
            indexes.setdefault(_text(row[0]), []).append(row)
    uniques = {_text(rows[0][2]) for rows in indexes.values() if len(rows) == 1 and int(rows[0][3]) == 0}
    known = {column.name: column for column in columns}
    return SourceTable(
        name=name,
        columns=known,
        time_index=_choose_index(indexes, time_column, known) if time_column else None,
        unique_columns=frozenset(uniques),
        # An index has as many entries as there are rows, where it tells each from all others.
        rows=max(
            (int(row[4]) for rows in indexes.values() for row in rows if row[4] and not int(row[3])), default=None
        ),
    )


def quote_name(name: str) -> str:
    """Quote a name for a statement that is executed with parameters: the driver makes one `%` of two."""
    return spell_name(name).replace("%", "%%")


def spell_name(name: str) -> str:
    """Quote a name for MariaDB."""
    return "`" + name.replace("`", "``") + "`"


def check_source_table(table: Table, source: SourceTable) -> None:
    """Check that the server has what is declared.

    Raises:
        SourceTableError: it lacks columns, which are named, or its key may name several rows.
    """
    missing = [c.source_column for c in table.stored_columns if c.source_column not in source.columns]
    if missing:
        several = "columns" if len(missing) > 1 else "column"
        raise SourceTableError(
            f"{table.name}: Matomo's table {source.name} has no {several} {', '.join(missing)}; "
            f"remove the {several} from the declaration, or give the right 'source_column'"
        )
    key = table.column(table.document_column).source_column
    if key not in source.unique_columns:
        raise SourceTableError(f"{table.name}: {key} does not identify a row of Matomo's table {source.name}")


def list_unmirrored(table: Table, source: SourceTable) -> tuple[str, ...]:
    """List the columns the server has and the mirror does not."""
    mirrored = {column.source_column for column in table.columns}
    return tuple(name for name in source.columns if name not in mirrored)


def extend_table(table: Table, source: SourceTable) -> Table:
    """Add the columns that are not declared, for `matomo_columns: all`; those PostgreSQL cannot name are left out."""
    if table.matomo_columns != "all":
        return table
    taken = {column.name for column in table.columns}
    unmirrored = list_unmirrored(table, source)
    added = tuple(
        Column(name=name, type=derive_type(found), source_column=name, description=found.comment)
        for name, found in source.columns.items()
        if name in unmirrored and name not in taken and not fault_of_column_name(name)
    )
    if not added:
        return table
    # Not `model_copy`: it would take along what the table has worked out from its columns.
    fields = {name: getattr(table, name) for name in Table.model_fields}
    return Table.model_validate({**fields, "columns": (*table.columns, *added)})


def derive_type(column: SourceColumn) -> ColumnType:
    """Derive the PostgreSQL type that holds every value of a column; bytes where nothing else is known of it."""
    kind = column.data_type
    if kind == "decimal":
        precision, scale = column.precision or 10, column.scale or 0
        return ColumnType(name="numeric", precision=min(precision, MAX_PRECISION), scale=scale)
    if kind in ("char", "varchar"):
        length = column.length or 1
        return ColumnType(name="varchar", length=length) if length <= MAX_LENGTH else ColumnType(name="text")
    signed, unsigned = _TYPES.get(kind, ("BYTEA", "BYTEA"))
    return parse_sql_type(unsigned if column.unsigned else signed)


def _build_column(
    name: bytes,
    data_type: bytes,
    column_type: bytes,
    nullable: bytes,
    length: bytes | None,
    precision: bytes | None,
    scale: bytes | None,
    comment: bytes,
) -> SourceColumn:
    return SourceColumn(
        name=_text(name),
        data_type=_text(data_type).lower(),
        unsigned="unsigned" in _text(column_type).lower(),
        nullable=_text(nullable).upper() == "YES",
        length=None if length is None else int(length),
        precision=None if precision is None else int(precision),
        scale=None if scale is None else int(scale),
        comment=_text(comment),
    )


def _choose_index(
    indexes: Mapping[str, list[tuple[Any, ...]]], time_column: str, columns: Mapping[str, SourceColumn]
) -> TimeIndex | None:
    """Choose the index a page of rows in order of time can be read from: the time first, or one column before it."""
    within: list[tuple[int, TimeIndex]] = []
    for name, rows in indexes.items():
        usable = [row for row in rows[:2] if row[5] is None and row[6] == b"A"]
        parts = [_text(row[2]) for row in usable]
        if parts[:1] == [time_column]:
            return TimeIndex(name, None)
        if len(parts) == 2 and parts[1] == time_column and not columns[parts[0]].nullable:
            groups = int(usable[0][4] or 0)
            if groups <= _MAX_GROUPS:
                within.append((groups, TimeIndex(name, parts[0])))
    return min(within, key=lambda found: found[0])[1] if within else None


def _text(value: Any) -> str:
    text: str = value.decode("utf-8", "replace")
    return text
