"""`smartdiet refresh mongo` and `smartdiet refresh postgres`: their options, and what both do with them.

What only one of them takes stands at its command.
"""

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from smartdiet_assets.cli.session import Session
from smartdiet_assets.errors import SmartdietError

if TYPE_CHECKING:
    from smartdiet_assets.refresh.running import Refresh
    from smartdiet_assets.resources.variable_kinds import Place

Command = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Request:
    """What both commands can be asked."""

    to: "Place"
    target_name: str | None
    dry_run: bool
    as_json: bool


def _takes_request(default: "Place") -> Callable[[Command], Command]:
    """Give a command the options of both, as one `Request`."""

    def decorate(command: Command) -> Command:
        @click.option(
            "--to",
            type=click.Choice(["local", "remote"]),
            default=default,
            show_default=True,
            help="The database that is written over; the other one is read.",
        )
        @click.option(
            "--target-name",
            metavar="NAME",
            help="The name of the database that is written over. Must be given where it is remote or on another host.",
        )
        @click.option("--dry-run", is_flag=True, help="Show what would be done; write nothing.")
        @click.option("--json", "as_json", is_flag=True, help="Print one JSON object; the plan goes to stderr.")
        @wraps(command)
        def run(
            *arguments: Any, to: "Place", target_name: str | None, dry_run: bool, as_json: bool, **own: Any
        ) -> None:
            command(*arguments, request=Request(to, target_name, dry_run, as_json), **own)

        return run

    return decorate


@click.group(short_help="Copy a whole database over another one.")
def refresh() -> None:
    """Copy a whole database over another one: MongoDB from remote to local, PostgreSQL from local to remote.

    The target is shown first. Everything is copied into new collections or tables that are swapped in at the end, so
    that an interrupted refresh leaves the old data whole. The source is only read.
    """


@refresh.command()
@_takes_request("local")
@click.option("--include", multiple=True, metavar="COLLECTION", help="Only these: names or patterns, with commas.")
@click.option("--exclude", multiple=True, metavar="COLLECTION", help="Not these; they stay as they are in the target.")
@click.option(
    "--sample",
    type=click.FloatRange(0, 100, min_open=True),
    metavar="PERCENT",
    help="Copy this share of each collection, and every document that a copied one refers to.",
)
@click.pass_obj
def mongo(
    session: Session, request: Request, include: tuple[str, ...], exclude: tuple[str, ...], sample: float | None
) -> None:
    """Copy every collection of the remote MongoDB database into the local one, its indexes and options included."""
    from smartdiet_assets.refresh.mongo.refresh import open_mongo_refresh
    from smartdiet_assets.refresh.patterns import split_names

    opened = open_mongo_refresh(
        session.schema,
        session.environment,
        to=request.to,
        includes=split_names(include),
        excludes=split_names(exclude),
        sample=sample,
    )
    _carry_out(opened, request)


@refresh.command()
@_takes_request("remote")
@click.option("--include", multiple=True, metavar="TABLE", help="Only these tables, with what they need.")
@click.option("--exclude", multiple=True, metavar="TABLE", help="Not these; they stay as they are in the target.")
@click.option("--include-schema", multiple=True, metavar="SCHEMA", help="Only these schemas.")
@click.option("--exclude-schema", multiple=True, metavar="SCHEMA", help="Not these.")
@click.option("--exclude-data", multiple=True, metavar="TABLE", help="Make these tables, and leave them empty.")
@click.option(
    "--sample",
    type=click.FloatRange(0, 100, min_open=True),
    metavar="PERCENT",
    help="Copy this share of each table, and every row that a copied one refers to.",
)
@click.option("--remove-extra", is_flag=True, help="Remove from the target what the source does not have.")
@click.pass_obj
def postgres(
    session: Session, /, request: Request, sample: float | None, remove_extra: bool, **names: tuple[str, ...]
) -> None:
    """Copy every table of the local PostgreSQL database into the remote one, with all that belongs to them.

    Lists are names or patterns with commas, of tables with or without their schema; without an option, the variables
    POSTGRES_INCLUDE_TABLES, POSTGRES_EXCLUDE_TABLES, POSTGRES_INCLUDE_SCHEMAS, POSTGRES_EXCLUDE_SCHEMAS,
    POSTGRES_EXCLUDE_DATA_TABLES and POSTGRES_DATA_SAMPLE_PERCENT hold.
    """
    from smartdiet_assets.refresh.patterns import split_names
    from smartdiet_assets.refresh.postgres.refresh import open_postgres_refresh

    opened = open_postgres_refresh(
        session.environment,
        to=request.to,
        include_tables=split_names(names["include"]),
        exclude_tables=split_names(names["exclude"]),
        include_schemas=split_names(names["include_schema"]),
        exclude_schemas=split_names(names["exclude_schema"]),
        exclude_data=split_names(names["exclude_data"]),
        sample=sample,
        remove_extra=remove_extra,
    )
    _carry_out(opened, request)


def _carry_out(opened: "AbstractContextManager[Refresh]", request: Request) -> None:
    """Plan, show, guard and run a refresh; exit 1 where it failed, 2 where it was refused, 130 where interrupted."""
    from smartdiet_assets.cli.refresh_report import print_outcome, print_plan
    from smartdiet_assets.cli.reports import open_console
    from smartdiet_assets.refresh.progress import show_refresh
    from smartdiet_assets.refresh.running import prepare_refresh, run_refresh

    errors = open_console(errors=True)
    console = errors if request.as_json else open_console()
    try:
        with opened as refresh:
            plan = prepare_refresh(
                refresh,
                lambda plan: print_plan(console, plan),
                target_name=request.target_name,
                dry_run=request.dry_run,
            )
            try:
                with show_refresh(errors) as progress:
                    outcome = run_refresh(refresh, plan, progress, dry_run=request.dry_run)
            except SmartdietError as error:
                if request.as_json:
                    click.echo(json.dumps({"error": str(error)}))
                errors.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
                sys.exit(1)
    except KeyboardInterrupt:
        errors.print("Interrupted; the target is as it was, unless the swap had begun: then the next refresh ends it.")
        sys.exit(130)
    if request.as_json:
        click.echo(json.dumps(outcome.as_json()))
    else:
        print_outcome(console, outcome)
