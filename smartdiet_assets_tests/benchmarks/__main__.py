"""`python -m smartdiet_assets_tests.benchmarks`: arguments, progress, tables, Markdown, plot."""

import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from smartdiet_assets_tests.benchmarks.measuring import Comparison
from smartdiet_assets_tests.benchmarks.plot import can_plot, write_plot
from smartdiet_assets_tests.benchmarks.report import build_grid, build_listings, compose_markdown
from smartdiet_assets_tests.benchmarks.results import Part, Result, read_parts, write_parts
from smartdiet_assets_tests.benchmarks.servers import describe_machine, start_servers
from smartdiet_assets_tests.benchmarks.settings import REAL_DOCUMENTS, REAL_PARENTS, REAL_SCALE, Settings
from smartdiet_assets_tests.benchmarks.suite import BENCHMARKS

_WIDTH_OF_A_FILE = 200


@click.command(
    help=f"""\
Measure the project against the floor and against other tools, side by side on embedded servers; all parts by default.

Parts: {", ".join(BENCHMARKS)}. Other tools take part where the extra `benchmark` is installed, Matomo where
the machine has a MariaDB. What was measured before and is not measured now stays in the report.
"""
)
@click.argument("names", nargs=-1, metavar="[PART]...", type=click.Choice(list(BENCHMARKS)))
@click.option("--documents", "--size", default=Settings.documents, show_default=True, help="Logbook documents.")
@click.option("--parents", default=Settings.parents, show_default=True, help="Parents of 15 items.")
@click.option("--scale", default=Settings.scale, show_default=True, help="Of the company; 1 is 5 million documents.")
@click.option(
    "--rows",
    multiple=True,
    default=Settings.rows,
    show_default=True,
    help="Rows whole commands fill; give it once for each size.",
)
@click.option(
    "--real-size",
    is_flag=True,
    help=f"Hours: {REAL_DOCUMENTS:,} documents, {REAL_PARENTS:,} parents, scale {REAL_SCALE:g}.",
)
@click.option("--pairs", default=Settings.pairs, show_default=True, help="Repetitions of each measurement.")
@click.option(
    "--markdown",
    default=Path("benchmarks.md"),
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the report is written; beside it are the plot (.png) and what was measured (.json).",
)
def main(
    names: tuple[str, ...],
    documents: int,
    parents: int,
    scale: float,
    rows: tuple[int, ...],
    real_size: bool,
    pairs: int,
    markdown: Path,
) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_OF_A_FILE)
    signal.signal(signal.SIGTERM, _interrupt)
    if real_size:
        documents, parents, scale = REAL_DOCUMENTS, REAL_PARENTS, REAL_SCALE
    kept = markdown.with_suffix(".json")
    parts = {part.name: part for part in read_parts(kept)}
    measured: list[Result] = []

    def finish(part: Part) -> None:
        parts[part.name] = part
        measured.extend(part.results)
        known = [parts[name] for name in BENCHMARKS if name in parts]
        write_parts(known, kept)
        picture = markdown.with_suffix(".png")
        if can_plot():
            write_plot([result for one in known for result in one.results], picture)
        markdown.write_text(compose_markdown(known, picture.name if can_plot() else ""))

    names = names or tuple(BENCHMARKS)
    try:
        failed = _run(console, names, Settings(documents, parents, scale, pairs, rows=rows), finish)
    except KeyboardInterrupt:
        console.print("Interrupted; the servers are stopped.")
        sys.exit(130)
    console.print(build_grid(measured))
    for listing in build_listings(measured):
        console.print(listing)
    console.print(f"Written to {markdown}{'' if can_plot() else ', without a plot: matplotlib is not installed'}.")
    if failed:
        console.print(f"Failed: {', '.join(failed)}.")
        sys.exit(1)


def _run(console: Console, names: tuple[str, ...], sizes: Settings, finish: Callable[[Part], None]) -> list[str]:
    """Run the parts and finish each, for a run takes long; the names of those that failed."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    failed = []
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("Starting PostgreSQL and MongoDB", total=None)
        settings = replace(
            sizes,
            on_round=lambda what, number, total: progress.update(task, description=f"{what}: {number} of {total}"),
        )
        with start_servers() as servers:
            machine = describe_machine(servers)
            for name in names:
                progress.update(task, description=f"{name}: preparing")
                results: list[Result] = []
                try:
                    for result in BENCHMARKS[name](servers, settings):
                        results.append(result)
                        _tell(progress.console, result)
                except Exception:  # noqa: BLE001 - the other parts still have something to say
                    progress.console.print_exception()
                    failed.append(name)
                if results:
                    finish(Part(name, settings.describe(), machine, results))
            progress.update(task, description="Stopping the servers")
    return failed


def _tell(console: Console, result: Result) -> None:
    if isinstance(result, Comparison):
        found = f"{result.ratio:.2f} x" if result.ratios else f"{result.note}:"
        console.print(f"{result.benchmark}, {result.case}: {found} {result.against}", highlight=False)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
