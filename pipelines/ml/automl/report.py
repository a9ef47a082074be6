"""Test metrics of the served predictions, and pictures of the searches.

The pictures show each search's progress, what it selected, and the ROC and precision curves.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.reporting import Evaluation, curves, plots
from slipway.reporting.metrics import binary_metrics
from slipway.reporting.uncertainty import baseline_metric, metric_with_interval
from slipway.training import Candidate
from slipway.training.resampled import roc_auc_by_rows

from .metrics import FIGURES, GROUPS, LEARNERS
from .model import Outlook

COLOURS = (plots.INK, plots.PALE, "#d1793b", plots.ACCENT, "#7a5195")


def score(*, predictions: list[Outlook], labels: list[bool]) -> dict[str, float]:
    defaulted = np.array(labels)
    y_prob = np.array([each.probability for each in predictions])
    flagged = np.array([each.defaults for each in predictions])
    same = np.zeros(len(defaulted))
    return {
        # Over cardholders.
        **metric_with_interval("roc_auc", roc_auc_by_rows(defaulted, y_prob), len(defaulted)),
        # The baseline predicts the same probability for everybody.
        **baseline_metric("roc_auc", roc_auc_by_rows(defaulted, same), len(defaulted)),
        **binary_metrics(defaulted, *FIGURES, "f1", "recall", y_prob=y_prob, y_pred=flagged),
        "flagged": float(flagged.mean()),
        "mean_probability_bias": float(y_prob.mean() - defaulted.mean()),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    runs = [each for each in evaluation.candidates if "area" in each.curves]
    figure, (left, right) = plots.panels(2)
    for each, colour in zip(runs, COLOURS, strict=False):
        best = np.maximum.accumulate(each.curves["area"])
        left.step(each.curves["fits"], best, where="post", color=colour, label=each.name)
    highest = max(max(each.curves["area"]) for each in runs)
    left.set(xlabel="fits", ylabel="area in the folds", title="Best so far, by fits used")
    left.set_ylim(highest - 0.025, highest + 0.002)
    left.legend(fontsize=7, loc="lower right")
    visits(right, runs)
    yield "searches", figure
    yield "selected", selected(evaluation)
    y_prob = [each.probability for each in evaluation.predictions]
    figure, (left, right) = plots.panels(2, height=3.2)
    curves.roc(left, evaluation.test.labels, y_prob)
    curves.precision_recall(right, evaluation.test.labels, y_prob)
    yield "curves", figure


def visits(axes: Axes, runs: list[Candidate]) -> None:
    """Draw how many scored trials each search spent on each learner."""
    start = np.zeros(len(runs))
    for number, (learner, colour) in enumerate(zip(LEARNERS, COLOURS, strict=True)):
        counts = np.array([each.curves["learner"].count(float(number)) for each in runs])
        axes.barh([each.name for each in runs], counts, left=start, color=colour, label=learner)
        start += counts
    axes.legend(fontsize=7, ncols=3, loc="upper left")
    axes.set(xlabel="trials", title="Learners that were scored")
    # Inverted, so that the first is on top, with room above it for the legend.
    axes.set_ylim(len(runs) - 0.4, -1.4)


def selected(evaluation: Evaluation) -> Figure:
    """Draw the importance of column groups for each candidate beside its settings."""
    shown = [each for each in evaluation.candidates if "relied_on" in each.curves]
    lost = np.array([each.curves["relied_on"] for each in shown])
    figure, (left, right) = plots.panels(2, height=1.2 + 0.42 * len(shown))
    rows, columns = [each.name for each in shown], [each.replace("_", " ") for each in GROUPS]
    title = "Area lost when shuffled (validation)"
    plots.heatmap(left, lost, rows, columns, title, fmt="{:.3f}", wide=True)
    for row, each in enumerate(shown):
        right.text(0, row, summary(each.parameters), va="center", size=7)
    right.set(ylim=(len(shown) - 0.5, -0.5), xlim=(0, 1), title="Selected")
    right.axis("off")
    return figure


def summary(settings: dict[str, Any]) -> str:
    """Return the learner, its columns and its main settings in one line."""
    parts = [settings["learner"], settings["columns"].replace("_", " ")]
    if settings["percent_kept"] < 100:
        parts.append(f"best {settings['percent_kept']} %")
    names = {
        "preparation": "",
        "hidden_layer_sizes": "layers ",
        "n_estimators": "trees ",
        "learning_rate": "rate ",
        "num_leaves": "leaves ",
        "max_leaves": "leaves ",
        "max_depth": "depth ",
        "C": "C ",
    }
    for name, word in names.items():
        value = settings.get(name)
        if value:
            parts.append(f"{word}{value:.3g}" if isinstance(value, float) else f"{word}{value}")
    return ", ".join(parts)
