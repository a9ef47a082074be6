"""Test metrics of the served predictions, and pictures of drawings, searches and history."""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.kits.class_report import class_scores, confusion
from slipway.kits.drawing_report import draw_examples, example_drawings
from slipway.media import encode_png
from slipway.reporting import Evaluation, plots
from slipway.reporting.uncertainty import metric_with_interval
from slipway.training import Candidate

from .comparison import RIVALS, mean_interval
from .model import AutomlFromScratch, Drawing, ReadDigit

COLOURS = {
    "random_search": "#7a5195",
    "optuna_tpe": "#d1793b",
    "gaussian_process": plots.INK,
    "gaussian_process_warm": plots.ACCENT,
}
EXAMPLES = [Drawing(image=encode_png(picture)) for picture in example_drawings("863724")]


def score(*, predictions: list[ReadDigit], labels: list[str]) -> dict[str, float]:
    right = np.array([each.label for each in predictions]) == labels
    default = np.array([each.default_label for each in predictions]) == labels
    ahead = right.astype(float) - default
    return {
        **metric_with_interval("accuracy", lambda rows: float(right[rows].mean()), len(right)),
        "baseline_accuracy": float(default.mean()),
        # Paired: each resample draws the same pictures for both.
        **metric_with_interval("gain", lambda rows: float(ahead[rows].mean()), len(right)),
        **{
            name: value
            for name, value in class_scores(predictions, labels).items()
            if name != "accuracy"
        },
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    named = {each.name: each for each in evaluation.candidates if each.name in COLOURS}
    model = AutomlFromScratch()
    model.load(evaluation.weights)
    yield "drawings", draw_examples(EXAMPLES, model.predict(EXAMPLES))
    figure, (left, right) = plots.panels(2)
    progress(left, named)
    differences(right, named)
    yield "searches", figure
    figure, (left, right) = plots.panels(2, height=4.2)
    rungs(left, named[evaluation.chosen])
    tasks(right, named["gaussian_process_warm"])
    yield "halving_and_history", figure
    yield "confusion", confusion(evaluation)


def seeds_of(each: Candidate) -> np.ndarray:
    """Return the best value so far of each seed (seeds, trials)."""
    return np.array([row for key, row in each.curves.items() if key.startswith("seed_")])


def progress(axes: Axes, named: dict[str, Candidate]) -> None:
    """Draw the best accuracy so far: its mean over seeds, and the mean's interval."""
    lowest = []
    for name, each in named.items():
        mean, low, high = mean_interval(seeds_of(each))
        count = np.arange(1, len(mean) + 1)
        axes.plot(count, mean, color=COLOURS[name], label=name.replace("_", " "))
        axes.fill_between(count, low, high, color=COLOURS[name], alpha=0.12, lw=0)
        lowest.append(mean[min(3, len(mean) - 1)])
    axes.set(xlabel="trial", ylabel="accuracy on the first rung", title="Best so far (validation)")
    axes.set_ylim(bottom=min(lowest) - 0.02)
    axes.legend(fontsize=7, loc="lower right")


def differences(axes: Axes, named: dict[str, Candidate]) -> None:
    """Draw how far each search is ahead of its rival with the same seeds, with intervals."""
    for name, rivals in RIVALS.items():
        rival = next(iter(rivals.values()))
        mean, low, high = mean_interval(100 * (seeds_of(named[name]) - seeds_of(named[rival])))
        count = np.arange(1, len(mean) + 1)
        label = f"{name} minus {rival}".replace("_", " ")
        axes.plot(count, mean, color=COLOURS[name], label=label)
        axes.fill_between(count, low, high, color=COLOURS[name], alpha=0.12, lw=0)
    axes.axhline(0, color=plots.INK, linestyle=":", linewidth=0.8)
    axes.set(xlabel="trial", ylabel="percentage points", title="Paired differences of the best")
    axes.legend(fontsize=7)


def rungs(axes: Axes, each: Candidate) -> None:
    """Draw successive halving: a line for each of the settings, up to its last rung."""
    last = sum(name.startswith("rung_") for name in each.curves)
    paths = defaultdict(list)
    for place in range(last):
        kept, values = each.curves[f"kept_{place}"], each.curves[f"rung_{place}"]
        for key, value in zip(kept, values, strict=True):
            paths[key].append(value)
    for path in sorted(paths.values(), key=len):
        colour = plots.ACCENT if len(path) == last else plots.PALE
        axes.plot(range(1, len(path) + 1), path, "o-", markersize=3, color=colour)
    axes.set_xticks(range(1, last + 1))
    title = f"Halving what {each.name.replace('_', ' ')} tried"
    axes.set(xlabel="rung", ylabel="accuracy", title=title)


def tasks(axes: Axes, each: Candidate) -> None:
    """Draw the distances of the earlier tasks with the best accuracy on each."""
    found = {
        name.removeprefix("task_"): values
        for name, values in each.curves.items()
        if name.startswith("task_")
    }
    far, best = zip(*found.values(), strict=True)
    (bars,) = plots.bars(
        axes, list(found), far, "Earlier tasks, the most alike first", horizontal=True
    )
    axes.bar_label(bars, [f"best {value:.2f}" for value in best], fontsize=7, padding=2)
    axes.set_xlabel("distance of meta-features")
