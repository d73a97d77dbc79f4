"""`python -m smartdiet_assets_tests.benchmarks`: arguments, progress, the printed table, the Markdown file."""

import signal
import sys
from pathlib import Path
from types import FrameType

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from smartdiet_assets_tests.benchmarks.measuring import Comparison
from smartdiet_assets_tests.benchmarks.report import build_grid, compose_markdown
from smartdiet_assets_tests.benchmarks.servers import start_servers
from smartdiet_assets_tests.benchmarks.settings import Settings
from smartdiet_assets_tests.benchmarks.suite import BENCHMARKS

_WIDTH_OF_A_FILE = 180


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", type=click.Choice(list(BENCHMARKS)))
@click.option("--documents", default=Settings.documents, show_default=True, help="Logbook documents.")
@click.option("--parents", default=Settings.parents, show_default=True, help="Parents of 15 items (60000: full size).")
@click.option("--pairs", default=Settings.pairs, show_default=True, help="Repetitions of each measurement.")
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Write the table to this file too.")
def main(names: tuple[str, ...], documents: int, parents: int, pairs: int, markdown: Path | None) -> None:
    """Measure the project against the floor, side by side on embedded servers; by default all benchmarks.

    Names: full_load, unchanged, smart_diff, operations, idle, loading, matomo (where the machine has a MariaDB).
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_OF_A_FILE)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        comparisons, settings = _run(console, names or tuple(BENCHMARKS), documents, parents, pairs)
    except KeyboardInterrupt:
        console.print("Interrupted; the servers are stopped.")
        sys.exit(130)
    console.print(build_grid(comparisons))
    if markdown is not None:
        markdown.write_text(compose_markdown(comparisons, settings))


def _run(
    console: Console, names: tuple[str, ...], documents: int, parents: int, pairs: int
) -> tuple[list[Comparison], Settings]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("Starting PostgreSQL and MongoDB", total=None)
        settings = Settings(
            documents,
            parents,
            pairs,
            lambda what, number, total: progress.update(task, description=f"{what}: {number} of {total}"),
        )
        comparisons: list[Comparison] = []
        with start_servers() as servers:
            for name in names:
                progress.update(task, description=f"{name}: preparing")
                for comparison in BENCHMARKS[name](servers, settings):
                    comparisons.append(comparison)
                    progress.console.print(
                        f"{name}, {comparison.case}: {comparison.ratio:.2f} x {comparison.against}", highlight=False
                    )
            progress.update(task, description="Stopping the servers")
    return comparisons, settings


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
