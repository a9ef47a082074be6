"""Metrics and costs of the served predictions on the second day, and pictures of both."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve

from slipway.reporting import Evaluation, curves, plots
from slipway.reporting.uncertainty import baseline_metric, metric_with_interval
from slipway.training import Candidate
from slipway.training.resampled import average_precision_by_rows

from .data import best_possible
from .metrics import CONNECTIONS, RECALLS, cost_of_actions, ranking_metrics
from .model import ACTIONS, CHARGEBACK, FIELDS, Payment, Verdict

# A payment at the centre of the partly hidden frauds, and an average one. The documentation shows
# these, since the first test rows may contain no fraud.
AVERAGE = dict.fromkeys(FIELDS, 0.0) | {"amount": 22.0, "hour": 17.5}
EXAMPLES = [
    Payment(**AVERAGE | {"v2": 3.5, "v4": 4.7, "v11": 3.6, "v14": -2.9, "amount": 412.5}),
    Payment(**AVERAGE),
]


def as_arrays(predictions: list[Verdict]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return probabilities, amounts and actions, (rows,) each."""
    probabilities = np.array([each.probability for each in predictions])
    amounts = np.array([each.cost_if_passed for each in predictions]) / probabilities - CHARGEBACK
    return probabilities, amounts, np.array([ACTIONS.index(each.action) for each in predictions])


def score(*, predictions: list[Verdict], labels: list[bool]) -> dict[str, float]:
    frauds = np.array(labels)
    probabilities, amounts, actions = as_arrays(predictions)
    all_passed = cost_of_actions(np.zeros(len(frauds), int), amounts, frauds)
    cost, suspect = cost_of_actions(actions, amounts, frauds), actions > 0
    ranking = average_precision_by_rows(frauds, probabilities)
    # The baseline has the same suspicion of every payment.
    same = average_precision_by_rows(frauds, np.zeros(len(frauds)))
    return {
        # Over payments, which are generated independently of each other.
        **metric_with_interval("average_precision", ranking, len(frauds)),
        **baseline_metric("average_precision", same, len(frauds)),
        **ranking_metrics(probabilities, frauds),
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
    chosen, frauds = evaluation.chosen, np.array(evaluation.test.labels)
    yield "real_connections", real_connections(evaluation.candidates, chosen)
    figure, (left, middle, right) = plots.panels(3)
    y_prob = [each.probability for each in evaluation.predictions]
    curves.precision_recall(left, evaluation.test.labels, y_prob)
    best = best_possible(evaluation.test.records)
    precision, recall, _ = precision_recall_curve(frauds, best)
    area = ranking_metrics(best, frauds)["average_precision"]
    left.plot(recall, precision, color=plots.INK, linewidth=0.8, label=f"best possible {area:.3f}")
    left.legend(loc="lower left")
    for each in evaluation.candidates[1:]:
        style = "-" if each.parameters["labels"] else "--"
        middle.plot(RECALLS, each.curves["precision"], style, label=each.name)
    middle.set(xlabel="recall", ylabel="precision", title="All candidates (dashed: no labels)")
    middle.legend(fontsize=7, loc="lower left", bbox_to_anchor=(0, 0.18))
    by_threshold(right, evaluation.predictions, frauds)
    yield "precision_recall", figure


def real_connections(tried: list[Candidate], chosen: str) -> Figure:
    """Draw each candidate's average precision on generated payments and on real connections."""
    figure, axes = plots.panels(1 + len(CONNECTIONS))
    names = [each.name.replace("_", " ") for each in tried]
    titles = {"": "Generated payments"} | {
        f"_{kind}": f"Real {kind.upper()} connections" for kind in CONNECTIONS
    }
    for panel, (ending, title) in zip(axes, titles.items(), strict=True):
        values, errors = (
            [each.metrics[f"average_precision{ending}{end}"] for each in tried]
            for end in ("", "_se")
        )
        options: dict[str, Any] = {
            "horizontal": True,
            "chosen": chosen.replace("_", " "),
            "fmt": "{:.3f}",
        }
        plots.bars(panel, names, values, title, half_width=errors, **options)
        panel.set(xlim=(0, 1.2), xlabel="average precision, validation; line: standard error")
    return figure


def by_threshold(axes: Axes, predictions: list[Verdict], frauds: np.ndarray) -> None:
    """Draw the cost by a single threshold, and the cost of the cheapest action per payment."""
    probabilities, amounts, actions = as_arrays(predictions)
    cuts = np.geomspace(1e-3, 1, 60)
    for action, colour in ((1, plots.ACCENT), (2, plots.INK)):
        values = [cost_of_actions((probabilities >= cut) * action, amounts, frauds) for cut in cuts]
        axes.plot(cuts, values, color=colour, label=f"{ACTIONS[action]} above one threshold")
    axes.axhline(
        cost_of_actions(actions, amounts, frauds), color="#d1793b", label="cheapest for the amount"
    )
    axes.set(xscale="log", xlabel="threshold", ylabel="dollars a thousand payments")
    axes.set_ylim(0, 1.3 * cost_of_actions(actions * 0, amounts, frauds))
    axes.set_title("Cost by threshold (test rows)")
    axes.legend(fontsize=7)
