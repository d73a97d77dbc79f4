"""`smartdiet check`: the checks of the graph, evaluated at once and outside of Dagster."""

import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from smartdiet_assets.checks.evaluation import Servers, build_sources, evaluate_checks
from smartdiet_assets.checks.outcome import KINDS, CheckOutcome, Number, list_kinds
from smartdiet_assets.mirror.sources import find_opener
from smartdiet_assets.resources.environment import Environment
from smartdiet_assets.resources.postgres_server import PostgresServer
from smartdiet_assets.schema.model import Schema

_PASSED, _WARNED, _FAILED = Text("✓", "green"), Text("!", "yellow"), Text("✗", "red")


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
        postgres = stack.enter_context(closing(PostgresServer(environment)))
        servers = {
            kind.name: stack.enter_context(find_opener(kind).open_server(environment)) for kind in schema.sources
        }
        outcomes = evaluate_checks(
            schema,
            {name: list_kinds(schema, table) for name, table in schema.tables.items() if name in tables},
            Servers(postgres=postgres.borrow, sources=build_sources(servers)),
            sample=sample,
            global_date_threshold=environment.global_date_threshold,
        )
    return CheckReport(outcomes, time.perf_counter() - started)


def build_checks_grid(report: CheckReport) -> Grid:
    """Build the table of tables and checks: ✓ passed, ! failed as a warning, ✗ failed."""
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("table", no_wrap=True)
    for kind in KINDS:
        # With a word a line, the heads are as narrow as they can be.
        grid.add_column(kind.replace("_", "\n"), justify="center", no_wrap=True)
    marks: dict[str, dict[str, Text]] = {}
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
        named = Text(f" {', '.join(tables)}: {', '.join(kinds)}: {sentence}")
        console.print(Text.assemble(mark, named), highlight=False)
        if len(outcomes) == 1 and (statements := outcomes[0].numbers.get("statements")):
            console.print(str(statements), markup=False, highlight=False, soft_wrap=True)


def _encode(value: Number) -> Any:
    return value.isoformat(timespec="milliseconds") + "Z" if isinstance(value, datetime) else value
