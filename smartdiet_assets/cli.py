"""`smartdiet …`: options in, a report and an exit code out. What the commands do is in `operations` and `demo`."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

import click
from rich.console import Console

from smartdiet_assets.errors import ConfigurationError, SmartdietError
from smartdiet_assets.resources.environment import Environment, read_environment
from smartdiet_assets.schema.loading import load_schema
from smartdiet_assets.schema.model import Schema


@dataclass
class Session:
    """What a command works with, read from the environment when first needed."""

    @cached_property
    def environment(self) -> Environment:
        return read_environment()

    @cached_property
    def schema(self) -> Schema:
        return load_schema(*self.environment.schema_files)

    @property
    def config_folder(self) -> Path:
        return Path(self.environment.schemas_path).resolve().parent

    def pick(self, tables: Sequence[str]) -> list[str]:
        """The tables named on the command line, all of them when none is, in run order."""
        for name in tables:
            if name not in self.schema.tables:
                close = get_close_matches(name, self.schema.tables, n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                raise ConfigurationError(f"{self.schema.path} declares no table {name}{hint}")
        return [name for name in self.schema.tables if not tables or name in tables]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="smartdiet_assets")
@click.pass_context
def cli(context: click.Context) -> None:
    """Mirror MongoDB into typed, foreign-keyed PostgreSQL tables.

    Servers come from the environment or a .env file, tables from config/schemas.yaml (SMARTDIET_SCHEMAS).
    """
    context.obj = Session()


@cli.command()
@click.argument("tables", nargs=-1)
@click.option("--since", metavar="DATE", help="Also read documents dated from DATE on (ISO, UTC).")
@click.option("--full", is_flag=True, help="Read every document, not only what changed.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.pass_obj
def sync(session: Session, tables: tuple[str, ...], since: str | None, full: bool, as_json: bool) -> None:
    """Mirror all tables, or TABLES, parents first.

    Exits 1 if a table failed (the others still run), 2 if nothing could be run at all.
    """
    from smartdiet_assets.definitions import build_definitions
    from smartdiet_assets.operations.connections import connect_postgres
    from smartdiet_assets.operations.instance import open_instance
    from smartdiet_assets.operations.reports import build_sync_grid, open_console, print_failures, show_progress
    from smartdiet_assets.operations.sync import TableOutcome, leave_out_matomo, run_sync

    if since is not None:
        _check_date(since)
    selection = session.pick(tables)
    errors = open_console(errors=True)
    if not tables:
        selection = leave_out_matomo(session.schema, session.environment, selection, errors)
    unreadable = _find_unreadable(session.schema, selection)
    selection = [name for name in selection if name not in unreadable]
    definitions = build_definitions(session.schema, session.environment)
    with open_instance(session.config_folder) as instance, show_progress(errors):
        try:
            outcome = run_sync(
                definitions, session.schema, instance, connect_postgres, tables=selection, since=since, full=full
            )
        except KeyboardInterrupt:
            errors.print("Interrupted; the tables that were finished stay as they are.")
            sys.exit(130)
    outcome.tables.update({name: TableOutcome(error=fault) for name, fault in unreadable.items()})
    if as_json:
        click.echo(json.dumps(outcome.as_json()))
    else:
        console = open_console()
        console.print(build_sync_grid(outcome, width=console.width))
    print_failures(errors, outcome.errors)
    sys.exit(1 if outcome.failed else 0)


@cli.command()
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
    from smartdiet_assets.assets.reconciliation import TableReconciliation
    from smartdiet_assets.load.reconciliation import Reconciliation
    from smartdiet_assets.operations.reconcile import run_reconcile
    from smartdiet_assets.operations.reports import build_reconcile_grid, open_console, print_failures, show_progress
    from smartdiet_assets.operations.sync import leave_out_matomo

    selection = session.pick(tables)
    errors = open_console(errors=True)
    if not tables:
        selection = leave_out_matomo(session.schema, session.environment, selection, errors)
    unreadable = _find_unreadable(session.schema, selection)
    try:
        with show_progress(errors):
            outcome = run_reconcile(
                session.schema, [name for name in selection if name not in unreadable], dry_run=dry_run, force=force
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
        open_console().print(build_reconcile_grid(outcome))
    print_failures(errors, outcome.failed)
    sys.exit(1 if outcome.failed else 0)


@cli.command()
@click.pass_obj
def status(session: Session) -> None:
    """List watermark, rows and rejects of every table, and how its changes are found."""
    from smartdiet_assets.load.inspection import fetch_status
    from smartdiet_assets.operations.connections import connect_postgres
    from smartdiet_assets.operations.reports import build_status_grid, open_console

    with connect_postgres() as connection:
        statuses = fetch_status(connection, list(session.schema.tables))
    open_console().print(build_status_grid(statuses, session.schema.tables))


@cli.command()
@click.argument("tables", nargs=-1)
@click.option("--limit", default=100, show_default=True, help="How many to list; 0 lists all.")
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


@cli.command()
@click.pass_obj
def home(session: Session) -> None:
    """Prepare the folder of Dagster's runs and events, and print it.

    `export DAGSTER_HOME=$(smartdiet home)` lets dagster dev, dagster-webserver and dagster-daemon share it.
    """
    from smartdiet_assets.operations.instance import choose_dagster_home

    click.echo(choose_dagster_home(session.config_folder))


@cli.command()
@click.argument("tables", nargs=-1)
@click.option("--sample", type=click.IntRange(min=1), help="Documents of each collection to compare; 500 by default.")
@click.option("--all", "everything", is_flag=True, help="Compare every document with its rows.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.pass_obj
def check(session: Session, tables: tuple[str, ...], sample: int | None, everything: bool, as_json: bool) -> None:
    """Compare all tables, or TABLES, with their source and their declaration. Changes nothing.

    Exits 1 if a check failed that is more than a warning.
    """
    from smartdiet_assets.checks.evaluation import DEFAULT_SAMPLE
    from smartdiet_assets.operations.check import build_checks_grid, print_findings, run_checks
    from smartdiet_assets.operations.reports import open_console
    from smartdiet_assets.operations.sync import leave_out_matomo

    if everything and sample is not None:
        raise ConfigurationError("--sample and --all exclude each other")
    selection = session.pick(tables)
    if not tables:
        selection = leave_out_matomo(session.schema, session.environment, selection, open_console(errors=True))
    report = run_checks(
        session.schema, session.environment, selection, sample=None if everything else sample or DEFAULT_SAMPLE
    )
    if as_json:
        click.echo(json.dumps(report.as_json()))
    else:
        console = open_console()
        console.print(build_checks_grid(report))
        print_findings(console, report)
    sys.exit(1 if report.failed else 0)


@cli.command()
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the servers keep their data.",
)
@click.option("--scale", default=0.01, show_default=True, help="Size of the company; 1 is the size of the real one.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same company.")
@click.option("--serve", is_flag=True, help="Open Dagit on the mirrored data afterwards.")
@click.option("--port", default=3000, show_default=True, help="Where Dagit listens, with --serve.")
def demo(folder: Path | None, scale: float, seed: int, serve: bool, port: int) -> None:
    """Mirror a generated company on embedded servers: a first load, a day of changes, a second run."""
    from smartdiet_assets.demo.run import run_demo

    sys.exit(run_demo(folder, scale=scale, seed=seed, serve=serve, port=port))


def _find_unreadable(schema: Schema, tables: Sequence[str]) -> dict[str, str]:
    """Find the tables whose source cannot be read, each with the reason; raise it where none is left to run."""
    from smartdiet_assets.operations.connections import find_source_faults, find_target_fault

    if fault := find_target_fault():
        raise ConfigurationError(fault)
    faults = find_source_faults(schema.tables[name] for name in tables)
    unreadable = {name: faults[source] for name in tables if (source := schema.tables[name].source) in faults}
    if faults and len(unreadable) == len(tables):
        raise ConfigurationError("\n".join(faults.values()))
    return unreadable


def _check_date(text: str) -> None:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError("--since must be an ISO date such as 2024-01-01") from None


def main() -> None:
    """Run the command line; an error of ours is one message and exit code 2."""
    try:
        cli.main(standalone_mode=True)
    except SmartdietError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False)
        sys.exit(2)


if __name__ == "__main__":
    main()
