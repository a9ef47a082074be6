"""Scores of the served outlooks on the test cardholders, and pictures of the searches.

The pictures show each search's progress, what it selected, and the ROC and precision curves.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.reporting import Evaluation, curves, plots
from slipway.reporting.metrics import binary_metrics
from slipway.training import Candidate

from .metrics import FIGURES, GROUPS, LEARNERS
from .model import Outlook

COLOURS = (plots.INK, plots.PALE, "#d1793b", plots.ACCENT, "#7a5195")


def score(*, answers: list[Outlook], truths: list[bool]) -> dict[str, float]:
    defaulted = np.array(truths)
    told = np.array([each.probability for each in answers])
    flagged = np.array([each.defaults for each in answers])
    return {
        **binary_metrics(defaulted, *FIGURES, "f1", "recall", y_prob=told, y_pred=flagged),
        "flagged": float(flagged.mean()),
        "mean_told_less_happened": float(told.mean() - defaulted.mean()),
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
    told = [each.probability for each in evaluation.answers]
    figure, (left, right) = plots.panels(2, height=3.2)
    curves.roc(left, evaluation.test.truths, told)
    curves.precision_recall(right, evaluation.test.truths, told)
    yield "curves", figure


def visits(axes: Axes, runs: list[Candidate]) -> None:
    """Where each search spent its trials that came to a score."""
    start = np.zeros(len(runs))
    for number, (learner, colour) in enumerate(zip(LEARNERS, COLOURS, strict=True)):
        counts = np.array([each.curves["learner"].count(float(number)) for each in runs])
        axes.barh([each.name for each in runs], counts, left=start, color=colour, label=learner)
        start += counts
    axes.legend(fontsize=7, ncols=3, loc="upper left")
    axes.set(xlabel="trials", title="Learners that were scored")
    # Upside down: the first on top, and room over it.
    axes.set_ylim(len(runs) - 0.4, -1.4)


def selected(evaluation: Evaluation) -> Figure:
    """What each candidate relies on, and what it is."""
    shown = [each for each in evaluation.candidates if "relied_on" in each.curves]
    lost = np.array([each.curves["relied_on"] for each in shown])
    figure, (left, right) = plots.panels(2, height=1.2 + 0.42 * len(shown))
    rows, columns = [each.name for each in shown], [each.replace("_", " ") for each in GROUPS]
    title = "Area lost when shuffled (validation)"
    plots.heat(left, lost, rows, columns, title, form="{:.3f}", wide=True)
    for row, each in enumerate(shown):
        right.text(0, row, summary(each.parameters), va="center", size=7)
    right.set(ylim=(len(shown) - 0.5, -0.5), xlim=(0, 1), title="Selected")
    right.axis("off")
    return figure


def summary(settings: dict[str, Any]) -> str:
    """The learner, its columns, and what it has most of."""
    told = [settings["learner"], settings["columns"].replace("_", " ")]
    if settings["percent_kept"] < 100:
        told.append(f"best {settings['percent_kept']} %")
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
            told.append(f"{word}{value:.3g}" if isinstance(value, float) else f"{word}{value}")
    return ", ".join(told)
