"""Score refusals and probabilities of default; draw their costs, thresholds and calibration."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score

from slipway.reporting import Evaluation, plots
from slipway.reporting.curves import precision_recall, roc
from slipway.reporting.metrics import binary_metrics
from slipway.reporting.uncertainty import metric_with_interval
from slipway.training import Candidate
from slipway.training.calibration import Reliability, expected_calibration_error

from .metrics import CUTS, cost, costs
from .model import CODES, LOSS_OF_DEFAULT, LOST_MARGIN, NUMBERS, LoanDefault, LoanRisk, features

BINS = ("y_prob", "observed", "rows")
# By the ending of a candidate's name: its label and colour.
TREATMENTS = {
    "": ("as it is", plots.ACCENT),
    "_balanced": ("balanced", plots.INK),
    "_smote": ("smote", "#d1793b"),
}
# The best threshold for true probabilities: refuse where granting costs more (Elkan 2001).
ELKAN = LOST_MARGIN / (LOST_MARGIN + LOSS_OF_DEFAULT)


def score(*, predictions: list[LoanRisk], labels: list[bool]) -> dict[str, float]:
    defaulted, refused = np.array(labels), np.array([each.refuse for each in predictions])
    y_prob = np.array([each.probability for each in predictions])
    names = ("recall", "roc_auc", "average_precision", "brier", "calibration_error", "precision")
    by_borrower = costs(refused, defaulted)
    mean_cost = cost(refused, defaulted)
    cost_if_all_granted = cost(np.zeros(len(defaulted), bool), defaulted)
    return {
        # Over borrowers.
        **metric_with_interval(
            "cost", lambda rows: float(by_borrower[rows].mean()), len(by_borrower)
        ),
        # The baseline predicts one probability for everybody, and at these costs grants every loan.
        "baseline_cost": cost_if_all_granted,
        **binary_metrics(defaulted, *names, y_prob=y_prob, y_pred=refused),
        "refused": float(refused.mean()),
        "cost_if_all_granted": cost_if_all_granted,
        "cost_of_missed_defaults": float(np.mean(defaulted & ~refused) * LOSS_OF_DEFAULT),
        "saved": 1 - mean_cost / cost_if_all_granted if cost_if_all_granted else 0.0,
    }


def describe(candidate: Candidate) -> dict[str, float]:
    """Return the calibration error of the candidate's calibrated probabilities."""
    bins = Reliability(*(np.array(candidate.curves[name]) for name in BINS))
    return {"calibration_error": expected_calibration_error(bins)}


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    y_prob = [each.probability for each in evaluation.predictions]
    curves = {each.name: each.curves for each in evaluation.candidates}
    yield "imbalance", imbalance(curves)
    yield "threshold", threshold(evaluation, np.array(y_prob))
    figure, (left, middle, right) = plots.panels(3, height=3.2)
    roc(left, evaluation.test.labels, y_prob)
    precision_recall(middle, evaluation.test.labels, y_prob)
    uncalibrated(right, curves)
    yield "curves", figure
    yield "importance", importance(evaluation)


def imbalance(curves: dict[str, dict[str, list[float]]]) -> Figure:
    """Draw the cost by threshold for each learner, as it is, balanced, and with SMOTE."""
    figure, axes = plots.panels(3, height=3.2)
    for panel, learner in zip(axes, ("logistic", "forest", "boosting"), strict=True):
        for ending, (name, colour) in TREATMENTS.items():
            costs = curves[learner + ending]["cost"]
            low = int(np.argmin(costs))
            label = f"{name}: {costs[low]:.0f} at {CUTS[low]:.2f}"
            panel.plot(CUTS, costs, color=colour, label=label)
            panel.plot(CUTS[low], costs[low], "o", color=colour)
        panel.set(xlabel="threshold on the raw probability", ylabel="dollars a borrower")
        panel.set(title=f"Cost, {learner} (validation)", ylim=(300, 950))
        panel.legend(fontsize=7, loc="upper center")
    return figure


def uncalibrated(axes: Axes, curves: dict[str, dict[str, list[float]]]) -> None:
    for ending, (label, colour) in TREATMENTS.items():
        curve = curves["boosting" + ending]
        places = curve["y_prob_raw"], curve["observed_raw"]
        axes.plot(*places, "o-", markersize=3, color=colour, label=label)
    axes.plot([0, 1], [0, 1], color=plots.PALE, linestyle=":")
    axes.set(xlabel="raw probability", ylabel="share that defaulted")
    axes.set_title("Boosting before calibration")
    axes.legend()


def threshold(evaluation: Evaluation, y_prob: np.ndarray) -> Figure:
    defaulted = np.array(evaluation.test.labels)
    chosen = evaluation.predictions[0].threshold
    figure, (left, middle, right) = plots.panels(3)
    low = CUTS[CUTS <= 0.6]
    left.plot(low, [cost(y_prob >= cut, defaulted) for cut in low], color=plots.ACCENT)
    cost_if_all_granted = evaluation.metrics["cost_if_all_granted"]
    left.axhline(cost_if_all_granted, color=plots.PALE, label="everyone granted")
    left.axvline(chosen, color=plots.INK, linestyle=":", label=f"tuned: {chosen:.2f}")
    left.axvline(ELKAN, color="#d1793b", linestyle=":", label=f"by the costs alone: {ELKAN:.3f}")
    left.set(xlabel="threshold", ylabel="dollars a borrower")
    left.set_title("Cost by threshold (test rows)")
    left.legend(fontsize=7)
    ratios = [2, 5, 10, 20, 40]
    refused = [y_prob >= 1 / (1 + ratio) for ratio in ratios]
    shares = {
        "defaults refused (recall)": [each[defaulted].mean() for each in refused],
        "of all refused": [each.mean() for each in refused],
    }
    plots.bars(middle, ratios, shares, "Who is refused at other costs")
    middle.set(xlabel="cost of a missed default, in lost margins", ylim=(0, 1.15))
    y_pred = [each.refuse for each in evaluation.predictions]
    plots.confusion(right, evaluation.test.labels, y_pred, [False, True])
    right.set(xlabel="refused", ylabel="defaulted")
    return figure


def importance(evaluation: Evaluation, rows: int = 10_000) -> Figure:
    """Draw the drop of the served model's ROC area when a column is shuffled (Breiman 2001)."""
    model = LoanDefault()
    model.load(evaluation.weights)
    numbers = features(evaluation.test.records[:rows])["numbers"]
    defaulted = np.array(evaluation.test.labels[:rows])
    rng = np.random.default_rng(0)

    def area(columns: np.ndarray) -> float:
        y_prob = model.run({"numbers": columns})["probabilities"][:, 1]
        return float(roc_auc_score(defaulted, y_prob))

    baseline_area, drops = area(numbers), []
    for column in range(len(NUMBERS)):
        shuffled = numbers.copy()
        shuffled[:, column] = rng.permutation(shuffled[:, column])
        drops.append(baseline_area - area(shuffled))
    order = np.argsort(drops)[::-1]
    figure, axes = plots.panels(2, height=4)
    names = [NUMBERS[place].replace("_", " ") for place in order]
    plots.signed_bars(axes[0], names, [drops[place] for place in order], "Area lost when shuffled")
    late = [
        "coded" if each.late_30_days in CODES else str(min(sum(each.late), 5))
        for each in evaluation.train.records
    ]
    plots.positive_rate(
        axes[1], late, evaluation.train.labels, "Defaulted, by late payments (5: or more)"
    )
    axes[1].set_ylim(0, 0.7)
    return figure
