"""The plot of a report: what a person waits for, first loads against other tools, how far each aim is, growth.

Needs matplotlib. Not here: the tables (`report`). No seconds: times are relative to the project's, to the aim, to the
replaced tool's, or to the first size.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from smartdiet_assets_tests.benchmarks.measuring import Comparison
from smartdiet_assets_tests.benchmarks.peers import list_peers
from smartdiet_assets_tests.benchmarks.peers.entering import REPLACED
from smartdiet_assets_tests.benchmarks.results import Growth, Result

_WIDTH = 13.0
_INCHES_PER_LINE = 0.26
_TITLES = {"full_load": "a table of logbooks", "company": "all tables of a company"}
_TICKS = (0.1, 0.2, 0.5, 1.0, 2.0)
_OURS, _THEIRS, _MISSED = "#1f6f54", "#9aa5b1", "#c0392b"


def can_plot() -> bool:
    """Tell whether matplotlib is installed; it comes with the `benchmark` extra."""
    return find_spec("matplotlib") is not None


def write_plot(results: Sequence[Result], path: Path) -> None:
    """Write the plot as a PNG, with the panels there is something for."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    comparisons = [result for result in results if isinstance(result, Comparison) and result.ratios]
    growths = [result for result in results if isinstance(result, Growth)]
    names = [REPLACED, *(peer.name for peer in list_peers())]
    rivals = {
        benchmark: [one for one in comparisons if one.benchmark == benchmark and one.against in names]
        for benchmark in _TITLES
    }
    aimed = [one for one in comparisons if one.at_most is not None]
    waits = [one for one in comparisons if one.benchmark == "whole" and one.against == REPLACED]
    rows: list[tuple[float, Any, Any]] = []
    if waits:
        rows.append((1.3 + _INCHES_PER_LINE * len(waits), _draw_waits, waits))
    if any(rivals.values()):
        most = max(map(len, rivals.values()))
        rows.append((1.5 + 0.4 * most, _draw_rivals, rivals))
    if aimed:
        rows.append((1.3 + _INCHES_PER_LINE * len(aimed), _draw_aims, aimed))
    if growths:
        rows.append((4.2, _draw_growth, growths))
    figure = Figure(figsize=(_WIDTH, max(1.0, sum(height for height, _, _ in rows))), layout="constrained")
    FigureCanvasAgg(figure)
    if rows:
        parts = figure.subfigures(len(rows), 1, height_ratios=[height for height, _, _ in rows], squeeze=False)
        for part, (_, draw, what) in zip(parts[:, 0], rows, strict=True):
            draw(part, what)
    figure.savefig(path, dpi=100)


def _draw_waits(part: Any, waits: Sequence[Comparison]) -> None:
    """Draw how long each whole command takes, where the replaced tool takes as long as the line."""
    part.suptitle("What a person waits for: whole commands, with default settings (the replaced tool's program = 1)")
    axes = part.subplots()
    colours = [_MISSED if one.is_met is False else _OURS for one in waits]
    bars = axes.barh([one.case for one in waits], [one.ratio for one in waits], color=colours)
    axes.bar_label(bars, [f"{one.ratio:.2f}" for one in waits], padding=4, fontsize="small")
    axes.axvline(1, color="black", linewidth=1)
    axes.invert_yaxis()
    axes.tick_params(labelsize="small")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_rivals(part: Any, rivals: dict[str, list[Comparison]]) -> None:
    """Draw a bar for the project and one for each other tool: how many times as long it took."""
    part.suptitle("A first load, over the wire (the project = 1; shorter is faster; the others build no foreign keys)")
    shown = {benchmark: found for benchmark, found in rivals.items() if found}
    longest = max(1 / one.ratio for found in shown.values() for one in found)
    for axes, (benchmark, found) in zip(part.subplots(1, len(shown), squeeze=False)[0], shown.items(), strict=True):
        names = ["smartdiet_assets", *(one.against for one in found)]
        times = [1.0, *(1 / one.ratio for one in found)]
        bars = axes.barh(names, times, color=[_OURS, *[_THEIRS] * len(found)])
        axes.bar_label(bars, [f"{time:.1f}" for time in times], padding=4)
        axes.invert_yaxis()
        axes.set_xlim(0, longest * 1.12)
        axes.set_title(_TITLES[benchmark], fontsize="medium")
        axes.spines[["top", "right"]].set_visible(False)


def _draw_aims(part: Any, aimed: Sequence[Comparison]) -> None:
    """Draw where each ratio and its spread are, relative to its aim."""
    part.suptitle("Every aim: the median ratio and its spread, divided by the aim (left of the line: reached)")
    axes = part.subplots()
    axes.axvline(1, color="black", linewidth=1)
    for place, one in enumerate(aimed):
        assert one.at_most is not None
        # Nothing is where a logarithm cannot be.
        least, middle, most = (max(x / one.at_most, 0.05) for x in (min(one.ratios), one.ratio, max(one.ratios)))
        colour = _OURS if one.is_met else _MISSED
        axes.plot([least, most], [place, place], color=colour, linewidth=4, alpha=0.35, solid_capstyle="butt")
        axes.plot(middle, place, "o", color=colour)
        axes.annotate(f"{one.ratio:.2f}", (most, place), (6, -3), textcoords="offset points", fontsize="small")
    labels = [f"{one.benchmark}, {one.case} / {one.against}   ≤ {one.at_most:.2f}" for one in aimed]
    axes.set_xscale("log")
    axes.set_xticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
    axes.set_xticks([], minor=True)
    axes.set_ylim(len(aimed) - 0.5, -0.5)
    axes.set_yticks(range(len(aimed)), labels, fontsize="small")
    axes.grid(axis="x", linewidth=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_growth(part: Any, growths: Sequence[Growth]) -> None:
    """Draw time against rows; the exponent of the last tenfold is where what is paid once weighs least."""
    part.suptitle("Growth: time against the rows of the table")
    axes = part.subplots()
    for growth in growths:
        label = f"{growth.name}: rows to the power of {growth.last_exponent:.2f} in the last tenfold"
        axes.plot(growth.rows, growth.times, "o-", label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("rows of the table")
    axes.set_ylabel("time, relative to the smallest first load")
    axes.grid(which="both", linewidth=0.3)
    axes.legend(fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
