"""`smartdiet status` and `smartdiet rejects`: what the mirror keeps about its tables."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from smartdiet_assets.cli.session import Session

_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")


@click.command(short_help="List watermark, rows and rejects of every table.")
@_as_json
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "prometheus"]),
    default="table",
    help="Print a table, one JSON object as with --json, or metrics of Prometheus, which leave the rows uncounted.",
)
@click.pass_obj
def status(session: Session, as_json: bool, form: str) -> None:
    """List watermark, rows and rejects of every table, and how its changes are found."""
    from smartdiet_assets.cli.connections import connect_postgres
    from smartdiet_assets.load.records.inspection import fetch_status

    if form == "prometheus":
        _print_metrics(session)
        return
    with connect_postgres(session.environment) as connection:
        statuses = fetch_status(connection, list(session.schema.tables))
    if as_json or form == "json":
        _print_json({"tables": statuses})
        return
    from smartdiet_assets.cli.reports import build_status_grid, open_console, print_grid

    print_grid(open_console(), build_status_grid(statuses, session.schema.tables))


def _print_metrics(session: Session) -> None:
    from smartdiet_assets.cli.connections import connect_postgres
    from smartdiet_assets.cli.prometheus import compose_exposition
    from smartdiet_assets.load.records.inspection import fetch_metrics, fetch_place

    with connect_postgres(session.environment) as connection:
        metrics = fetch_metrics(connection, list(session.schema.tables))
        database, schema = fetch_place(connection)
    click.echo(compose_exposition(metrics, {"database": database, "schema": schema}), nl=False)


@click.command()
@click.argument("tables", nargs=-1)
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(min=0), help="How many to list; 0 lists all."
)
@_as_json
@click.pass_obj
def rejects(session: Session, tables: tuple[str, ...], limit: int, as_json: bool) -> None:
    """List the documents that were not loaded, and why."""
    from smartdiet_assets.cli.connections import connect_postgres
    from smartdiet_assets.cli.reports import build_rejects_grid, open_console, print_grid
    from smartdiet_assets.load.records.inspection import fetch_rejects

    selection = session.pick(tables)
    with connect_postgres(session.environment) as connection:
        found = list(fetch_rejects(connection, selection, limit + 1 if limit else None))
    shown = found[:limit] if limit else found
    more = len(found) > len(shown)
    if as_json:
        _print_json({"rejects": shown, "more": more})
        return
    console = open_console()
    if not found:
        console.print("Nothing is rejected.")
        return
    print_grid(console, build_rejects_grid(shown))
    if more:
        console.print(f"More than {limit} are rejected; --limit 0 lists all.")


def _print_json(found: dict[str, Any]) -> None:
    """Print records as JSON: a key a field, times in UTC with their offset."""
    click.echo(json.dumps(found, default=_encode))


def _encode(value: Any) -> Any:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    return asdict(value)
