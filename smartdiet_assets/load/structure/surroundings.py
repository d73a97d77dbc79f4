"""What a new table or column is built among: the names that are taken, and the columns it is to point at.

It takes no lock on the tables.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psycopg
from psycopg import sql

from smartdiet_assets.errors import SchemaMismatchError
from smartdiet_assets.load.execution import fetch_all
from smartdiet_assets.load.structure.live import Collation, check_search_path
from smartdiet_assets.schema.model import Column, Table


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What there is around a declared table.

    Attributes:
        schema: the connection's schema.
        exists: whether the table, or what stands in its place, is there.
        relations: the names of all relations of the schema; an index may not bear one of them.
        collations: of the columns that foreign keys are to reference, by table and column; empty where it is no text.
        uniques: those of them that can be referenced.
        published: whether there is a publication, of this table perhaps, which takes no deletion from a table without
            a replica identity.
    """

    schema: str
    exists: bool
    relations: frozenset[str]
    collations: Mapping[tuple[str, str], Collation]
    uniques: frozenset[tuple[str, str]]
    published: bool


_QUERY = sql.SQL("""\
SELECT
  current_schema(),
  EXISTS (
    SELECT FROM pg_catalog.pg_class AS c
    WHERE c.relnamespace = here.oid AND c.relname = %(table)s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')),
  ARRAY(SELECT c.relname::text FROM pg_catalog.pg_class AS c WHERE c.relnamespace = here.oid),
  ARRAY(
    SELECT jsonb_build_array(
      c.relname,
      a.attname,
      CASE WHEN l.oid IS NULL THEN '[]' ELSE jsonb_build_array(ln.nspname, l.collname) END,
      EXISTS (
        SELECT FROM pg_catalog.pg_index AS i
        WHERE i.indrelid = c.oid
          AND i.indnkeyatts = 1
          AND i.indkey[0] = a.attnum
          AND i.indisunique
          AND i.indisvalid
          AND i.indimmediate
          AND i.indpred IS NULL))
    FROM unnest(%(parents)s::text[], %(columns)s::text[]) AS wanted (parent, column_name)
    JOIN pg_catalog.pg_class AS c ON c.relnamespace = here.oid AND c.relname = wanted.parent
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attname = wanted.column_name AND NOT a.attisdropped
    LEFT JOIN pg_catalog.pg_collation AS l ON l.oid = a.attcollation
    LEFT JOIN pg_catalog.pg_namespace AS ln ON ln.oid = l.collnamespace
  ),
  EXISTS (SELECT FROM pg_catalog.pg_publication)
FROM (
  SELECT (SELECT n.oid FROM pg_catalog.pg_namespace AS n WHERE n.nspname = current_schema())
) AS here (oid)""")


def read_surroundings(connection: psycopg.Connection, table: Table) -> Surroundings:
    """Read what there is around a declared table.

    Raises:
        ConfigurationError: the search path names no schema that exists.
    """
    keys = [column.foreign_key for column in table.columns if column.foreign_key is not None]
    parameters = {
        "table": table.name,
        "parents": [key.table for key in keys],
        "columns": [key.column for key in keys],
    }
    [(schema, exists, relations, referenced, published)] = fetch_all(connection, _QUERY, parameters)
    return Surroundings(
        schema=check_search_path(schema),
        exists=exists,
        relations=frozenset(relations),
        collations={(parent, column): tuple(collation) for parent, column, collation, _ in referenced},
        uniques=frozenset((parent, column) for parent, column, _, unique in referenced if unique),
        published=published,
    )


def check_parents(table: Table, columns: Iterable[Column], around: Surroundings) -> None:
    """Raise what PostgreSQL would say less clearly: a parent that cannot be referenced.

    Raises:
        SchemaMismatchError: names the parent.
    """
    for column in columns:
        key = column.foreign_key
        if key is None or key.table == table.name:
            continue
        if (key.table, key.column) not in around.uniques:
            raise SchemaMismatchError(
                key.table,
                [
                    f"column {key.column}, which {table.name}.{column.name} references, is missing or not "
                    f"unique; materialise {key.table} first, which adds a missing column"
                ],
            )
