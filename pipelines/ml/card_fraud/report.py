"""Metrics and costs of the served verdicts on the second day, with pictures of both."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve

from slipway.reporting import Evaluation, curves, plots

from .data import best_possible
from .metrics import RECALLS, figures, spent
from .model import ACTIONS, CHARGEBACK, FIELDS, Payment, Verdict

# A half hidden fraud at its centre, which the second day may not have, and a middling payment.
MIDDLING = dict.fromkeys(FIELDS, 0.0) | {"amount": 22.0, "hour": 17.5}
EXAMPLES = [
    Payment(**MIDDLING | {"v2": 3.5, "v4": 4.7, "v11": 3.6, "v14": -2.9, "amount": 412.5}),
    Payment(**MIDDLING),
]


def told_of(answers: list[Verdict]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, amounts and actions (rows,) each."""
    probabilities = np.array([each.probability for each in answers])
    amounts = np.array([each.cost_if_passed for each in answers]) / probabilities - CHARGEBACK
    return probabilities, amounts, np.array([ACTIONS.index(each.action) for each in answers])


def score(*, answers: list[Verdict], truths: list[bool]) -> dict[str, float]:
    frauds = np.array(truths)
    probabilities, amounts, actions = told_of(answers)
    all_passed = spent(np.zeros(len(frauds), int), amounts, frauds)
    cost, suspect = spent(actions, amounts, frauds), actions > 0
    return figures(probabilities, frauds) | {
        "cost": cost,
        "cost_if_all_passed": all_passed,
        "saved": 1 - cost / all_passed,
        "frauds_found": float(suspect[frauds].mean()),
        "suspects_that_are_frauds": float(frauds[suspect].mean()) if suspect.any() else 0.0,
        "reviewed_per_1000": float((actions == 1).mean() * 1000),
        "honest_blocked_per_1000": float(((actions == 2) & ~frauds).mean() * 1000),
        "mean_probability": float(probabilities.mean()),
        "share_of_frauds": float(frauds.mean()),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    chosen, frauds = evaluation.chosen, np.array(evaluation.test.truths)
    yield "real_http", plots.candidates(evaluation.candidates, chosen, "average_precision_http")
    figure, (left, middle, right) = plots.panels(3)
    told = [each.probability for each in evaluation.answers]
    curves.precision_recall(left, evaluation.test.truths, told)
    best = best_possible(evaluation.test.records)
    precision, recall, _ = precision_recall_curve(frauds, best)
    area = figures(best, frauds)["average_precision"]
    left.plot(recall, precision, color=plots.INK, linewidth=0.8, label=f"best possible {area:.3f}")
    left.legend(loc="lower left")
    for each in evaluation.candidates[1:]:
        style = "-" if each.parameters["labels"] else "--"
        middle.plot(RECALLS, each.curves["precision"], style, label=each.name)
    middle.set(xlabel="recall", ylabel="precision", title="All candidates (dashed: no labels)")
    middle.legend(fontsize=7, loc="lower left", bbox_to_anchor=(0, 0.18))
    by_threshold(right, evaluation.answers, frauds)
    yield "precision_recall", figure


def by_threshold(axes: Axes, answers: list[Verdict], frauds: np.ndarray) -> None:
    """One threshold for all payments, against what is cheapest for each amount."""
    probabilities, amounts, actions = told_of(answers)
    cuts = np.geomspace(1e-3, 1, 60)
    for action, colour in ((1, plots.ACCENT), (2, plots.INK)):
        values = [spent((probabilities >= cut) * action, amounts, frauds) for cut in cuts]
        axes.plot(cuts, values, color=colour, label=f"{ACTIONS[action]} above one threshold")
    axes.axhline(spent(actions, amounts, frauds), color="#d1793b", label="cheapest for the amount")
    axes.set(xscale="log", xlabel="threshold", ylabel="dollars a thousand payments")
    axes.set_ylim(0, 1.3 * spent(actions * 0, amounts, frauds))
    axes.set_title("Cost by threshold (test rows)")
    axes.legend(fontsize=7)
