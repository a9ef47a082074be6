"""Score survival predictions; draw the errors, the ROC curve, and survival by group."""

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure

from slipway.kits.tabular.report import binary_scores, errors
from slipway.reporting import Evaluation, plots
from slipway.reporting.uncertainty import metric_with_interval

from .model import Passenger, Survival


def score(*, predictions: list[Survival], labels: list[bool]) -> dict[str, float]:
    survived = np.array(labels)
    right = np.array([each.survived for each in predictions]) == survived
    return {
        # Over passengers. Families shared their fate, so the true interval is wider.
        **metric_with_interval("accuracy", lambda rows: float(right[rows].mean()), len(right)),
        # The baseline predicts that nobody survived.
        "baseline_accuracy": float(np.mean(~survived)),
        **binary_scores(predictions, labels, "survived", "precision", "recall", "f1", "roc_auc"),
    }


def family_size(passenger: Passenger) -> str:
    """Return the size as text; seven and more are one group (25 of all 891 passengers)."""
    people = 1 + passenger.siblings_spouses + passenger.parents_children
    return str(people) if people < 7 else "7+"


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    yield "errors", errors(evaluation, "survived", "roc")
    figure, axes = plots.panels(3)
    groups = {
        "sex": [each.sex for each in evaluation.train.records],
        "class": [str(each.passenger_class) for each in evaluation.train.records],
        "family size": [family_size(each) for each in evaluation.train.records],
    }
    for panel, (name, values) in zip(axes, groups.items(), strict=True):
        plots.positive_rate(panel, values, evaluation.train.labels, f"Survived, by {name}")
    yield "survival", figure
