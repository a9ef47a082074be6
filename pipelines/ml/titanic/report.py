"""Score survival predictions; draw the errors, the ROC curve, and survival by group."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from slipway.reporting import Evaluation, curves, plots
from slipway.reporting.metrics import binary_metrics

from .model import Passenger, Survival


def score(*, answers: list[Survival], truths: list[bool]) -> dict[str, float]:
    told, decided = [each.probability for each in answers], [each.survived for each in answers]
    names = ("accuracy", "precision", "recall", "f1", "roc_auc")
    return binary_metrics(truths, *names, y_prob=told, y_pred=decided)


def family_size(passenger: Passenger) -> str:
    """Seven and more are one group: 25 of all 891."""
    people = 1 + passenger.siblings_spouses + passenger.parents_children
    return str(people) if people < 7 else "7+"


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    truths = evaluation.test.truths
    figure, (left, right) = plots.panels(2)
    plots.confusion(left, truths, [each.survived for each in evaluation.answers], [False, True])
    curves.roc(right, truths, [each.probability for each in evaluation.answers])
    yield "errors", figure
    figure, axes = plots.panels(3)
    told = {
        "sex": [each.sex for each in evaluation.train.records],
        "class": [str(each.passenger_class) for each in evaluation.train.records],
        "family size": [family_size(each) for each in evaluation.train.records],
    }
    for panel, (name, values) in zip(axes, told.items(), strict=True):
        plots.share(panel, values, evaluation.train.truths, f"Survived, by {name}")
    yield "survival", figure
