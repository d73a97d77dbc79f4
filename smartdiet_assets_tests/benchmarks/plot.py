"""The plot of a run: every ratio with its spread and its aim, and time against rows. Needs matplotlib.

Not here: the tables (`report`). No seconds: times are relative to the first size.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from smartdiet_assets_tests.benchmarks.measuring import Comparison
from smartdiet_assets_tests.benchmarks.results import Growth, Result

_INCHES_PER_BAR = 0.24
_WIDTH = 13.0
_GROWTH_HEIGHT = 4.5


def can_plot() -> bool:
    """Tell whether matplotlib is installed; it comes with the `benchmark` extra."""
    return find_spec("matplotlib") is not None


def write_plot(results: Sequence[Result], path: Path) -> None:
    """Write the plot as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    comparisons = [result for result in results if isinstance(result, Comparison) and result.ratios]
    growths = [result for result in results if isinstance(result, Growth)]
    heights = [1.2 + _INCHES_PER_BAR * len(comparisons), *([_GROWTH_HEIGHT] if growths else [])]
    figure = Figure(figsize=(_WIDTH, sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    _draw_ratios(axes[0], comparisons)
    if growths:
        _draw_growth(axes[1], growths)
    figure.savefig(path, dpi=100)


def _draw_ratios(axes: Any, comparisons: Sequence[Comparison]) -> None:
    places = range(len(comparisons))
    colours = {True: "tab:green", False: "tab:red", None: "tab:blue"}
    axes.axvline(1, color="grey", linewidth=0.8)
    for place, comparison in zip(places, comparisons, strict=True):
        # Nothing is where a logarithm cannot be.
        ratios = [max(ratio, 1e-3) for ratio in comparison.ratios]
        colour = colours[comparison.is_met]
        axes.plot([min(ratios), max(ratios)], [place, place], color=colour, linewidth=3, alpha=0.4)
        axes.plot(max(comparison.ratio, 1e-3), place, "o", color=colour)
        if comparison.at_most is not None:
            axes.plot(comparison.at_most, place, "|", color="black", markersize=11)
    axes.set_xscale("log")
    axes.set_ylim(len(comparisons) - 0.5, -0.5)
    axes.set_yticks(
        list(places), [f"{one.benchmark}, {one.case} / {one.against}" for one in comparisons], fontsize="small"
    )
    axes.grid(axis="x", which="both", linewidth=0.3)
    axes.set_xlabel("time of the project / time of what it is compared with; bar: spread; black line: aim")


def _draw_growth(axes: Any, growths: Sequence[Growth]) -> None:
    for growth in growths:
        label = f"{growth.name}: rows to the power of {growth.exponent:.2f}"
        axes.plot(growth.rows, growth.times, "o-", label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("rows of the table")
    axes.set_ylabel("time, relative to the fastest first load")
    axes.grid(which="both", linewidth=0.3)
    axes.legend(fontsize="small")
