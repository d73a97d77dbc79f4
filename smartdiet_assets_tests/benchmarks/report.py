"""Results for people: tables in the terminal and the same in Markdown. No seconds, only ratios, shares and counts."""

import os
from collections.abc import Sequence

from rich import box
from rich.table import Table as Grid

from smartdiet_assets_tests.benchmarks.measuring import Comparison
from smartdiet_assets_tests.benchmarks.results import Growth, Listing, Result
from smartdiet_assets_tests.benchmarks.settings import Settings

HEADERS = ("benchmark", "case", "compared with", "ratio", "spread", "CPU", "aim", "pairs", "equal work")
_NUMBERS = ("ratio", "spread", "CPU", "aim", "pairs")
GROWTH_HEADERS = ("growth of", "from rows", "to rows", "times as long", "exponent", "at the largest")


def build_grid(results: Sequence[Result]) -> Grid:
    """Build the table of the comparisons for the terminal."""
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
    for header in HEADERS:
        grid.add_column(header, justify="right" if header in _NUMBERS else "left")
    for result in results:
        if isinstance(result, Comparison):
            grid.add_row(*compose_cells(result))
    return grid


def build_listings(results: Sequence[Result]) -> list[Grid]:
    """Build the tables that are no comparisons, for the terminal."""
    grids = []
    for listing in list_listings(results):
        grid = Grid(*listing.headers, title=listing.title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for row in listing.rows:
            grid.add_row(*row)
        grids.append(grid)
    return grids


def compose_markdown(results: Sequence[Result], settings: Settings, picture: str = "") -> str:
    """Compose all tables as Markdown, with how it was measured; `picture` is the plot's file name."""
    comparisons = [result for result in results if isinstance(result, Comparison)]
    lines = [
        f"{settings.documents:,} logbook documents; {settings.parents:,} parents of 15 items; a generated company at "
        f"scale {settings.scale:g}; {os.cpu_count()} cores.",
        "A ratio is the time of the project as a multiple of the time of what it is compared with: the median of pairs",
        "measured in turn, on the same embedded servers, in one run. Where it is below 1 the project is faster. `CPU`",
        "is the same of the CPU time of all processes concerned, the servers among them.",
        "",
        *_compose_table(HEADERS, [compose_cells(comparison) for comparison in comparisons]),
    ]
    for listing in list_listings(results):
        lines += ["", f"**{listing.title}**", "", *_compose_table(listing.headers, listing.rows)]
    if picture:
        lines += ["", f"![Ratios and growth]({picture})"]
    return "\n".join(lines) + "\n"


def list_listings(results: Sequence[Result]) -> list[Listing]:
    """List the tables that are no comparisons; what is known of growth is the last one."""
    listings = [result for result in results if isinstance(result, Listing)]
    growths = [result for result in results if isinstance(result, Growth)]
    if growths:
        rows = [
            (
                growth.name,
                f"{growth.rows[0]:,}",
                f"{growth.rows[-1]:,}",
                f"{growth.times[-1] / growth.times[0]:.1f}",
                f"{growth.exponent:.2f}",
                f"{growth.last_exponent:.2f}",
            )
            for growth in growths
        ]
        listings.append(Listing("Time against rows", GROWTH_HEADERS, rows))
    return listings


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
        f"{comparison.ratio:.2f}" if comparison.ratios else comparison.note,
        f"{min(comparison.ratios):.2f}..{max(comparison.ratios):.2f}" if several else "",
        f"{comparison.cpu_ratio:.2f}" if comparison.cpu else "",
        _compose_aim(comparison),
        str(len(comparison.ratios)) if several else "",
        work,
    ]


def _compose_aim(comparison: Comparison) -> str:
    if comparison.at_most is None:
        return ""
    mark = {True: " ✓", False: " ✗", None: ""}[comparison.is_met]
    return f"≤ {comparison.at_most:.2f}{mark}"


def _compose_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [_compose_line(headers), _compose_line(["---"] * len(headers)), *map(_compose_line, rows)]


def _compose_line(cells: Sequence[str]) -> str:
    # A pipe in a cell would end it.
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
