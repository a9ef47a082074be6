"""Pictures that more than one project draws, in one style."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from slipway.reporting.figure import figure as written
from slipway.training.calibration import Reliability
from slipway.training.candidates import BASELINE, Candidate

INK, ACCENT, PALE = "#24323f", "#0b7189", "#b8c4cc"
Numbers = Sequence[float] | np.ndarray
Truths = Sequence[bool] | np.ndarray

plt.rcParams.update(
    {
        "figure.dpi": 100,
        "figure.constrained_layout.use": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": INK,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "legend.frameon": False,
        "font.size": 9,
    }
)


def panels(count: int, *, height: float = 3.6) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels side by side."""
    figure, axes = plt.subplots(1, count, figsize=(4.6 * count, height), squeeze=False)
    return figure, list(axes[0])


def save(figure: Figure, file: Path) -> None:
    """Write a PNG without a date or a version in it, so that equal runs give equal bytes."""
    figure.savefig(file, metadata={"Software": None})
    plt.close(figure)


def candidates(tried: Sequence[Candidate], chosen: str, metric: str) -> Figure:
    """Draw a bar for each candidate: its validation metric, with its standard error where given.

    Without a standard error the bar has the spread over folds, if that is given.
    """
    shown = [each for each in tried if metric in each.metrics]
    figure, axes = plt.subplots(figsize=(6.4, 0.9 + 0.34 * max(len(shown), 1)))
    colours = [
        ACCENT if each.name == chosen else PALE if each.name != BASELINE else INK for each in shown
    ]
    values = [each.metrics[metric] for each in shown]
    spread = [
        each.metrics.get(f"{metric}_se", each.metrics.get(f"{metric}_std", 0.0)) for each in shown
    ]
    axes.barh([each.name for each in shown], values, xerr=spread, color=colours, ecolor=INK)
    axes.invert_yaxis()
    for row, value in enumerate(values):
        # Right of a bar to the left: on it the figure could not be read.
        axes.annotate(f" {written(value)}", (max(value + spread[row], 0), row), va="center")
    for label in axes.get_yticklabels():
        label.set_fontweight("bold" if label.get_text() == chosen else "normal")
    axes.margins(x=0.15)
    # Over the whole figure: long names leave little room over the bars.
    figure.suptitle(
        f"Candidates by validation {metric} (the chosen one in bold)",
        x=0.01,
        ha="left",
        size=plt.rcParams["axes.titlesize"],
        weight=plt.rcParams["axes.titleweight"],
    )
    return figure


def bars(
    axes: Axes,
    names: Sequence[object],
    values: Mapping[str, Numbers] | Numbers,
    title: str = "",
    *,
    lying: bool = False,
    form: str = "",
    chosen: object = None,
    colours: Sequence[str] = (ACCENT, PALE, INK),
    reach: Numbers | None = None,
    size: float = 7,
) -> list[BarContainer]:
    """A bar a name, or side by side one of each kind that `values` names.

    `form` writes each value on its bar, as "{:.2f}". Lying bars read from the top. Where one name
    is `chosen` the others are pale. `reach` is half the width of the last kind's intervals.
    """
    kinds = values if isinstance(values, Mapping) else {"": values}
    width, places, drawn = 0.8 / len(kinds), np.arange(len(names)), []
    marked = [ACCENT if each == chosen else PALE for each in names]
    for step, (kind, heights) in enumerate(kinds.items()):
        options: dict[str, Any] = {"color": colours[step] if chosen is None else marked}
        if reach is not None and step == len(kinds) - 1:
            options |= {"xerr" if lying else "yerr": reach, "ecolor": INK}
        at = places + (step - (len(kinds) - 1) / 2) * width
        draw = axes.barh if lying else axes.bar
        drawn.append(draw(at, heights, width, label=kind or None, **options))
        if form:
            axes.bar_label(drawn[-1], [form.format(each) for each in heights], size=size, padding=2)
    labels = [str(name) for name in names]
    if lying:
        axes.set_yticks(places, labels)
        axes.invert_yaxis()
        axes.margins(x=0.2)
    else:
        axes.set_xticks(places, labels)
        axes.margins(y=0.25)
    if len(kinds) > 1:
        # On the axes it would lie on a lying bar; over the others there is room.
        where: dict[str, Any] = {"loc": "upper left"}
        if lying:
            where = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.08)}
        axes.legend(ncols=len(kinds), fontsize=size, **where)
    axes.set_title(title)
    return drawn


def intervals(
    axes: Axes,
    found: Mapping[str, tuple[float, float, float]],
    title: str = "",
    *,
    form: str = "",
    colours: Sequence[str] = (ACCENT,),
    nothing: float = 0.0,
) -> None:
    """A point a name, from the top down, with its interval: value, low, high.

    The last of the `colours` is that of all that follow; a line stands at `nothing`, no effect.
    """
    for place, (value, low, high) in enumerate(found.values()):
        reach, colour = [[value - low], [high - value]], colours[min(place, len(colours) - 1)]
        axes.errorbar([value], [place], xerr=reach, fmt="o", capsize=3, color=colour)
        if form:
            axes.annotate(
                form.format(value),
                (value, place),
                (0, 4),
                textcoords="offset points",
                size=8,
                ha="center",
                va="bottom",
            )
    axes.set_yticks(range(len(found)), list(found))
    axes.set_ylim(len(found) - 0.5, -0.7)
    axes.axvline(nothing, color=INK, linewidth=0.6)
    axes.locator_params(axis="x", nbins=6)
    axes.set_title(title)


def reliability(
    axes: Axes, found: Reliability, title: str = "", *, label: str = "", colour: str = ACCENT
) -> None:
    """Draw the observed share against the predicted probability, with 95 % intervals."""
    ends = [0.0, float(max(found.y_prob.max(), found.observed.max()))]
    axes.plot(ends, ends, color=PALE, linestyle=":")
    axes.errorbar(
        found.y_prob,
        found.observed,
        yerr=found.margin,
        fmt="o-",
        markersize=3,
        capsize=2,
        color=colour,
        label=label or None,
    )
    axes.set(xlabel="predicted", ylabel="observed", title=title)


def heat(
    axes: Axes,
    table: np.ndarray,
    rows: Sequence[object],
    columns: Sequence[object],
    title: str = "",
    *,
    form: str = "",
    reach: float | None = None,
    size: float = 7,
    wide: bool = False,
) -> None:
    """Values (rows, columns) from pale to dark; with a `reach`, from -reach in blue to it in red.

    `form` writes each value in its cell, as "{:.2f}"; names and values are of `size`. Cells are
    square, or as `wide` as there is room for.
    """
    aspect: Any = "auto" if wide else "equal"
    if reach is None:
        axes.imshow(table, cmap="GnBu", aspect=aspect)
        dark = table > table.max() / 2
    else:
        shown = axes.imshow(table, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect=aspect)
        axes.figure.colorbar(shown, ax=axes, shrink=0.6)
        dark = np.abs(table) > 0.65 * reach
    for (row, column), value in np.ndenumerate(table) if form else ():
        colour = "white" if dark[row, column] else INK
        told = form.format(value)
        axes.text(column, row, told, ha="center", va="center", color=colour, size=size)
    names = [str(name) for name in columns]
    if len(names) <= 5:
        axes.set_xticks(range(len(names)), names, size=size)
    else:  # a tilted name ends under its column
        tilt: dict[str, Any] = {"rotation": 60, "rotation_mode": "anchor", "ha": "right"}
        axes.set_xticks(range(len(names)), names, size=size, **tilt)
    axes.set_yticks(range(len(rows)), [str(name) for name in rows], size=size)
    axes.set_title(title)


def confusion(
    axes: Axes, truths: Sequence[object], told: Sequence[object], labels: Sequence[object]
) -> None:
    """Counts of truth (rows) against answer (columns)."""
    position = {label: place for place, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=int)
    for truth, answer in zip(truths, told, strict=True):
        counts[position[truth], position[answer]] += 1
    size = 9 if len(labels) <= 4 else 7
    heat(axes, counts, labels, labels, "Confusion matrix (test rows)", form="{:d}", size=size)
    axes.set(xlabel="predicted", ylabel="true")


def weights(axes: Axes, names: Sequence[str], values: Numbers, title: str) -> None:
    """Horizontal bars around zero, the first name on top."""
    colours = [ACCENT if value >= 0 else INK for value in values]
    axes.barh(list(names), list(values), color=colours)
    axes.invert_yaxis()
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_title(title)


def curves(axes: Axes, tried: Sequence[Candidate], curve: str, title: str) -> None:
    """One line a candidate that has the curve."""
    for each in tried:
        if curve in each.curves:
            values = each.curves[curve]
            axes.plot(range(1, len(values) + 1), values, label=each.name)
    axes.set_xlabel("epoch")
    axes.set_ylabel(curve)
    axes.legend()
    axes.set_title(title)


def share(axes: Axes, groups: Sequence[str], truths: Sequence[bool], title: str) -> None:
    """The share of positives in each group, with the group's size written on its bar."""
    for group in sorted(set(groups)):
        members = [truth for name, truth in zip(groups, truths, strict=True) if name == group]
        bar = axes.bar([group], [float(np.mean(members))], color=ACCENT)
        axes.bar_label(bar, [f"{len(members)}"], fontsize=7)
    axes.set_ylim(0, 1.05)
    axes.set_title(title)
