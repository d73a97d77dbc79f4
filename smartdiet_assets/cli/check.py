"""`smartdiet check`."""

import json
import sys

import click

from smartdiet_assets.cli.session import Session, leave_out_unnamed
from smartdiet_assets.errors import ConfigurationError


@click.command(short_help="Compare tables with their source and declaration.")
@click.argument("tables", nargs=-1)
@click.option("--sample", type=click.IntRange(min=1), help="Documents of each collection to compare; 500 by default.")
@click.option("--all", "everything", is_flag=True, help="Compare every document with its rows.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option("--wait", is_flag=True, help="End when Dagit shows what was found, not before.")
@click.pass_obj
def check(
    session: Session, tables: tuple[str, ...], sample: int | None, everything: bool, as_json: bool, wait: bool
) -> None:
    """Compare all tables, or TABLES, with their source and their declaration. Changes nothing.

    Dagit, where there is one, shows what was found a moment later. Exits 1 if a check failed that is more than a
    warning.
    """
    from smartdiet_assets.checks.kept import keep_outcomes
    from smartdiet_assets.checks.outcome import DEFAULT_SAMPLE
    from smartdiet_assets.cli.check_report import build_checks_grid, print_findings, run_checks
    from smartdiet_assets.cli.reports import open_console, print_grid
    from smartdiet_assets.resources.dagster_home import has_instance

    if everything and sample is not None:
        raise ConfigurationError("--sample and --all exclude each other")
    selection = session.pick(tables)
    if not tables:
        selection = leave_out_unnamed(session.schema, session.environment, selection, open_console(errors=True))
    report = run_checks(
        session.schema, session.environment, selection, sample=None if everything else sample or DEFAULT_SAMPLE
    )
    if as_json:
        click.echo(json.dumps(report.as_json()))
    else:
        console = open_console()
        print_grid(console, build_checks_grid(report))
        print_findings(console, report)
    if has_instance():
        recorder = session.open_recorder()
        keep_outcomes(recorder.spool, session.schema.files, report.outcomes)
        if fault := recorder.finish(wait=wait):
            open_console(errors=True).print(fault, highlight=False, markup=False)
    sys.exit(1 if report.failed else 0)
