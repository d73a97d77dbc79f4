"""`smartdiet status` and `smartdiet rejects`: what the mirror keeps about its tables."""

import click

from smartdiet_assets.commands.session import Session


@click.command()
@click.pass_obj
def status(session: Session) -> None:
    """List watermark, rows and rejects of every table, and how its changes are found."""
    from smartdiet_assets.load.inspection import fetch_status
    from smartdiet_assets.operations.connections import connect_postgres
    from smartdiet_assets.operations.reports import build_status_grid, open_console

    with connect_postgres() as connection:
        statuses = fetch_status(connection, list(session.schema.tables))
    open_console().print(build_status_grid(statuses, session.schema.tables))


@click.command()
@click.argument("tables", nargs=-1)
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(min=0), help="How many to list; 0 lists all."
)
@click.pass_obj
def rejects(session: Session, tables: tuple[str, ...], limit: int) -> None:
    """List the documents that were not loaded, and why."""
    from smartdiet_assets.load.inspection import fetch_rejects
    from smartdiet_assets.operations.connections import connect_postgres
    from smartdiet_assets.operations.reports import build_rejects_grid, open_console

    selection = session.pick(tables)
    with connect_postgres() as connection:
        found = list(fetch_rejects(connection, selection, limit + 1 if limit else None))
    console = open_console()
    if not found:
        console.print("Nothing is rejected.")
        return
    console.print(build_rejects_grid(found[:limit] if limit else found))
    if limit and len(found) > limit:
        console.print(f"More than {limit} are rejected; --limit 0 lists all.")
