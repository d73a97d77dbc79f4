"""`smartdiet reconcile`."""

import json
import sys

import click

from smartdiet_assets.cli.session import Session, find_unreadable, leave_out_unnamed


@click.command(short_help="Remove or mark rows whose documents are gone.")
@click.argument("tables", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Count what would be done, also where on_delete is keep; change nothing.")
@click.option("--force", is_flag=True, help="Also remove more than max_deletions, and where the source is empty.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.pass_obj
def reconcile(session: Session, tables: tuple[str, ...], dry_run: bool, force: bool, as_json: bool) -> None:
    """Remove or mark the rows whose documents are gone, by each table's on_delete.

    Reads only the ids of the documents. Exits 1 if a table was refused or failed (the others still run), 2 if nothing
    could be run at all.
    """
    from smartdiet_assets.cli.reconcile_run import run_reconcile
    from smartdiet_assets.cli.reports import (
        build_reconcile_grid,
        open_console,
        print_failures,
        print_grid,
        show_progress,
    )
    from smartdiet_assets.load.removal.reconcile import Reconciliation
    from smartdiet_assets.mirror.reconciliation import TableReconciliation

    selection = session.pick(tables)
    errors = open_console(errors=True)
    if not tables:
        selection = leave_out_unnamed(session.schema, session.environment, selection, errors)
    unreadable = find_unreadable(session, selection)
    try:
        with show_progress(errors):
            outcome = run_reconcile(
                session.schema,
                session.environment,
                [name for name in selection if name not in unreadable],
                dry_run=dry_run,
                force=force,
            )
    except KeyboardInterrupt:
        errors.print("Interrupted; the tables that were finished stay as they are.")
        sys.exit(130)
    outcome.tables.update(
        {name: TableReconciliation(Reconciliation(), error=fault) for name, fault in unreadable.items()}
    )
    if as_json:
        click.echo(json.dumps(outcome.as_json()))
    else:
        print_grid(open_console(), build_reconcile_grid(outcome))
    print_failures(errors, outcome.failed)
    sys.exit(1 if outcome.failed else 0)
