"""`smartdiet check`: the checks of the graph, evaluated at once and outside of Dagster.

Here: the configured servers, and the outcome as a table and as JSON. Not here: what is checked (`checks`).
"""

import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as Grid

from smartdiet_assets.checks.evaluation import Servers, evaluate_checks
from smartdiet_assets.checks.outcome import KINDS, CheckOutcome, Number
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.resources.matomo import build_matomo_resource
from smartdiet_assets.resources.mongo import build_mongo_resource
from smartdiet_assets.resources.postgres import build_postgres_resource
from smartdiet_assets.schema.model import Schema

_PASSED, _WARNED, _FAILED = "[green]✓[/green]", "[yellow]![/yellow]", "[red]✗[/red]"


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What all checks found, in the order of the tables, and how long they took."""

    outcomes: Sequence[CheckOutcome]
    seconds: float

    @property
    def failed(self) -> bool:
        """Whether a check failed whose severity is ERROR."""
        return any(outcome.is_error for outcome in self.outcomes)

    def as_json(self) -> dict[str, Any]:
        """The object `--json` prints: by table and kind of check."""
        tables: dict[str, dict[str, Any]] = {}
        for outcome in self.outcomes:
            tables.setdefault(outcome.table, {})[outcome.kind] = {
                "passed": outcome.passed,
                "severity": None if outcome.passed else outcome.severity,
                "sentence": outcome.sentence,
                "numbers": {name: _encode(value) for name, value in outcome.numbers.items()},
            }
        return {
            "tables": tables,
            "errors": sum(outcome.is_error for outcome in self.outcomes),
            "warnings": sum(not outcome.passed and not outcome.is_error for outcome in self.outcomes),
            "seconds": round(self.seconds, 3),
        }


def run_checks(schema: Schema, environment: Environment, tables: Collection[str], *, sample: int | None) -> CheckReport:
    """Evaluate every check of tables on the configured servers.

    Args:
        sample: documents of each collection to compare by content; None compares all.
    """
    started = time.perf_counter()
    with ExitStack() as stack:
        postgres = stack.enter_context(build_postgres_resource().process_config_and_initialize_cm())
        mongo = stack.enter_context(build_mongo_resource().process_config_and_initialize_cm())
        matomo = stack.enter_context(build_matomo_resource().process_config_and_initialize_cm())
        outcomes = evaluate_checks(
            schema,
            {name: list(KINDS) for name in schema.tables if name in tables},
            Servers(
                postgres=postgres.borrow,
                mongo=mongo.open_database,
                matomo=matomo.connect,
                matomo_prefix=environment.matomo_table_prefix,
            ),
            sample=sample,
            global_date_threshold=environment.global_date_threshold,
        )
    return CheckReport(outcomes, time.perf_counter() - started)


def build_checks_grid(report: CheckReport) -> Grid:
    """Build the table of tables and checks: ✓ passed, ! failed as a warning, ✗ failed."""
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("table", no_wrap=True)
    for kind in KINDS:
        # Wrapped at the blanks, the heads are as narrow as a word.
        grid.add_column(kind.replace("_", " "), justify="center", max_width=10)
    marks: dict[str, dict[str, str]] = {}
    for outcome in report.outcomes:
        mark = _PASSED if outcome.passed else _FAILED if outcome.is_error else _WARNED
        marks.setdefault(outcome.table, {})[outcome.kind] = mark
    for table, found in marks.items():
        grid.add_row(table, *(found.get(kind, "") for kind in KINDS))
    return grid


def print_findings(console: Console, report: CheckReport) -> None:
    """Print a sentence for each check that failed; one that many tables share is printed once."""
    shared: dict[tuple[str, str], list[CheckOutcome]] = {}
    for outcome in report.outcomes:
        if not outcome.passed:
            shared.setdefault((outcome.severity, outcome.sentence), []).append(outcome)
    for (severity, sentence), outcomes in shared.items():
        mark = _FAILED if severity == "ERROR" else _WARNED
        tables = list(dict.fromkeys(outcome.table for outcome in outcomes))
        kinds = list(dict.fromkeys(outcome.kind for outcome in outcomes))
        console.print(f"{mark} {', '.join(tables)}: {', '.join(kinds)}: ", end="", highlight=False)
        console.print(sentence, markup=False, highlight=False)
        if len(outcomes) == 1 and (statements := outcomes[0].numbers.get("statements")):
            console.print(str(statements), markup=False, highlight=False)


def _encode(value: Number) -> Any:
    return value.isoformat(timespec="milliseconds") + "Z" if isinstance(value, datetime) else value
