"""`smartdiet forget`."""

import json
import sys

import click

from smartdiet_assets.cli.session import Session


@click.command(short_help="Remove all that documents left, and keep them out.")
@click.argument("collection")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--lift", "lifts", is_flag=True, help="Let them in again; the next sync reads their tables whole.")
@click.option("--yes", is_flag=True, help="Do not ask for the number of rows.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.pass_obj
def forget(session: Session, collection: str, ids: tuple[str, ...], lifts: bool, yes: bool, as_json: bool) -> None:
    """Remove the rows of documents everywhere the foreign keys lead, whatever on_delete says, and keep them out.

    Their rejects and waits go too. Each ID is as the document column shows it, before any protection. Exits 1 where the
    number of rows was not confirmed.
    """
    from smartdiet_assets.cli.connections import connect_postgres
    from smartdiet_assets.cli.reports import open_console
    from smartdiet_assets.mirror.forgetting import forget as forget_documents
    from smartdiet_assets.mirror.forgetting import lift

    schema, console = session.schema, open_console()
    with connect_postgres(session.environment) as connection:
        connection.autocommit = True
        if lifts:
            lifted = lift(connection, schema, collection, ids)
            if as_json:
                click.echo(json.dumps({"lifted": lifted}))
                return
            then = "the next sync reads their tables whole" if lifted else "none of them was forgotten"
            console.print(f"{lifted:,} of {len(set(ids)):,} lifted; {then}.", highlight=False)
            return
        if not yes and not _confirm(forget_documents(connection, schema, collection, ids, dry_run=True).total):
            sys.exit(1)
        found = forget_documents(connection, schema, collection, ids)
    if as_json:
        click.echo(json.dumps({"rows": found.rows, "rejects": found.rejects, "total": found.total}))
        return
    for table, rows in found.rows.items():
        console.print(f"{table}: {rows:,} rows", highlight=False)
    console.print(f"{found.total:,} rows and {found.rejects:,} rejects went; no run reads these documents again.")


def _confirm(expected: int) -> bool:
    """Ask for the number of rows that go; say what to do where it is another one, or nobody can be asked."""
    try:
        answer = click.prompt(f"{expected:,} rows go for good. Type their number to go on", err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        click.echo("\nNothing was removed: nobody can be asked here. --yes goes on without.", err=True)
        return False
    if answer.strip().replace(",", "") == str(expected):
        return True
    click.echo("Nothing was removed: that is another number.", err=True)
    return False
