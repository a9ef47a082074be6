"""Score survival predictions; draw the errors, the ROC curve, and survival by group."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from slipway.reporting import Evaluation, curves, plots
from slipway.reporting.metrics import binary_metrics

from .model import Passenger, Survival


def score(*, predictions: list[Survival], labels: list[bool]) -> dict[str, float]:
    y_prob, y_pred = (
        [each.probability for each in predictions],
        [each.survived for each in predictions],
    )
    names = ("accuracy", "precision", "recall", "f1", "roc_auc")
    return binary_metrics(labels, *names, y_prob=y_prob, y_pred=y_pred)


def family_size(passenger: Passenger) -> str:
    """Return the size as text; seven and more are one group (25 of all 891 passengers)."""
    people = 1 + passenger.siblings_spouses + passenger.parents_children
    return str(people) if people < 7 else "7+"


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    labels = evaluation.test.labels
    figure, (left, right) = plots.panels(2)
    plots.confusion(left, labels, [each.survived for each in evaluation.predictions], [False, True])
    curves.roc(right, labels, [each.probability for each in evaluation.predictions])
    yield "errors", figure
    figure, axes = plots.panels(3)
    groups = {
        "sex": [each.sex for each in evaluation.train.records],
        "class": [str(each.passenger_class) for each in evaluation.train.records],
        "family size": [family_size(each) for each in evaluation.train.records],
    }
    for panel, (name, values) in zip(axes, groups.items(), strict=True):
        plots.positive_rate(panel, values, evaluation.train.labels, f"Survived, by {name}")
    yield "survival", figure
