"""Names of what the mirror creates beside tables: constraints, indexes, companion tables.

Existing objects are recognised by their definition, never by these names.
"""

import hashlib
from collections.abc import Collection, Iterable

from smartdiet_assets.load.structure.live import BOOKKEEPING_SCHEMA
from smartdiet_assets.schema.model import Table

#: PostgreSQL cuts longer identifiers silently (NAMEDATALEN - 1).
MAX_BYTES = 63
_HASH_LENGTH = 8


def build_name(parts: Collection[str], suffix: str, taken: Collection[str] = ()) -> str:
    """Join the parts and the suffix by `_`, hash-shortened when too long or when the plain name is `taken`.

    `users`, `email` and `key` give `users_email_key`, as PostgreSQL itself would name it.
    """
    name = "_".join([*parts, suffix])
    if len(name.encode()) <= MAX_BYTES and name not in taken:
        return name
    digest = hashlib.sha256("\0".join([*parts, suffix]).encode()).hexdigest()[:_HASH_LENGTH]
    tail = f"_{digest}_{suffix}"
    room = MAX_BYTES - len(tail.encode())
    return "_".join(parts).encode()[:room].decode(errors="ignore") + tail


def place_in(table: Table, schema_name: str) -> Table:
    """Give a table of a PostgreSQL schema the name of its companion, where it has one."""
    if not table.shape.shares_keys:
        return table
    return table.model_copy(update={"companion": candidates_name_in(schema_name, table.name)})


def candidates_name(table: Table) -> tuple[str, str]:
    """Name the companion of a table, as (schema, table): pass it to `sql.Identifier(*…)`."""
    assert table.companion, f"{table.name}: nobody said which schema it is in"
    return BOOKKEEPING_SCHEMA, table.companion


def list_companions(tables: Iterable[Table]) -> list[str]:
    """List the names of the companions that tables have."""
    return [candidates_name(table)[1] for table in tables if table.shape.shares_keys]


def candidates_name_in(schema_name: str, table_name: str) -> str:
    """Name the companion of a table of a schema: `public.diary_candidates`, or a hash where that is long or ambiguous.

    `CANDIDATES_NAME` says the same in SQL.
    """
    name = f"{schema_name}.{table_name}_candidates"
    if len(name.encode()) <= MAX_BYTES and name.count(".") == 1:
        return name
    named = f"{len(schema_name)}.{schema_name}.{table_name}"
    return f"{hashlib.md5(named.encode(), usedforsecurity=False).hexdigest()}_candidates"


#: An expression: the name of the companion of the table `%(table)s` of the connection's schema.
CANDIDATES_NAME = f"""\
(
    SELECT CASE
      WHEN octet_length(name) <= {MAX_BYTES} AND length(replace(name, '.', '')) = length(name) - 1 THEN name
      ELSE md5(concat_ws('.', length(current_schema()::text), current_schema(), %(table)s::text)) || '_candidates'
    END::name
    FROM (SELECT concat(current_schema(), '.', %(table)s::text, '_candidates')) AS companion (name)
  )"""
