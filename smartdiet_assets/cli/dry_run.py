"""`smartdiet sync --dry-run`: what a sync would create, alter, read and write, as a table and as JSON."""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from smartdiet_assets.cli.connections import connect_postgres
from smartdiet_assets.cli.reports import open_console, print_grid
from smartdiet_assets.cli.session import Session
from smartdiet_assets.extract.window import Window, WindowRequest
from smartdiet_assets.mirror.forecast import Forecast, forecast_tables
from smartdiet_assets.mirror.reconciliation import build_source_opener
from smartdiet_assets.mirror.sources import find_opener
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.schema.model import Schema

_READ = {"change_stream": "what the change stream names", "incremental": "what changed"}

Forecasts = Mapping[str, Forecast | str]


def print_forecasts(
    session: Session,
    tables: Sequence[str],
    unreadable: Mapping[str, str],
    request: WindowRequest,
    *,
    rekey: bool = False,
    as_json: bool,
) -> bool:
    """Print what a sync of tables would do; return whether it would fail, or that is not known of a table.

    Args:
        unreadable: further tables, each with the sentence that says why its source cannot be read.
        rekey: pseudonyms of another key are made anew.

    Raises:
        SmartdietError: PostgreSQL cannot be reached or refuses.
    """
    forecasts = {**run_forecast(session.schema, session.environment, tables, request, rekey=rekey), **unreadable}
    if as_json:
        click.echo(json.dumps({"dry_run": True, "tables": {name: _encode(one) for name, one in forecasts.items()}}))
    else:
        print_grid(open_console(), build_forecast_grid(forecasts))
    print_obstacles(open_console(errors=True), forecasts)
    return any(isinstance(forecast, str) or forecast.differences for forecast in forecasts.values())


def run_forecast(
    schema: Schema, environment: Environment, tables: Sequence[str], request: WindowRequest, *, rekey: bool = False
) -> dict[str, Forecast | str]:
    """Find out what a sync of tables would do on the configured servers; a sentence where that cannot be known.

    Raises:
        SmartdietError: PostgreSQL cannot be reached or refuses.
    """
    kinds = {schema.tables[name].source_kind for name in tables}
    with ExitStack() as stack:
        connection = stack.enter_context(connect_postgres(environment))
        connection.autocommit = True
        servers = {kind.name: stack.enter_context(find_opener(kind).open_server(environment)) for kind in kinds}
        open_source = build_source_opener(schema, servers)
        threshold = environment.global_date_threshold
        return dict(forecast_tables(schema, tables, connection, open_source, request, threshold, rekey=rekey))


def build_forecast_grid(forecasts: Forecasts) -> Grid:
    """Build the table of what would be done, a line for each table."""
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("table", no_wrap=True)
    for name in ("structure", "reads"):
        grid.add_column(name)
    for name in ("documents", "rows now"):
        grid.add_column(name, justify="right", no_wrap=True)
    grid.add_column("writes")
    for name, forecast in forecasts.items():
        if isinstance(forecast, str):
            grid.add_row(Text(name, "red"), "", Text("not known", "red"), "", "", "")
            continue
        grid.add_row(
            Text(name, "red" if forecast.differences else ""),
            _describe_structure(forecast),
            _describe_window(forecast.window),
            _count(forecast.documents),
            _count(forecast.rows),
            _describe_writes(forecast),
        )
    return grid


def print_obstacles(console: Console, forecasts: Forecasts) -> None:
    """Print what would stop a run, and what is not known, a paragraph a table."""
    for name, forecast in forecasts.items():
        for sentence in (forecast,) if isinstance(forecast, str) else forecast.differences:
            told = sentence.removeprefix(f"{name}: ")
            console.print(Text.assemble((name, "red"), f": {told}"), highlight=False, soft_wrap=True)


def _encode(forecast: Forecast | str) -> dict[str, Any]:
    if isinstance(forecast, str):
        return {"error": forecast}
    window = forecast.window
    return {
        "created": forecast.created,
        "added": list(forecast.added),
        "differences": list(forecast.differences),
        "window": window.kind,
        "window_start": window.start.isoformat() + "Z" if window.start else None,
        "window_end": window.end.isoformat() + "Z" if window.end else None,
        "documents": forecast.documents,
        "again": forecast.again,
        "rows": forecast.rows,
        "rows_at_most": forecast.rows_at_most,
        "emptied": forecast.emptied,
        "protected": list(forecast.protected),
    }


def _describe_structure(forecast: Forecast) -> str:
    if forecast.differences:
        return "differs: the run stops"
    if forecast.created:
        return "created"
    added = [f"adds {', '.join(forecast.added)}"] if forecast.added else []
    protected = [f"protects {', '.join(forecast.protected)} otherwise"] if forecast.protected else []
    return "; ".join(added + protected)


def _describe_window(window: Window) -> str:
    if window.reads_everything:
        return "everything"
    if window.by_key:
        return "what is new"
    what = _READ.get(window.kind, "what is dated")
    bounds = [f"{word} {at:%Y-%m-%d %H:%M}" for word, at in (("from", window.start), ("to", window.end)) if at]
    return " ".join([what, *bounds])


def _describe_writes(forecast: Forecast) -> str:
    again = f"{forecast.again:,} rejects and missing parents are asked for again" if forecast.again else ""
    if forecast.differences:
        return ""
    if forecast.emptied:
        what = "the table is emptied and filled"
    elif forecast.created or not forecast.rows:
        what = "what is read"
    else:
        what = "what differs" if forecast.documents != 0 else "nothing" if not again else ""
    return "; ".join(filter(None, (what, again)))


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"
