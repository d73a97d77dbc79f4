"""Results for people: a table in the terminal and the same in Markdown. No seconds, only ratios and counts."""

from collections.abc import Sequence

from rich import box
from rich.table import Table as Grid

from smartdiet_assets_tests.benchmarks.measuring import Comparison
from smartdiet_assets_tests.benchmarks.settings import Settings

HEADERS = ("benchmark", "case", "compared with", "ratio", "spread", "pairs", "equal work")


def build_grid(comparisons: Sequence[Comparison]) -> Grid:
    """Build the table for the terminal."""
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
    for header in HEADERS:
        grid.add_column(header, justify="right" if header in ("ratio", "spread", "pairs") else "left")
    for comparison in comparisons:
        grid.add_row(*compose_cells(comparison))
    return grid


def compose_markdown(comparisons: Sequence[Comparison], settings: Settings) -> str:
    """Compose the table as Markdown, with how it was measured."""
    lines = [
        f"{settings.documents:,} logbook documents; {settings.parents:,} parents of 15 items.",
        "A ratio is the time of the project as a multiple of the time of what it is compared with: the median of pairs",
        "measured in turn, on the same embedded servers, in one run. Where it is below 1 the project is faster.",
        "",
        _compose_line(HEADERS),
        _compose_line(["---"] * len(HEADERS)),
        *(_compose_line(compose_cells(comparison)) for comparison in comparisons),
    ]
    return "\n".join(lines) + "\n"


def compose_cells(comparison: Comparison) -> list[str]:
    """Compose one line of either table."""
    several = len(comparison.ratios) > 1
    work = ", ".join(
        f"{what} {value:,}" if isinstance(value, int) else f"{what} {value}" for what, value in comparison.work.items()
    )
    return [
        comparison.benchmark,
        comparison.case,
        comparison.against,
        f"{comparison.ratio:.2f}",
        f"{min(comparison.ratios):.2f}..{max(comparison.ratios):.2f}" if several else "",
        str(len(comparison.ratios)) if several else "",
        work,
    ]


def _compose_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
