"""The plot of a project's candidates: the primary metric of each on validation data."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.reporting.figure import figure as written
from slipway.reporting.plots import ACCENT, INK, PALE
from slipway.training.candidates import BASELINE, Candidate

# A baseline that lies further away than this many widths of the other candidates' range is drawn
# at the edge: on its scale, the differences between the others would vanish.
FAR = 1.5


def candidates_plot(
    tried: Sequence[Candidate], *, chosen: str, metric: str, higher_is_better: bool = True
) -> Figure:
    """Draw a point for each candidate that has the metric, with an error bar if known.

    The axis begins where the candidates do, so that their differences can be seen. The error bar is
    one standard error, otherwise the standard deviation over folds. A baseline
    that is far away is an arrow head at the edge.
    """
    shown = [each for each in tried if metric in each.metrics]
    figure, axes = plt.subplots(figsize=(6.4, 1.1 + 0.3 * max(len(shown), 1)))
    low, high = _limits(shown, metric)
    for row, each in enumerate(shown):
        value, spread = each.metrics[metric], _spread(each, metric)
        colour = ACCENT if each.name == chosen else INK if each.name == BASELINE else PALE
        if low <= value <= high:
            axes.errorbar([value], [row], xerr=spread, fmt="o", capsize=3, color=colour)
        else:
            _arrow(axes, low if value < low else high, row, colour, left=value < low)
        # To the right of the axes, in a column, where no error bar crosses it.
        axes.annotate(written(value), (1.02, row), xycoords=axes.get_yaxis_transform(), va="center")
    axes.set_xlim(low, high)
    axes.set_yticks(range(len(shown)), [each.name for each in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    for label in axes.get_yticklabels():
        label.set_fontweight("bold" if label.get_text() == chosen else "normal")
    axes.grid(axis="y", color=PALE, linewidth=0.5, alpha=0.6)
    axes.set_xlabel(_label(shown, metric, higher_is_better))
    # A title over the whole figure: long names leave little room above the points.
    figure.suptitle(
        f"Candidates by validation {metric} (the chosen one in bold)",
        x=0.01,
        ha="left",
        size=plt.rcParams["axes.titlesize"],
        weight=plt.rcParams["axes.titleweight"],
    )
    return figure


def _spread(candidate: Candidate, metric: str) -> float:
    metrics = candidate.metrics
    return metrics.get(f"{metric}_se", metrics.get(f"{metric}_std", 0.0))


def _limits(shown: Sequence[Candidate], metric: str) -> tuple[float, float]:
    """Return the ends of the axis: those of all error bars, without a baseline far away."""

    def ends(of: Sequence[Candidate]) -> tuple[float, float]:
        spans = [(each.metrics[metric], _spread(each, metric)) for each in of]
        return min(value - spread for value, spread in spans), max(sum(span) for span in spans)

    if not shown:
        return 0.0, 1.0
    low, high = ends(shown)
    others = [each for each in shown if each.name != BASELINE]
    if len(others) > 1:
        inner_low, inner_high = ends(others)
        width = inner_high - inner_low
        if max(inner_low - low, high - inner_high) > FAR * width > 0:
            low, high = inner_low, inner_high
    margin = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _arrow(axes: Axes, edge: float, row: int, colour: str, *, left: bool) -> None:
    marker = "<" if left else ">"
    axes.plot([edge], [row], marker, color=colour, markersize=8, clip_on=False)


def _label(shown: Sequence[Candidate], metric: str, higher_is_better: bool) -> str:
    better = "higher" if higher_is_better else "lower"
    names = {key for each in shown for key in each.metrics}
    bars = ""
    if f"{metric}_se" in names:
        bars = "; bars: one standard error"
    elif f"{metric}_std" in names:
        bars = "; bars: standard deviation over folds"
    return f"{metric}, {better} is better{bars}"
