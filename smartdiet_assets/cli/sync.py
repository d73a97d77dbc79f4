"""`smartdiet sync`."""

import json
import sys
from datetime import datetime
from functools import partial

import click

from smartdiet_assets.cli.session import Session, find_unreadable
from smartdiet_assets.errors import ConfigurationError


@click.command()
@click.argument("tables", nargs=-1)
@click.option("--since", metavar="DATE", help="Also read documents dated from DATE on (ISO, UTC).")
@click.option("--full", is_flag=True, help="Read every document, not only what changed.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.pass_obj
def sync(session: Session, tables: tuple[str, ...], since: str | None, full: bool, as_json: bool) -> None:
    """Mirror all tables, or TABLES, parents first.

    Exits 1 if a table failed (the others still run), 2 if nothing could be run at all.
    """
    from smartdiet_assets.assets.instance.opening import open_instance
    from smartdiet_assets.assets.sync import TableOutcome, leave_out_matomo, run_sync
    from smartdiet_assets.cli.connections import connect_postgres
    from smartdiet_assets.cli.pruning import prune_behind_sync
    from smartdiet_assets.cli.reports import (
        build_sync_grid,
        open_console,
        print_behind,
        print_failures,
        print_grid,
        show_progress,
    )
    from smartdiet_assets.definitions import build_definitions

    if since is not None:
        _check_date(since)
    selection = session.pick(tables)
    errors = open_console(errors=True)
    if not tables:
        selection = leave_out_matomo(session.schema, session.environment, selection, errors)
    unreadable = find_unreadable(session, selection)
    selection = [name for name in selection if name not in unreadable]
    definitions = build_definitions(session.schema, session.environment)
    with open_instance(session.config_folder) as instance:
        try:
            with show_progress(errors):
                outcome = run_sync(
                    definitions,
                    session.schema,
                    instance,
                    partial(connect_postgres, session.environment),
                    tables=selection,
                    since=since,
                    full=full,
                )
        except KeyboardInterrupt:
            errors.print("Interrupted; the tables that were finished stay as they are.")
            sys.exit(130)
        outcome.tables.update({name: TableOutcome(error=fault) for name, fault in unreadable.items()})
        if as_json:
            click.echo(json.dumps(outcome.as_json()))
        else:
            print_grid(open_console(), build_sync_grid(outcome))
        print_behind(errors, outcome.behind)
        print_failures(errors, outcome.errors)
        # What was asked for is said by now.
        prune_behind_sync(instance, session.schema, session.environment, errors)
    sys.exit(1 if outcome.failed else 0)


def _check_date(text: str) -> None:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError("--since must be an ISO date such as 2024-01-01") from None
