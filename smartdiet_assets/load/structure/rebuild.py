"""The bulk way's frame: what to drop before COPY into an empty table, and how to build it again, identically.

What could not be rebuilt exactly as it was, or belongs to somebody else, is left in place: slower, and still right.
"""

from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True)
class RebuildPlan:
    """Statements for before and after the COPY, each list in the order to run it.

    Attributes:
        locked: the tables they lock.
        frees: whether no unique key is left in place, at which the first duplicate would end the COPY.
    """

    drops: tuple[sql.Composed, ...]
    restores: tuple[sql.Composed, ...]
    locked: tuple[sql.Composable, ...] = ()
    frees: bool = True


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One key, index or foreign key that slows a COPY down.

    `kind` is `key` (primary or unique constraint), `index`, `foreign_key` (of the table), `child` (a
    foreign key of another table that points at it) or `identity` (the primary key tells publications which row
    was deleted). `pinned` says that it has to stay. `index_oid` is the
    index behind it, and `lock_order` the table a foreign key locks beside its own.
    """

    kind: str
    table_schema: str
    table_name: str
    name: str
    definition: str
    index_oid: int
    pinned: bool
    lock_order: str


# A dependency of type i or a goes away and comes back with its object; any other one (a view that groups by
# the primary key) forbids the drop. Foreign keys depend on the index they point at, and are judged one by
# one.
_QUERY = """\
WITH target AS (
  SELECT c.oid, c.relname, n.nspname
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  WHERE n.nspname = current_schema()
    AND c.relname = %(table)s
    AND c.relkind = 'r'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits AS h WHERE c.oid IN (h.inhparent, h.inhrelid))
)
SELECT
  CASE WHEN k.oid IS NULL THEN 'index' ELSE 'key' END AS kind,
  t.nspname AS table_schema,
  t.relname AS table_name,
  ic.relname AS name,
  coalesce(pg_get_constraintdef(k.oid), pg_get_indexdef(i.indexrelid)) AS definition,
  i.indexrelid::bigint AS index_oid,
  i.indisreplident
    OR i.indisclustered
    OR NOT i.indisvalid
    OR ic.reltablespace <> 0
    OR (k.oid IS NOT NULL AND ic.reloptions IS NOT NULL)
    OR coalesce(k.contype, 'u') NOT IN ('p', 'u')
    OR obj_description(i.indexrelid, 'pg_class') IS NOT NULL
    OR (k.oid IS NOT NULL AND obj_description(k.oid, 'pg_constraint') IS NOT NULL)
    OR EXISTS (
      SELECT FROM pg_catalog.pg_depend AS d
      WHERE d.deptype NOT IN ('i', 'a')
        AND (
          (d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = i.indexrelid)
          OR (d.refclassid = 'pg_catalog.pg_constraint'::regclass AND d.refobjid = k.oid))
        AND NOT (
          d.classid = 'pg_catalog.pg_constraint'::regclass
          AND EXISTS (SELECT FROM pg_catalog.pg_constraint AS f WHERE f.oid = d.objid AND f.contype = 'f'))
    ) AS pinned,
  '' AS lock_order
FROM target AS t
JOIN pg_catalog.pg_index AS i ON i.indrelid = t.oid
JOIN pg_catalog.pg_class AS ic ON ic.oid = i.indexrelid
LEFT JOIN pg_catalog.pg_constraint AS k
  ON k.conindid = i.indexrelid AND k.conrelid = t.oid AND k.contype IN ('p', 'u', 'x')
UNION ALL
SELECT
  CASE WHEN f.conrelid = t.oid THEN 'foreign_key' ELSE 'child' END,
  n.nspname,
  c.relname,
  f.conname,
  pg_get_constraintdef(f.oid),
  CASE WHEN f.confrelid = t.oid THEN f.conindid ELSE 0 END::bigint,
  f.conparentid <> 0
    OR c.relkind <> 'r'
    OR NOT pg_has_role(c.relowner, 'USAGE')
    OR NOT has_table_privilege(f.confrelid, 'REFERENCES')
    OR obj_description(f.oid, 'pg_constraint') IS NOT NULL,
  CASE WHEN f.conrelid = t.oid THEN f.confrelid::regclass::text ELSE c.relname END
FROM target AS t
JOIN pg_catalog.pg_constraint AS f ON f.contype = 'f' AND t.oid IN (f.conrelid, f.confrelid)
JOIN pg_catalog.pg_class AS c ON c.oid = f.conrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
UNION ALL
SELECT 'identity', t.nspname, t.relname, '', '', 0, false, ''
FROM target AS t
JOIN pg_catalog.pg_class AS c ON c.oid = t.oid
WHERE c.relreplident = 'd' AND EXISTS (SELECT FROM pg_catalog.pg_publication)"""


def read_rebuild_plan(connection: psycopg.Connection, table_name: str) -> RebuildPlan:
    """Read what stands in the way of a COPY into a table of the connection's schema, and compose its
    rebuilding.

    Both lists are empty for partitioned and inheriting tables.
    """
    with connection.cursor(row_factory=class_row(Obstacle)) as cursor:
        return compose_rebuild(cursor.execute(_QUERY, {"table": table_name}).fetchall())


def compose_rebuild(obstacles: list[Obstacle]) -> RebuildPlan:
    """Compose the drops and the restores: keys first, then indexes, own foreign keys, the children's."""
    identity = [obstacle for obstacle in obstacles if obstacle.kind == "identity"]
    obstacles = [obstacle for obstacle in obstacles if obstacle.kind != "identity"]
    pinned_indexes = {obstacle.index_oid for obstacle in obstacles if obstacle.pinned} - {0}
    loose = [
        obstacle
        for obstacle in obstacles
        if not obstacle.pinned and not (obstacle.kind != "foreign_key" and obstacle.index_oid in pinned_indexes)
    ]
    # One order for every run, so that two runs that build foreign keys to the same parents do not deadlock.
    loose.sort(key=lambda obstacle: (obstacle.lock_order, obstacle.table_name, obstacle.name))
    ranked = [
        obstacle for kind in ("key", "index", "foreign_key", "child") for obstacle in loose if obstacle.kind == kind
    ]
    foreign_keys = [obstacle for obstacle in ranked if obstacle.kind in ("child", "foreign_key")]
    others = [obstacle for obstacle in ranked if obstacle.kind in ("key", "index")]
    return RebuildPlan(
        drops=tuple(map(_compose_drop, [*foreign_keys, *others, *identity])),
        restores=tuple(map(_compose_restore, [*ranked, *identity])),
        locked=_list_locked(loose),
        # Of partitioned and inheriting tables nothing is known.
        frees=bool(obstacles) and not any(map(_is_unique, set(obstacles) - set(loose))),
    )


def _is_unique(obstacle: Obstacle) -> bool:
    return obstacle.kind == "key" or obstacle.definition.startswith("CREATE UNIQUE")


def _list_locked(obstacles: list[Obstacle]) -> tuple[sql.Composable, ...]:
    tables: dict[str, sql.Composable] = {}
    for obstacle in obstacles:
        table = sql.Identifier(obstacle.table_schema, obstacle.table_name)
        tables[table.as_string()] = table
        if obstacle.kind == "foreign_key":
            tables[obstacle.lock_order] = sql.SQL(obstacle.lock_order)
    return tuple(tables.values())


def _compose_drop(obstacle: Obstacle) -> sql.Composed:
    if obstacle.kind == "identity":
        return _compose_identity(obstacle, "FULL")
    if obstacle.kind == "index":
        return sql.SQL("DROP INDEX {}").format(sql.Identifier(obstacle.table_schema, obstacle.name))
    return sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(
        sql.Identifier(obstacle.table_schema, obstacle.table_name), sql.Identifier(obstacle.name)
    )


def _compose_identity(obstacle: Obstacle, identity: LiteralString) -> sql.Composed:
    return sql.SQL("ALTER TABLE {} REPLICA IDENTITY {}").format(
        sql.Identifier(obstacle.table_schema, obstacle.table_name), sql.SQL(identity)
    )


def _compose_restore(obstacle: Obstacle) -> sql.Composed:
    if obstacle.kind == "identity":
        return _compose_identity(obstacle, "DEFAULT")
    if obstacle.kind == "index":
        return sql.Composed([sql.SQL(obstacle.definition)])
    return sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(
        sql.Identifier(obstacle.table_schema, obstacle.table_name),
        sql.Identifier(obstacle.name),
        sql.SQL(obstacle.definition),
    )
