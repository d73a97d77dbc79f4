"""Putting the new tables in the place of the old ones: the last moments of the target's transaction.

All of it happens at the commit, or none of it.
"""

from psycopg import errors

from smartdiet_assets.errors import LoadConflictError, RefreshError
from smartdiet_assets.load.records import RECORDS
from smartdiet_assets.load.structure.live import BOOKKEEPING_SCHEMA
from smartdiet_assets.refresh.postgres.build import Work, apply_schema_comment, make_views, move, waits
from smartdiet_assets.refresh.postgres.catalog import (
    STATEMENT_KINDS,
    TABLES,
    Key,
    read_dependencies,
)
from smartdiet_assets.refresh.postgres.dependencies import find_affected, sort_objects
from smartdiet_assets.refresh.postgres.selection import compose_about
from smartdiet_assets.refresh.postgres.sessions import (
    explain,
    lock_tables_exclusively,
    make,
    quote,
)

_NAMES = """\
SELECT 'pg_class'::regclass::oid::bigint, c.oid::bigint, c.oid::regclass::text
FROM pg_class AS c
WHERE c.oid = ANY(%(oids)s::bigint[])
UNION ALL
SELECT 'pg_type'::regclass::oid::bigint, t.oid::bigint, format_type(t.oid, NULL)
FROM pg_type AS t
WHERE t.oid = ANY(%(oids)s::bigint[])
UNION ALL
SELECT 'pg_proc'::regclass::oid::bigint, p.oid::bigint, p.oid::regprocedure::text
FROM pg_proc AS p
WHERE p.oid = ANY(%(oids)s::bigint[])
UNION ALL
SELECT 'pg_collation'::regclass::oid::bigint, l.oid::bigint, l.oid::regcollation::text
FROM pg_collation AS l
WHERE l.oid = ANY(%(oids)s::bigint[])"""
#: Where the table of a line is that does not tell, by the name the schema will have again.
_FIND_SCHEMA = """\
SELECT coalesce(r.schema_name, n.nspname) AS schema_name
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN unnest(%(renamed)s::text[], %(aside)s::text[]) AS r (schema_name, aside) ON r.aside = n.nspname
WHERE c.relname = kept.table_name AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
ORDER BY coalesce(r.schema_name, n.nspname) <> 'public', 1
LIMIT 1"""


def swap(work: Work, grants: list[tuple[Key, str]]) -> None:
    """Replace the old by the new; the caller commits.

    Args:
        grants: the statements that give the target's roles what they had, each with the object of the target.

    Raises:
        SmartdietError: readers did not go away, or something of the target does not fit the new tables.
    """
    target, theirs, selection = work.target, work.theirs, work.selection
    names = _name_live(work, selection.dropped | selection.remade | {pair[0] for pair in selection.references})
    tables = [
        names[key]
        for key in sorted(selection.dropped | {pair[0] for pair in selection.references})
        if key in names and theirs.objects[key].kind in TABLES
    ]
    lock_tables_exclusively(target, tables, work.progress.say, work.waits)
    _check_unchanged(work)
    _keep_records(work)
    _drop_old(work, names)
    for schema, aside in sorted(work.renamed.items()):
        for extension in sorted(selection.extensions):
            if work.ours.extensions[extension].schema == schema:
                statement = f"ALTER EXTENSION {quote(extension)} SET SCHEMA {quote(aside)}"
                make(target, statement, f"extension {extension}", "giving it back")
        move(target, schema, aside)
        make(target, f"DROP SCHEMA {quote(schema)}", schema, "putting the new tables into it")
        make(target, f"ALTER SCHEMA {quote(aside)} RENAME TO {quote(schema)}", schema, "putting it back")
        apply_schema_comment(work, schema)
    _make_rest(work)
    _make_again(work)
    kept = selection.dropped - selection.removed | selection.remade
    for key, statement in grants:
        if key in kept:
            make(target, statement, theirs.objects[key].label, "giving its roles their rights")


def _name_live(work: Work, keys: set[Key]) -> dict[Key, str]:
    """The names that objects of the target have within the transaction; those that are gone have none."""
    with work.target.cursor() as cursor:
        rows = cursor.execute(_NAMES.encode(), {"oids": [oid for _, oid in keys]}, prepare=False).fetchall()
    return {(row[0], row[1]): row[2] for row in rows if (row[0], row[1]) in keys}


def _check_unchanged(work: Work) -> None:
    """Refuse where somebody added something to the old tables meanwhile that would be dropped with them."""
    planned = work.selection
    work.theirs.dependencies = read_dependencies(work.target)
    affected = find_affected(work.theirs, planned.dropped)
    if affected.others or affected.remade - planned.remade or affected.references - planned.references:
        raise LoadConflictError(
            "somebody added a view, a foreign key or another object to the target's old tables meanwhile; nothing was "
            "written, try again"
        )


def _keep_records(work: Work) -> None:
    """Take the lines of the mirror's own tables about tables that are not copied along; the others' are replaced.

    Where only one side's lines tell schemas apart, the other's are those of the first schema that has the table.
    """
    schema = BOOKKEEPING_SCHEMA
    old = {found.name: found for found in work.theirs.objects.values() if found.schema == schema}
    new = {
        work.ours.objects[key].name: key for key in work.selection.created if work.ours.objects[key].schema == schema
    }
    for record in RECORDS:
        if record not in old:
            continue
        theirs = set(work.theirs.columns.get(old[record].key[1], ()))
        about = compose_about(theirs).format(schemas="%(schemas)s", names="%(names)s")
        if record not in new:
            place = work.renamed.get(schema, schema)
            _edit_records(work, f"DELETE FROM {quote(place, record)} WHERE {about}", record)
            continue
        ours = work.ours.columns[new[record][1]]
        columns = ", ".join(quote(name) for name in ours if name in theirs)
        kept = f"SELECT {columns} FROM {quote(work.renamed[schema], record)} WHERE NOT {about}"
        if "schema_name" in ours and "schema_name" not in theirs:
            columns = f"schema_name, {columns}"
            kept = (
                f"SELECT found.schema_name, kept.* FROM ({kept}) AS kept CROSS JOIN LATERAL ({_FIND_SCHEMA}) AS found"
            )
        _edit_records(work, f"INSERT INTO {quote(schema, record)} ({columns}) {kept} ON CONFLICT DO NOTHING", record)


def _edit_records(work: Work, statement: str, label: str) -> None:
    copied = work.selection.mirrored
    parameters = {
        "schemas": [schema for schema, _ in copied],
        "names": [name for _, name in copied],
        "renamed": list(work.renamed),
        "aside": list(work.renamed.values()),
    }
    try:
        work.target.execute(statement.encode(), parameters, prepare=False)
    except errors.Error as error:
        raise explain(error, "keeping its lines about other tables", label) from None


def _drop_old(work: Work, names: dict[Key, str]) -> None:
    """Drop what is replaced, removed or made again; that nothing else goes was checked."""
    objects = work.theirs.objects
    dropped = [key for key in sorted(work.selection.dropped | work.selection.remade) if key in names]
    tables = [names[key] for key in dropped if objects[key].kind in TABLES]
    if tables:
        make(work.target, f"DROP TABLE {', '.join(tables)} CASCADE", "the old tables", "dropping them")
    for key in dropped:
        found = objects[key]
        if found.kind not in TABLES and not found.implicit:
            statement = f"DROP {STATEMENT_KINDS[found.kind]} IF EXISTS {names[key]} CASCADE"
            make(work.target, statement, found.label, "dropping the old one")


def _make_rest(work: Work) -> None:
    """Make what needs tables that only the target has, now that all names are final."""
    make_views(work, work.selection.after)
    created = work.selection.created
    for attached in work.ours.attached("reference", created):
        if waits(work, attached):
            label = work.ours.objects[attached.owner].label
            needed = work.ours.relation(attached.needs) if attached.needs is not None else None
            try:
                work.target.execute(attached.statement.encode(), prepare=False)
            except errors.ForeignKeyViolation as error:
                raise RefreshError(
                    f"{label}: rows refer to {needed.label if needed else 'a table'} ({error.diag.constraint_name}), "
                    "which is not copied and has not all of them in the target: copy it too; nothing was written"
                ) from None
            except errors.Error as error:
                raise explain(error, "adding its foreign keys", label) from None
    for attached in work.ours.attached("rule", created):
        if waits(work, attached) or attached.owner in work.selection.after:
            make(work.target, attached.statement, work.ours.objects[attached.owner].label, "completing it")


def _make_again(work: Work) -> None:
    """Make the target's own views, functions and foreign keys again that the old tables took along."""
    theirs, selection = work.theirs, work.selection
    ordered = sort_objects([key for key in theirs.objects if key in selection.remade], theirs.dependencies)
    for key in ordered:
        found = theirs.objects[key]
        make(work.target, found.statement, found.label, "making the target's own again on the new tables")
        for attached in theirs.attached("key", {key}):
            make(work.target, attached.statement, found.label, "making its indexes again", over_rows=True)
        if found.kind == "materialized view" and found.populated:
            refresh = f"REFRESH MATERIALIZED VIEW {found.identity}"
            make(work.target, refresh, found.label, "filling it", over_rows=True)
    for attached in theirs.attached("rule", set(ordered)):
        make(work.target, attached.statement, theirs.objects[attached.owner].label, "making it again")
    tables = {pair[0] for pair in selection.references}
    gone = {oid for _, oid in selection.dropped}
    for attached in theirs.attached("reference", tables):
        if attached.needs not in gone:
            continue
        label = theirs.objects[attached.owner].label
        needed = theirs.relation(attached.needs) if attached.needs is not None else None
        try:
            work.target.execute(attached.statement.encode(), prepare=False)
        except errors.ForeignKeyViolation as error:
            raise RefreshError(
                f"{label}: this table of the target stays, and rows of it refer to rows of "
                f"{needed.label if needed else 'a table'} that the source has not ({error.diag.constraint_name}): copy "
                "it too, or remove it; nothing was written"
            ) from None
        except errors.Error as error:
            raise explain(error, "adding its foreign keys again", label) from None
