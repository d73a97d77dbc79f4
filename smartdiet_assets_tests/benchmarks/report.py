"""Results for people: tables in the terminal and a report in Markdown. No seconds, only ratios, shares and counts."""

import sys
from collections.abc import Iterator, Sequence

from rich import box
from rich.table import Table as Grid

from smartdiet_assets_tests.benchmarks.measuring import Comparison
from smartdiet_assets_tests.benchmarks.results import Growth, Listing, Part, Result
from smartdiet_assets_tests.benchmarks.suite import BENCHMARKS

HEADERS = ("benchmark", "case", "compared with", "ratio", "spread", "CPU", "aim")
_NUMBERS = ("ratio", "spread", "CPU", "aim")
GROWTH_HEADERS = ("growth of", "from rows", "to rows", "times as long", "exponent", "exponent of the last tenfold")
_HOW = """\
A ratio is the time of the project as a multiple of the time of what it is compared with: the median of rounds in which
everybody takes a turn, on the same embedded servers. Below 1 the project is faster. `CPU` is the same of the CPU time
of all processes concerned, the servers among them. Who did other work than the others, by rows and checksums, has no
ratio.\
"""


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


def compose_markdown(parts: Sequence[Part], picture: str = "") -> str:
    """Compose the report: the aims at a glance, then every part; `picture` is the plot's file name."""
    lines = ["# How fast it is", "", *_HOW.splitlines(), ""]
    if picture:
        lines += [f"![What a person waits for, first loads against other tools, the aims, and growth]({picture})", ""]
    lines += ["## The aims", "", *compose_aims(parts), ""]
    for part in parts:
        lines += [*_compose_part(part), ""]
    return "\n".join(lines)


def compose_aims(parts: Sequence[Part]) -> list[str]:
    """Compose the table of everything the project has an aim for."""
    aimed = [
        result
        for part in parts
        for result in part.results
        if isinstance(result, Comparison) and result.at_most is not None
    ]
    rows = [
        [
            f"{comparison.benchmark}, {comparison.case}",
            comparison.against,
            _compose_ratio(comparison),
            _compose_aim(comparison),
        ]
        for comparison in aimed
    ]
    return _compose_table(("what", "compared with", "ratio", "aim"), rows)


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
    return [
        comparison.benchmark,
        comparison.case,
        comparison.against,
        _compose_ratio(comparison),
        f"{min(comparison.ratios):.2f}..{max(comparison.ratios):.2f}" if several else "",
        f"{comparison.cpu_ratio:.2f}" if comparison.cpu else "",
        _compose_aim(comparison),
    ]


def _compose_part(part: Part) -> Iterator[str]:
    run = BENCHMARKS[part.name]
    yield f"## {part.name}"
    yield ""
    # The module says what is measured, the line below on what.
    yield from (sys.modules[run.__module__].__doc__ or "").strip().splitlines()
    yield ""
    yield f"{part.sizes} {part.machine}"
    comparisons = [result for result in part.results if isinstance(result, Comparison)]
    if comparisons:
        yield ""
        yield from _compose_table(HEADERS[1:], [compose_cells(comparison)[1:] for comparison in comparisons])
    obstacles = dict.fromkeys(
        f"{one.case}: {one.obstacle}" for one in comparisons if one.is_met is False and one.obstacle
    )
    if obstacles:
        yield ""
        yield "What stands in the way:"
        yield ""
        yield from (f"- {obstacle}" for obstacle in obstacles)
    works = {one.case: _compose_work(one) for one in comparisons if one.work}
    if works:
        yield ""
        yield "Work that was done and compared:"
        yield ""
        yield from (f"- {case}: {work}" for case, work in works.items())
    for listing in list_listings(part.results):
        yield ""
        yield f"**{listing.title}**"
        yield ""
        yield from _compose_table(listing.headers, listing.rows)


def _compose_work(comparison: Comparison) -> str:
    return ", ".join(
        f"{what} {value:,}" if isinstance(value, int) else f"{what} {value}" for what, value in comparison.work.items()
    )


def _compose_ratio(comparison: Comparison) -> str:
    return f"{comparison.ratio:.2f}" if comparison.ratios else comparison.note


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
