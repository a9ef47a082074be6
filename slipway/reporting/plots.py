"""Plots that more than one project draws, in one style."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from slipway.training.calibration import Reliability
from slipway.training.candidates import Candidate

INK, ACCENT, PALE = "#24323f", "#0b7189", "#b8c4cc"
Numbers = Sequence[float] | np.ndarray
Labels = Sequence[bool] | np.ndarray

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
    """Return a figure with `count` panels side by side."""
    figure, axes = plt.subplots(1, count, figsize=(4.6 * count, height), squeeze=False)
    return figure, list(axes[0])


def save(figure: Figure, file: Path) -> None:
    """Write a PNG without date or version metadata, so that equal runs give equal bytes."""
    figure.savefig(file, metadata={"Software": None})
    plt.close(figure)


def bars(
    axes: Axes,
    names: Sequence[object],
    values: Mapping[str, Numbers] | Numbers,
    title: str = "",
    *,
    horizontal: bool = False,
    fmt: str = "",
    chosen: object = None,
    colours: Sequence[str] = (ACCENT, PALE, INK),
    half_width: Numbers | None = None,
    size: float = 7,
) -> list[BarContainer]:
    """Draw one bar per name, or one group of bars per name if `values` maps several series.

    `fmt` writes each value on its bar, as "{:.2f}". Horizontal bars start at the top. If one name
    is `chosen`, the others are pale. `half_width` gives the last series its error bars.
    """
    series = values if isinstance(values, Mapping) else {"": values}
    width, places, drawn = 0.8 / len(series), np.arange(len(names)), []
    marked = [ACCENT if each == chosen else PALE for each in names]
    for step, (name, heights) in enumerate(series.items()):
        options: dict[str, Any] = {"color": colours[step] if chosen is None else marked}
        if half_width is not None and step == len(series) - 1:
            options |= {"xerr" if horizontal else "yerr": half_width, "ecolor": INK}
        at = places + (step - (len(series) - 1) / 2) * width
        draw = axes.barh if horizontal else axes.bar
        drawn.append(draw(at, heights, width, label=name or None, **options))
        if fmt:
            axes.bar_label(drawn[-1], [fmt.format(each) for each in heights], size=size, padding=2)
    labels = [str(name) for name in names]
    if horizontal:
        axes.set_yticks(places, labels)
        axes.invert_yaxis()
        axes.margins(x=0.2)
    else:
        axes.set_xticks(places, labels)
        axes.margins(y=0.25)
    if len(series) > 1:
        # Horizontal bars leave no room inside the axes; above vertical ones there is some.
        where: dict[str, Any] = {"loc": "upper left"}
        if horizontal:
            where = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.08)}
        axes.legend(ncols=len(series), fontsize=size, **where)
    axes.set_title(title)
    return drawn


def intervals(
    axes: Axes,
    estimates: Mapping[str, tuple[float, float, float]],
    title: str = "",
    *,
    fmt: str = "",
    colours: Sequence[str] = (ACCENT,),
    no_effect: float = 0.0,
) -> None:
    """Draw one point per name, from the top down, with its interval: value, low, high.

    If there are fewer `colours` than names, the last one repeats. A line marks `no_effect`.
    """
    for place, (value, low, high) in enumerate(estimates.values()):
        distances, colour = [[value - low], [high - value]], colours[min(place, len(colours) - 1)]
        axes.errorbar([value], [place], xerr=distances, fmt="o", capsize=3, color=colour)
        if fmt:
            axes.annotate(
                fmt.format(value),
                (value, place),
                (0, 4),
                textcoords="offset points",
                size=8,
                ha="center",
                va="bottom",
            )
    axes.set_yticks(range(len(estimates)), list(estimates))
    axes.set_ylim(len(estimates) - 0.5, -0.7)
    axes.axvline(no_effect, color=INK, linewidth=0.6)
    axes.locator_params(axis="x", nbins=6)
    axes.set_title(title)


def reliability(
    axes: Axes, curve: Reliability, title: str = "", *, label: str = "", colour: str = ACCENT
) -> None:
    """Draw the observed share against the predicted probability, with 95 % intervals."""
    ends = [0.0, float(max(curve.y_prob.max(), curve.observed.max()))]
    axes.plot(ends, ends, color=PALE, linestyle=":")
    axes.errorbar(
        curve.y_prob,
        curve.observed,
        yerr=curve.margin,
        fmt="o-",
        markersize=3,
        capsize=2,
        color=colour,
        label=label or None,
    )
    axes.set(xlabel="predicted", ylabel="observed", title=title)


def heatmap(
    axes: Axes,
    table: np.ndarray,
    rows: Sequence[object],
    columns: Sequence[object],
    title: str = "",
    *,
    fmt: str = "",
    limit: float | None = None,
    size: float = 7,
    wide: bool = False,
) -> None:
    """Draw values (rows, columns) from pale to dark, or from -`limit` in blue to `limit` in red.

    `fmt` writes each value in its cell, as "{:.2f}"; `size` is the font size of names and values.
    Cells are square, or fill the axes if `wide`.
    """
    aspect: Any = "auto" if wide else "equal"
    if limit is None:
        axes.imshow(table, cmap="GnBu", aspect=aspect)
        dark = table > table.max() / 2
    else:
        shown = axes.imshow(table, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect=aspect)
        axes.figure.colorbar(shown, ax=axes, shrink=0.6)
        dark = np.abs(table) > 0.65 * limit
    for (row, column), value in np.ndenumerate(table) if fmt else ():
        colour = "white" if dark[row, column] else INK
        text = fmt.format(value)
        axes.text(column, row, text, ha="center", va="center", color=colour, size=size)
    names = [str(name) for name in columns]
    if len(names) <= 5:
        axes.set_xticks(range(len(names)), names, size=size)
    else:  # so that a tilted name ends under its column
        tilt: dict[str, Any] = {"rotation": 60, "rotation_mode": "anchor", "ha": "right"}
        axes.set_xticks(range(len(names)), names, size=size, **tilt)
    axes.set_yticks(range(len(rows)), [str(name) for name in rows], size=size)
    axes.set_title(title)


def confusion(
    axes: Axes, y_true: Sequence[object], y_pred: Sequence[object], labels: Sequence[object]
) -> None:
    """Draw the confusion matrix: counts by true label (rows) and predicted label (columns)."""
    position = {label: place for place, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=int)
    for true, predicted in zip(y_true, y_pred, strict=True):
        counts[position[true], position[predicted]] += 1
    size = 9 if len(labels) <= 4 else 7
    heatmap(axes, counts, labels, labels, "Confusion matrix (test rows)", fmt="{:d}", size=size)
    axes.set(xlabel="predicted", ylabel="true")


def signed_bars(axes: Axes, names: Sequence[str], values: Numbers, title: str) -> None:
    """Draw horizontal bars around zero, the first name on top."""
    colours = [ACCENT if value >= 0 else INK for value in values]
    axes.barh(list(names), list(values), color=colours)
    axes.invert_yaxis()
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_title(title)


def curves(axes: Axes, tried: Sequence[Candidate], curve: str, title: str) -> None:
    """Draw the learning curve `curve` of every candidate that has it."""
    for each in tried:
        if curve in each.curves:
            values = each.curves[curve]
            axes.plot(range(1, len(values) + 1), values, label=each.name)
    axes.set_xlabel("epoch")
    axes.set_ylabel(curve)
    axes.legend()
    axes.set_title(title)


def positive_rate(axes: Axes, groups: Sequence[str], y_true: Sequence[bool], title: str) -> None:
    """Draw the share of positives in each group, with the group's size on its bar."""
    for group in sorted(set(groups)):
        members = [label for name, label in zip(groups, y_true, strict=True) if name == group]
        bar = axes.bar([group], [float(np.mean(members))], color=ACCENT)
        axes.bar_label(bar, [f"{len(members)}"], fontsize=7)
    axes.set_ylim(0, 1.05)
    axes.set_title(title)
