"""Making the new tables, all in the target's one transaction, beside the old ones that everybody still reads.

The old schemas are renamed within the transaction, and new ones of the same names made: the statements of the source
then mean the new objects, without a change. Nobody else sees either before the commit, nor is anybody held up.
"""

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import Connection, errors, sql

from smartdiet_assets.load.structure.naming import build_name
from smartdiet_assets.refresh.plan import CopiedItem
from smartdiet_assets.refresh.postgres.catalog import (
    TABLES,
    VIEWS,
    Attachment,
    Catalog,
    CatalogObject,
    Key,
)
from smartdiet_assets.refresh.postgres.copy import compose_copy_in, compose_copy_out, copy_rows
from smartdiet_assets.refresh.postgres.dependencies import find_dependents, sort_objects
from smartdiet_assets.refresh.postgres.selection import Selection
from smartdiet_assets.refresh.postgres.sessions import Waits, explain, fetch, make, quote
from smartdiet_assets.refresh.progress import Progress


@dataclass(slots=True)
class Work:
    """A refresh under way.

    Attributes:
        renamed: the names that the target's old schemas have within the transaction.
        queries: of a table whose rows are not all copied, the query that reads the others.
    """

    source: Connection
    target: Connection
    ours: Catalog
    theirs: Catalog
    selection: Selection
    progress: Progress
    waits: Waits
    queries: dict[Key, str] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    copied: dict[Key, CopiedItem] = field(default_factory=dict)

    def sorted(self, keys: Collection[Key]) -> list[CatalogObject]:
        """Objects of the source in the order they can be made."""
        given = [key for key in self.ours.objects if key in keys]
        return [self.ours.objects[key] for key in sort_objects(given, self.ours.dependencies)]

    def of_kind(self, kinds: Collection[str]) -> list[CatalogObject]:
        """Objects of the source that are made, of some kinds."""
        return [self.ours.objects[key] for key in self.ours.objects if key in self.selection.created
                and self.ours.objects[key].kind in kinds]  # fmt: skip


def open_schemas(work: Work) -> None:
    """Add missing extensions, put the old schemas aside, and make new ones with what stays the same in them."""
    ours, theirs, target = work.ours, work.theirs, work.target
    for name in work.selection.new_schemas:
        make(target, f"CREATE SCHEMA {quote(name)}", name)
        apply_schema_comment(work, name)
    for name in sorted(work.selection.extensions - set(theirs.extensions)):
        schema = ours.extensions[name].schema
        make(target, f"CREATE EXTENSION {quote(name)} WITH SCHEMA {quote(schema)}", f"extension {name}")
    used = {ours.objects[key].schema for key in work.selection.created} & set(theirs.schemas)
    for schema in sorted(used):
        aside = build_name([schema], "smartdiet_refresh", taken=theirs.schemas)
        make(target, f"ALTER SCHEMA {quote(schema)} RENAME TO {quote(aside)}", f"schema {schema}", "putting it aside")
        make(target, f"CREATE SCHEMA {quote(schema)}", f"schema {schema}")
        work.renamed[schema] = aside
    for name in sorted(work.selection.extensions):
        schema = ours.extensions[name].schema
        if schema in work.renamed:
            make(target, f"ALTER EXTENSION {quote(name)} SET SCHEMA {quote(schema)}", f"extension {name}", "lending it")
    for key in sorted(work.selection.borrowed):
        schema = theirs.objects[key].schema
        if schema in work.renamed:
            move(target, work.renamed[schema], schema, {key[1]})


def apply_schema_comment(work: Work, schema: str) -> None:
    """Give a schema of the target the source's comment, where it has one."""
    if comment := work.ours.schema_comments.get(schema):
        statement = sql.SQL("COMMENT ON SCHEMA {} IS {}").format(sql.Identifier(schema), sql.Literal(comment))
        work.target.execute(statement, prepare=False)


#: The statements that move what is in a schema into another one; extensions move as a whole. A function is named by
#: its argument types, so functions go first.
_MOVES = """\
WITH chosen AS (
  SELECT n.oid AS namespace
  FROM pg_namespace AS n
  WHERE n.nspname = %(schema)s
),
movable AS (
  SELECT 1 AS rank, 'pg_class'::regclass AS catalogue, c.oid, format('TABLE %%s', c.oid::regclass) AS name
  FROM pg_class AS c
  WHERE c.relnamespace = (SELECT namespace FROM chosen) AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
    AND NOT EXISTS (
      SELECT FROM pg_depend AS d
      WHERE c.relkind = 'S' AND d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
        AND d.refclassid = 'pg_class'::regclass
    )
  UNION ALL
  SELECT 2, 'pg_type'::regclass, t.oid, format('TYPE %%s', format_type(t.oid, NULL))
  FROM pg_type AS t
  LEFT JOIN pg_class AS c ON c.oid = t.typrelid
  WHERE t.typnamespace = (SELECT namespace FROM chosen) AND t.typtype IN ('e', 'd', 'r', 'c', 'm')
    AND (t.typtype <> 'c' OR c.relkind = 'c')
  UNION ALL
  SELECT 0, 'pg_proc'::regclass, p.oid, format('ROUTINE %%s', p.oid::regprocedure)
  FROM pg_proc AS p
  WHERE p.pronamespace = (SELECT namespace FROM chosen)
  UNION ALL
  SELECT 4, 'pg_collation'::regclass, l.oid, format('COLLATION %%s', l.oid::regcollation)
  FROM pg_collation AS l
  WHERE l.collnamespace = (SELECT namespace FROM chosen)
  UNION ALL
  SELECT 5, 'pg_statistic_ext'::regclass, s.oid, format('STATISTICS %%I.%%I', %(schema)s::text, s.stxname)
  FROM pg_statistic_ext AS s
  WHERE s.stxnamespace = (SELECT namespace FROM chosen)
)
SELECT m.oid::bigint, format('ALTER %%s SET SCHEMA %%I', m.name, %(to)s::text)
FROM movable AS m
WHERE NOT EXISTS (
  SELECT FROM pg_depend AS e WHERE e.classid = m.catalogue AND e.objid = m.oid AND e.deptype = 'e'
)
ORDER BY m.rank, m.oid"""


def move(target: Connection, schema: str, to: str, oids: Collection[int] | None = None) -> None:
    """Move what is in a schema, or some of it, into another one."""
    for oid, statement in _fetch_moves(target, schema, to):
        if oids is None or oid in oids:
            make(target, statement, to, "moving what is in it")


def _fetch_moves(target: Connection, schema: str, to: str) -> list[tuple[Any, ...]]:
    with target.cursor() as cursor:
        return cursor.execute(_MOVES.encode(), {"schema": schema, "to": to}, prepare=False).fetchall()


def make_tables(work: Work) -> set[Key]:
    """Make types, functions, sequences and tables, bare, and what they have before their rows come.

    Returns:
        What is left to be made when the tables are complete: views, and what needs one.
    """
    created = work.selection.created - work.selection.after
    views = {key for key in created if work.ours.objects[key].kind in VIEWS}
    late = views | (find_dependents(views, work.ours.dependencies, ("column",)) & created)
    for found in work.sorted(created - late):
        if not found.implicit:
            make(work.target, found.statement, found.label)
    run_attachments(work, "shape", created - late)
    return late


def run_attachments(work: Work, phase: str, owners: set[Key]) -> None:
    """Run the statements of a phase that belong to some objects and need nothing that is not there yet."""
    for attached in work.ours.attached(phase, owners):
        if not waits(work, attached):
            label = work.ours.objects[attached.owner].label
            make(work.target, attached.statement, label, _ACTIONS[phase], over_rows=phase in ("key", "reference"))


_ACTIONS = {
    "shape": "completing it",
    "key": "building its keys and indexes",
    "reference": "checking its foreign keys",
    "rule": "adding its rules, triggers and comments",
}


def waits(work: Work, attached: Attachment) -> bool:
    """Whether a statement needs a relation that only the target has, which is in its place after the swap."""
    return attached.needs is not None and (work.ours.class_catalogue, attached.needs) not in work.selection.created


def check_remade(work: Work) -> None:
    """Try the target's own views on the new tables before any row is copied: a missing column shows now.

    Raises:
        TerminalError: a view does not fit any more.
    """
    keys = [key for key in work.theirs.objects if key in work.selection.remade]
    for key in sort_objects(keys, work.theirs.dependencies):
        found = work.theirs.objects[key]
        if found.schema in work.selection.new_schemas:
            continue
        try:
            with work.target.transaction(force_rollback=True):
                work.target.execute(found.statement.encode(), prepare=False)
        except (errors.UndefinedColumn, errors.DatatypeMismatch) as error:
            raise explain(error, f"making the target's {found.kind} again on the new tables", found.label) from None
        except psycopg.Error:
            # It needs a key, or something of the old schema: that is there at the swap.
            continue


def copy_tables(work: Work) -> None:
    """Copy the rows of every table, then take the values of the sequences, which are never behind the rows."""
    columns = work.ours.columns
    for table in work.of_kind(("table",)):
        item = work.copied[table.key]
        if table.key in work.selection.empty:
            continue
        started = time.perf_counter()
        work.progress.begin(table.label, table.rows if table.key not in work.queries else None)
        oid = table.key[1]
        binary = oid in work.ours.binary or oid not in columns
        names = columns.get(oid, [])

        def note(rows: int, size: int, item: CopiedItem = item, label: str = table.label) -> None:
            item.size += size
            item.count += rows
            work.progress.advance(label, rows, size)

        try:
            item.count = copy_rows(
                work.source,
                work.target,
                compose_copy_out(table.identity, names, binary=binary, query=work.queries.get(table.key, "")),
                compose_copy_in(table.identity, names, binary=binary),
                note,
                binary=binary,
            )
        except psycopg.Error as error:
            raise explain(error, "copying the rows", table.label, table.identity) from None
        item.seconds = time.perf_counter() - started
        work.progress.finish(table.label)
    set_sequences(work)


def set_sequences(work: Work) -> None:
    sequences = work.of_kind(("sequence",))
    for found in sequences:
        row = fetch(work.source, f"SELECT last_value, is_called FROM {found.identity}")[0]
        work.target.execute(
            "SELECT pg_catalog.setval(%s::regclass, %s, %s)", [found.identity, row[0], row[1]], prepare=False
        )


def complete_tables(work: Work, late: set[Key]) -> None:
    """Build keys, indexes and foreign keys, the planner's statistics, views, and at last rules and triggers."""
    created = work.selection.created - work.selection.after
    early = created - late
    work.progress.say("Building keys and indexes")
    run_attachments(work, "key", early)
    tables = [found.identity for found in work.sorted(early) if found.kind in TABLES]
    if tables:
        make(work.target, f"ANALYZE {', '.join(tables)}", "the new tables", "analysing them", over_rows=True)
    work.progress.say("Checking foreign keys")
    run_attachments(work, "reference", early)
    make_views(work, late)
    run_attachments(work, "rule", created)


def make_views(work: Work, late: Iterable[Key]) -> None:
    """Make views and what needs one, materialized ones with their rows and indexes."""
    for found in work.sorted(set(late)):
        if found.implicit:
            continue
        make(work.target, found.statement, found.label)
        run_attachments(work, "key", {found.key})
        if found.kind == "materialized view" and found.populated:
            refresh = f"REFRESH MATERIALIZED VIEW {found.identity}"
            make(work.target, refresh, found.label, "filling it", over_rows=True)
            make(work.target, f"ANALYZE {found.identity}", found.label, "analysing it", over_rows=True)
