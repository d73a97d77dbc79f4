"""The live structure: what PostgreSQL's catalogue says about tables, read in one round trip.

It takes no lock on the tables.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from smartdiet_assets.errors import ConfigurationError

#: A live column's: (schema, name), the name alone for PostgreSQL's own, or empty.
Collation = tuple[str, ...]

#: The schema of the mirror's own tables.
BOOKKEEPING_SCHEMA = "smartdiet"
_NAME = r'(?:"(?:[^"]|"")*"|[^\s".]+)'
#: What `pg_get_indexdef` prints before the method.
_INDEX_DEFINITION = re.compile(rf"CREATE (?:UNIQUE )?INDEX {_NAME} ON (?:ONLY )?{_NAME}(?:\.{_NAME})? USING ")


@dataclass(frozen=True, slots=True)
class LiveColumn:
    """One column; `type` is spelled as `format_type` does, `collation` is (schema, name) or empty.

    `identity` is PostgreSQL's letter: `d` BY DEFAULT, `a` ALWAYS, or empty. `expression` is that of a computed column,
    which is `virtual` where it is computed when read.
    `not_null_pending` says that a NOT NULL waits for older rows to be filled (see `ddl.apply_not_null`).
    """

    name: str
    type: str
    nullable: bool
    default: str | None
    identity: str
    expression: str | None
    virtual: bool
    collation: Collation
    not_null_pending: bool
    comment: str

    @property
    def generated(self) -> bool:
        """Whether PostgreSQL numbers the rows: an identity column, or the default of an old SERIAL."""
        return bool(self.identity) or (self.default is not None and self.default.startswith("nextval("))

    @property
    def is_filled(self) -> bool:
        """Whether rows have a value from the start where the column is added."""
        return self.expression is not None or self.generated or self.default is not None


@dataclass(frozen=True, slots=True)
class LiveIndex:
    """One index or key.

    `columns` are the key columns in order, expressions as text, INCLUDE columns left out. `plain` says that
    it is a valid B-tree over columns of all rows; `constraint` that a constraint owns it.
    """

    name: str
    columns: tuple[str, ...]
    unique: bool
    primary: bool
    constraint: bool
    deferrable: bool
    nulls_distinct: bool
    valid: bool
    plain: bool
    definition: str

    @property
    def form(self) -> str:
        """The definition from its method on: `btree (user_id) WHERE …`, the same whatever names and schemas are."""
        match = _INDEX_DEFINITION.match(self.definition)
        return self.definition[match.end() :] if match else self.definition


@dataclass(frozen=True, slots=True)
class LiveForeignKey:
    """One foreign key; `plain` says NO ACTION both ways, not deferrable, of the same schema."""

    name: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    plain: bool
    validated: bool
    definition: str


@dataclass(frozen=True, slots=True)
class LiveTable:
    """One live relation. `kind` is `table`, or what stands in its place (`view`, ...).

    `owned` says that the connected user may alter it.
    """

    schema: str
    name: str
    kind: str
    owned: bool
    comment: str
    columns: Mapping[str, LiveColumn]
    primary_key: LiveIndex | None
    uniques: tuple[LiveIndex, ...]
    foreign_keys: tuple[LiveForeignKey, ...]
    indexes: tuple[LiveIndex, ...]

    @property
    def keys(self) -> tuple[LiveIndex, ...]:
        """The primary key and what is unique beside it."""
        return (*([self.primary_key] if self.primary_key else []), *self.uniques)


@dataclass(frozen=True, slots=True)
class Structure:
    """The tables found in the connection's schema, and those found among the mirror's own."""

    schema: str
    tables: Mapping[str, LiveTable]
    bookkeeping: Mapping[str, LiveTable]


# to_jsonb() reaches the catalogue columns that older servers lack (indnullsnotdistinct came with 15).
_QUERY = sql.SQL("""\
SELECT current_schema(), live.*
FROM (SELECT 1) AS always
LEFT JOIN (
  SELECT
    n.nspname,
    c.relname,
    CASE c.relkind
      WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' ELSE 'table' END,
    pg_has_role(c.relowner, 'USAGE'),
    coalesce(obj_description(c.oid, 'pg_class'), ''),
    (
      SELECT jsonb_agg(jsonb_build_object(
        'name', a.attname,
        'type', format_type(a.atttypid, a.atttypmod),
        'nullable', NOT a.attnotnull,
        'default', CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END,
        'identity', a.attidentity,
        'expression', CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END,
        'virtual', a.attgenerated = 'v',
        'collation', CASE WHEN l.oid IS NULL THEN '[]' ELSE jsonb_build_array(ln.nspname, l.collname) END,
        'not_null_pending', EXISTS (
          SELECT FROM pg_catalog.pg_constraint AS k
          WHERE k.conrelid = c.oid
            AND k.contype = 'c'
            AND k.conkey = ARRAY[a.attnum]
            AND pg_get_constraintdef(k.oid) = format('CHECK ((%%I IS NOT NULL)) NOT VALID', a.attname)),
        'comment', coalesce(col_description(c.oid, a.attnum), '')
      ) ORDER BY a.attnum)
      FROM pg_catalog.pg_attribute AS a
      LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      LEFT JOIN pg_catalog.pg_collation AS l ON l.oid = a.attcollation
      LEFT JOIN pg_catalog.pg_namespace AS ln ON ln.oid = l.collnamespace
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    ),
    (
      SELECT jsonb_agg(jsonb_build_object(
        'name', ic.relname,
        'columns', (
          SELECT jsonb_agg(coalesce(a.attname, pg_get_indexdef(i.indexrelid, p.position::integer, true))
                           ORDER BY p.position)
          FROM unnest(i.indkey::smallint[]) WITH ORDINALITY AS p (attnum, position)
          LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = p.attnum
          WHERE p.position <= i.indnkeyatts),
        'unique', i.indisunique,
        'primary', i.indisprimary,
        'constraint', EXISTS (
          SELECT FROM pg_catalog.pg_constraint AS k
          WHERE k.conrelid = c.oid AND k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')),
        'deferrable', NOT i.indimmediate,
        'nulls_distinct', NOT coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false),
        'valid', i.indisvalid,
        'plain', am.amname = 'btree' AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL,
        'definition', pg_get_indexdef(i.indexrelid)
      ) ORDER BY ic.relname)
      FROM pg_catalog.pg_index AS i
      JOIN pg_catalog.pg_class AS ic ON ic.oid = i.indexrelid
      JOIN pg_catalog.pg_am AS am ON am.oid = ic.relam
      WHERE i.indrelid = c.oid
    ),
    (
      SELECT jsonb_agg(jsonb_build_object(
        'name', k.conname,
        'columns', (
          SELECT jsonb_agg(a.attname ORDER BY p.position)
          FROM unnest(k.conkey) WITH ORDINALITY AS p (attnum, position)
          JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = p.attnum),
        'parent', pc.relname,
        'parent_columns', (
          SELECT jsonb_agg(a.attname ORDER BY p.position)
          FROM unnest(k.confkey) WITH ORDINALITY AS p (attnum, position)
          JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = p.attnum),
        'plain', k.confupdtype = 'a' AND k.confdeltype = 'a' AND NOT k.condeferrable
                 AND pc.relnamespace = c.relnamespace,
        'validated', k.convalidated,
        'definition', pg_get_constraintdef(k.oid)
      ) ORDER BY k.conname)
      FROM pg_catalog.pg_constraint AS k
      JOIN pg_catalog.pg_class AS pc ON pc.oid = k.confrelid
      WHERE k.conrelid = c.oid AND k.contype = 'f'
    )
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
    AND (
      (n.nspname = current_schema() AND (%(tables)s::text[] IS NULL OR c.relname = ANY (%(tables)s::text[])))
      OR (n.nspname = 'smartdiet' AND c.relname = ANY (%(bookkeeping)s::text[])))
) AS live ON true""")


def read_structure(
    connection: psycopg.Connection,
    tables: Collection[str] | None = None,
    bookkeeping: Collection[str] = (),
) -> Structure:
    """Read tables of the connection's schema (all when `tables` is None) and named ones of schema
    `smartdiet`.

    Names without a live relation are missing from the answer. Writing out an index fails where a run of its table has
    just dropped it, to build it again after its rows: read the run's own table, or what nobody loads.

    Raises:
        ConfigurationError: the search path names no schema that exists.
    """
    parameters = {
        "tables": None if tables is None else list(tables),
        "bookkeeping": list(bookkeeping),
    }
    with connection.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(_QUERY, parameters).fetchall()
    schema = check_search_path(rows[0][0])
    found = [_build_table(*row[1:]) for row in rows if row[2] is not None]
    return Structure(
        schema=schema,
        tables={table.name: table for table in found if table.schema == schema},
        bookkeeping={table.name: table for table in found if table.schema == BOOKKEEPING_SCHEMA},
    )


def check_search_path(current_schema: str | None) -> str:
    """Return the connection's schema.

    Raises:
        ConfigurationError: the search path names no schema that exists.
    """
    if current_schema is None:
        raise ConfigurationError(
            "the PostgreSQL search_path names no schema that exists and may be used; create one or set it"
        )
    return current_schema


def read_live_table(connection: psycopg.Connection, name: str) -> LiveTable | None:
    """Read one table of the connection's schema, None where there is none of that name."""
    return read_structure(connection, [name]).tables.get(name)


def _build_table(
    schema: str,
    name: str,
    kind: str,
    owned: bool,
    comment: str,
    columns: list[dict[str, object]] | None,
    indexes: list[dict[str, object]] | None,
    foreign_keys: list[dict[str, object]] | None,
) -> LiveTable:
    live_columns = [LiveColumn(**_freeze(entry)) for entry in columns or ()]
    live_indexes = [LiveIndex(**_freeze(entry)) for entry in indexes or ()]
    return LiveTable(
        schema=schema,
        name=name,
        kind=kind,
        owned=owned,
        comment=comment,
        columns={column.name: column for column in live_columns},
        primary_key=next((index for index in live_indexes if index.primary), None),
        uniques=tuple(index for index in live_indexes if index.unique and not index.primary),
        foreign_keys=tuple(LiveForeignKey(**_freeze(entry)) for entry in foreign_keys or ()),
        indexes=tuple(index for index in live_indexes if not index.unique),
    )


def _freeze(entry: dict[str, object]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
