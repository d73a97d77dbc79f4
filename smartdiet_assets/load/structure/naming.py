"""Names of what the mirror creates beside tables: constraints, indexes, companion tables.

Here: deterministic names within PostgreSQL's 63 bytes. Not here: names of tables and columns, which are
declared. Existing objects are recognised by their definition, never by these names.
"""

import hashlib
from collections.abc import Collection

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


def candidates_name(table: Table) -> tuple[str, str]:
    """Name the companion of a `one_per_key` table, as (schema, table): pass it to `sql.Identifier(*…)`."""
    return BOOKKEEPING_SCHEMA, build_name([table.name], "candidates")
