"""`smartdiet compare`."""

import json
import os
import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import click

from smartdiet_assets.cli.session import Session, leave_out_unnamed
from smartdiet_assets.errors import ConfigurationError

if TYPE_CHECKING:
    from smartdiet_assets.compare.running import Outcome
    from smartdiet_assets.compare.sides import Side


@click.command(short_help="Compare YAML, PostgreSQL servers, MongoDB; prints SQL.")
@click.argument("left")
@click.argument("right")
@click.argument("tables", nargs=-1)
@click.option("--data", is_flag=True, help="Compare rows too; with mongo as a side, documents with the rows they are.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--sql", "as_sql", is_flag=True, help="Print the statements that bring the right side to the left one.")
@click.option("--drop", is_flag=True, help="With --sql: what may lose data as statements too, not as comments.")
@click.option("--undeclared", is_flag=True, help="With schema as a side: also what the database has beyond it.")
@click.option("--in-schema", "namespace", metavar="NAME", help="The PostgreSQL schema to look at, such as smartdiet.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="With --data: how many keys of a table to list of each kind; 0 lists all.",
)
@click.pass_obj
def compare(
    session: Session,
    left: str,
    right: str,
    tables: tuple[str, ...],
    data: bool,
    as_json: bool,
    as_sql: bool,
    drop: bool,
    undeclared: bool,
    namespace: str | None,
    limit: int,
) -> None:
    """Compare two of: the declared tables, PostgreSQL servers, and MongoDB with its mirror. Changes nothing.

    LEFT and RIGHT are `schema` (the YAML), `local` or `remote` (PostgreSQL), `env:VARIABLE` (a variable that holds
    postgresql://...), such a URL itself (which shells keep in their history), or, with --data, `mongo`, `mongo:local`
    or `mongo:remote`. TABLES restricts it to those.

    Exits 0 where they are equal, 1 where they differ, 2 where something could not be compared.
    """
    from smartdiet_assets.cli.reports import open_console, show_progress
    from smartdiet_assets.compare.running import compare_structure_sides
    from smartdiet_assets.compare.sides import parse_pair

    sides = parse_pair(left, right, session.environment, os.environ)
    kinds = {side.kind for side in sides}
    _check_options(kinds, sides[1].kind == "schema", data=data, as_sql=as_sql, as_json=as_json, drop=drop)
    keys = limit or None
    errors = open_console(errors=True)
    selection = None
    if kinds != {"postgres"}:
        selection = session.pick(tables)
        if not tables:
            selection = leave_out_unnamed(session.schema, session.environment, selection, errors)
    try:
        with show_progress(errors):
            if "mongo" in kinds:
                outcome = _compare_documents(session, sides, selection or [], picked=bool(tables), limit=keys)
            else:
                left_out = () if tables or selection is None else set(session.schema.tables) - set(selection)
                outcome = compare_structure_sides(
                    *sides,
                    session.schema if "schema" in kinds else None,
                    tables or None,
                    leave_out=left_out,
                    data=data,
                    undeclared=undeclared,
                    namespace=namespace,
                    limit=keys,
                    report=_report,
                )
    except KeyboardInterrupt:
        errors.print("Interrupted; nothing was changed.")
        sys.exit(130)
    _print(outcome, as_sql=as_sql, as_json=as_json, drop=drop, limit=keys)
    sys.exit(1 if outcome.differs else 2 if outcome.faulty else 0)


def _print(outcome: "Outcome", *, as_sql: bool, as_json: bool, drop: bool, limit: int | None) -> None:
    from smartdiet_assets.cli.reports import open_console
    from smartdiet_assets.compare.printing import build_json, print_outcome
    from smartdiet_assets.compare.reconciling import compose_script

    if as_sql and outcome.structure is not None:
        click.echo(compose_script(outcome.structure, drop=drop), nl=outcome.differs)
    elif as_json:
        click.echo(json.dumps(build_json(outcome)))
    else:
        print_outcome(open_console(), outcome, limit=limit)


def _compare_documents(
    session: Session, sides: "tuple[Side, Side]", selection: Sequence[str], *, picked: bool, limit: int | None
) -> "Outcome":
    from smartdiet_assets.compare.running import compare_with_documents

    if not picked:
        selection = [name for name in selection if session.schema.tables[name].source_kind.has_documents]
    return compare_with_documents(*sides, session.schema, session.environment, selection, limit=limit, report=_report)


def _check_options(
    kinds: Collection[str], schema_last: bool, *, data: bool, as_sql: bool, as_json: bool, drop: bool
) -> None:
    if "mongo" in kinds and not data:
        raise ConfigurationError("MongoDB has no structure to compare; --data compares its documents with their rows")
    if "mongo" in kinds and "schema" in kinds:
        raise ConfigurationError("the documents of MongoDB are compared with a mirror; name local, remote or a URL")
    if data and "schema" in kinds:
        raise ConfigurationError("a schema file has no rows; --data compares servers")
    if as_sql and (data or as_json):
        raise ConfigurationError("--sql prints statements for structures, and nothing else; leave out the other option")
    if as_sql and schema_last:
        raise ConfigurationError("--sql changes the right side, which must be a server: smartdiet compare schema local")
    if drop and not as_sql:
        raise ConfigurationError("--drop belongs to --sql")


def _report(table: str, number: int) -> None:
    from smartdiet_assets.mirror.progress import progress_log

    extra = {"table": table, "documents_read": number, "finished": False}
    progress_log.info("%s: %d compared", table, number, extra=extra)
