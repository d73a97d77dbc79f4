"""`smartdiet sync`."""

import json
import sys
from typing import TYPE_CHECKING

import click

from smartdiet_assets.cli.session import Session, find_unreadable, leave_out_unnamed

if TYPE_CHECKING:
    from smartdiet_assets.mirror.outcome import SyncOutcome


@click.command()
@click.argument("tables", nargs=-1)
@click.option("--since", metavar="DATE", help="Also read documents dated from DATE on (ISO, UTC).")
@click.option("--full", is_flag=True, help="Read every document, not only what changed.")
@click.option("--rekey", is_flag=True, help="Make pseudonyms of another key anew: read those tables again.")
@click.option("--dry-run", is_flag=True, help="Say what it would create, alter, read and write, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option("--wait", is_flag=True, help="End when Dagit shows the run; otherwise it does so seconds later.")
@click.pass_obj
def sync(
    session: Session,
    tables: tuple[str, ...],
    since: str | None,
    full: bool,
    rekey: bool,
    dry_run: bool,
    as_json: bool,
    wait: bool,
) -> None:
    """Mirror all tables, or TABLES, parents first.

    Exits 1 if a table failed (the others still run), 2 if nothing could be run at all; with --dry-run, 1 if a table
    would fail.
    """
    from smartdiet_assets.cli.reports import open_console, show_progress
    from smartdiet_assets.extract.window import WindowRequest, read_instant
    from smartdiet_assets.mirror.outcome import TableOutcome
    from smartdiet_assets.mirror.sync import run_sync

    start = read_instant("--since", since)
    selection = session.pick(tables)
    errors = open_console(errors=True)
    if not tables:
        selection = leave_out_unnamed(session.schema, session.environment, selection, errors)
    unreadable = find_unreadable(session, selection)
    selection = [name for name in selection if name not in unreadable]
    if dry_run:
        from smartdiet_assets.cli.dry_run import print_forecasts

        request = WindowRequest("full") if full else WindowRequest("newest", since=start)
        sys.exit(1 if print_forecasts(session, selection, unreadable, request, rekey=rekey, as_json=as_json) else 0)
    recorder = session.open_recorder()
    try:
        with show_progress(errors), recorder.following():
            outcome = run_sync(
                session.schema,
                session.environment,
                tables=selection,
                since=since,
                full=full,
                rekey=rekey,
                records=recorder.spool,
            )
    except KeyboardInterrupt:
        errors.print("Interrupted; the tables that were finished stay as they are.")
        recorder.finish(wait=wait)
        sys.exit(130)
    except Exception:
        recorder.finish(wait=wait)
        raise
    outcome.tables.update({name: TableOutcome(error=fault) for name, fault in unreadable.items()})
    try:
        _print_outcome(outcome, as_json)
    finally:
        # What was asked for is said by now, or nobody takes it.
        sentence = recorder.finish(wait=wait)
    if sentence:
        errors.print(sentence, highlight=False, markup=False)
    sys.exit(1 if outcome.failed else 0)


def _print_outcome(outcome: "SyncOutcome", as_json: bool) -> None:
    """Print what was done on the output, and what is to be known of it among the errors."""
    from smartdiet_assets.cli.drift import encode_drift, print_drift
    from smartdiet_assets.cli.reports import build_sync_grid, open_console, print_behind, print_failures, print_grid

    errors = open_console(errors=True)
    if as_json:
        click.echo(json.dumps({**outcome.as_json(), **encode_drift(outcome.drift)}))
    else:
        print_grid(open_console(), build_sync_grid(outcome))
    print_behind(errors, outcome.behind)
    print_failures(errors, outcome.errors)
    print_drift(errors, outcome.drift)
