"""Test metrics of the served predictions, and pictures of searches, history and mistakes."""

from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import f1_score

from slipway.reporting import Evaluation, plots
from slipway.reporting.uncertainty import metric_with_interval
from slipway.training import Candidate

from .model import Letter

COLOURS = {
    "random_search": "#7a5195",
    "optuna_tpe": "#d1793b",
    "gaussian_process": plots.INK,
    "gaussian_process_warm": plots.ACCENT,
}


def score(*, predictions: list[Letter], labels: list[str]) -> dict[str, float]:
    y_pred = [each.letter for each in predictions]
    right = np.array(y_pred) == np.array(labels)
    either = [
        label in (each.letter, each.runner_up)
        for label, each in zip(labels, predictions, strict=True)
    ]
    return {
        # Over letters.
        **metric_with_interval("accuracy", lambda rows: float(right[rows].mean()), len(right)),
        # The baseline predicts one letter for all. No single letter is right more often than the
        # commonest of these rows.
        "baseline_accuracy": max(Counter(labels).values()) / len(labels),
        "macro_f1": float(f1_score(labels, y_pred, average="macro", zero_division=0.0)),
        "among_two": float(np.mean(either)),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    named = {each.name: each for each in evaluation.candidates if each.name in COLOURS}
    figure, (left, right) = plots.panels(2)
    progress(left, named)
    rungs(right, named["gaussian_process_warm"])
    yield "searches", figure
    figure, (left, right) = plots.panels(2, height=4.4)
    tasks(left, named["gaussian_process_warm"])
    mistaken(right, evaluation)
    yield "history_and_errors", figure


def progress(axes: Axes, named: dict[str, Candidate]) -> None:
    """Draw the best accuracy so far: its mean over seeds, and its range."""
    lowest = []
    for name, each in named.items():
        table = np.array([row for key, row in each.curves.items() if key.startswith("seed_")])
        count, mean = np.arange(1, table.shape[1] + 1), table.mean(axis=0)
        ends = table.min(axis=0), table.max(axis=0)
        axes.plot(count, mean, color=COLOURS[name], label=name.replace("_", " "))
        axes.fill_between(count, *ends, color=COLOURS[name], alpha=0.12, lw=0)
        lowest.append(mean[min(3, len(mean) - 1)])
    axes.set(xlabel="trial", ylabel="accuracy on the first rung", title="Best so far (validation)")
    axes.set_ylim(bottom=min(lowest) - 0.02)
    axes.legend(fontsize=7, loc="lower right")


def rungs(axes: Axes, each: Candidate) -> None:
    """Draw successive halving: a line for each of the settings, up to its last rung."""
    last = sum(name.startswith("rung_") for name in each.curves)
    paths = defaultdict(list)
    for place in range(last):
        kept, values = each.curves[f"kept_{place}"], each.curves[f"rung_{place}"]
        for key, value in zip(kept, values, strict=True):
            paths[key].append(value)
    for path in paths.values():
        colour = plots.ACCENT if len(path) == last else plots.PALE
        axes.plot(range(1, len(path) + 1), path, "o-", markersize=3, color=colour)
    axes.set_xticks(range(1, last + 1))
    axes.set(xlabel="rung", ylabel="accuracy", title="Halving what the warm search tried")


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


def mistaken(axes: Axes, evaluation: Evaluation, shown: int = 12) -> None:
    """Draw the most frequent confusions of two letters."""
    pairs = zip(evaluation.test.labels, evaluation.predictions, strict=True)
    counts = Counter(f"{label} as {each.letter}" for label, each in pairs if label != each.letter)
    top = dict(counts.most_common(shown))
    plots.signed_bars(axes, list(top), list(top.values()), "Most mistaken (test rows)")
    axes.set_xlabel("letters")
