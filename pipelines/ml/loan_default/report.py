"""Score refusals and probabilities of default; draw their costs, thresholds and calibration."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score

from slipway.reporting import Evaluation, plots
from slipway.reporting.curves import precision_recall, roc
from slipway.reporting.metrics import binary_metrics, expected_calibration_error
from slipway.training import Candidate
from slipway.training.calibration import Reliability

from .metrics import CUTS, cost
from .model import CODES, LOSS_OF_DEFAULT, LOST_MARGIN, NUMBERS, LoanDefault, LoanRisk, features

BINS = ("y_prob", "observed", "rows")
# By the ending of a candidate's name: its label and colour.
TREATMENTS = {
    "": ("as it is", plots.ACCENT),
    "_balanced": ("balanced", plots.INK),
    "_smote": ("smote", "#d1793b"),
}
# What true probabilities ask for: refuse where the expected loss is the larger (Elkan 2001).
ELKAN = LOST_MARGIN / (LOST_MARGIN + LOSS_OF_DEFAULT)


def score(*, answers: list[LoanRisk], truths: list[bool]) -> dict[str, float]:
    defaulted, refused = np.array(truths), np.array([each.refuse for each in answers])
    y_prob = np.array([each.probability for each in answers])
    names = ("recall", "roc_auc", "average_precision", "brier", "calibration_error", "precision")
    found = cost(refused, defaulted)
    nobody = cost(np.zeros(len(defaulted), bool), defaulted)
    return {
        "cost": found,
        **binary_metrics(defaulted, *names, y_prob=y_prob, y_pred=refused),
        "refused": float(refused.mean()),
        "cost_if_all_granted": nobody,
        "cost_of_missed_defaults": float(np.mean(defaulted & ~refused) * LOSS_OF_DEFAULT),
        "saved": 1 - found / nobody if nobody else 0.0,
    }


def describe(candidate: Candidate) -> dict[str, float]:
    """Return the calibration error of the candidate's calibrated probabilities."""
    bins = Reliability(*(np.array(candidate.curves[name]) for name in BINS))
    return {"calibration_error": expected_calibration_error(bins)}


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    told = [each.probability for each in evaluation.answers]
    curves = {each.name: each.curves for each in evaluation.candidates}
    yield "imbalance", imbalance(curves)
    yield "threshold", threshold(evaluation, np.array(told))
    figure, (left, middle, right) = plots.panels(3, height=3.2)
    roc(left, evaluation.test.truths, told)
    precision_recall(middle, evaluation.test.truths, told)
    uncalibrated(right, curves)
    yield "curves", figure
    yield "importance", importance(evaluation)


def imbalance(curves: dict[str, dict[str, list[float]]]) -> Figure:
    """What weights and made-up defaults do to the threshold of the lowest cost."""
    figure, axes = plots.panels(3, height=3.2)
    for panel, learner in zip(axes, ("logistic", "forest", "boosting"), strict=True):
        for how, (name, colour) in TREATMENTS.items():
            costs = curves[learner + how]["cost"]
            low = int(np.argmin(costs))
            label = f"{name}: {costs[low]:.0f} at {CUTS[low]:.2f}"
            panel.plot(CUTS, costs, color=colour, label=label)
            panel.plot(CUTS[low], costs[low], "o", color=colour)
        panel.set(xlabel="threshold on the raw probability", ylabel="dollars a borrower")
        panel.set(title=f"Cost, {learner} (validation)", ylim=(300, 950))
        panel.legend(fontsize=7, loc="upper center")
    return figure


def uncalibrated(axes: Axes, curves: dict[str, dict[str, list[float]]]) -> None:
    for how, (label, colour) in TREATMENTS.items():
        found = curves["boosting" + how]
        places = found["y_prob_raw"], found["observed_raw"]
        axes.plot(*places, "o-", markersize=3, color=colour, label=label)
    axes.plot([0, 1], [0, 1], color=plots.PALE, linestyle=":")
    axes.set(xlabel="raw probability", ylabel="share that defaulted")
    axes.set_title("Boosting before calibration")
    axes.legend()


def threshold(evaluation: Evaluation, told: np.ndarray) -> Figure:
    defaulted = np.array(evaluation.test.truths)
    chosen = evaluation.answers[0].threshold
    figure, (left, middle, right) = plots.panels(3)
    low = CUTS[CUTS <= 0.6]
    left.plot(low, [cost(told >= cut, defaulted) for cut in low], color=plots.ACCENT)
    nobody = evaluation.metrics["cost_if_all_granted"]
    left.axhline(nobody, color=plots.PALE, label="everyone granted")
    left.axvline(chosen, color=plots.INK, linestyle=":", label=f"tuned: {chosen:.2f}")
    left.axvline(ELKAN, color="#d1793b", linestyle=":", label=f"by the costs alone: {ELKAN:.3f}")
    left.set(xlabel="threshold", ylabel="dollars a borrower")
    left.set_title("Cost by threshold (test rows)")
    left.legend(fontsize=7)
    ratios = [2, 5, 10, 20, 40]
    refused = [told >= 1 / (1 + ratio) for ratio in ratios]
    shares = {
        "defaults refused (recall)": [each[defaulted].mean() for each in refused],
        "of all refused": [each.mean() for each in refused],
    }
    plots.bars(middle, ratios, shares, "Who is refused at other costs")
    middle.set(xlabel="cost of a missed default, in lost margins", ylim=(0, 1.15))
    answers = [each.refuse for each in evaluation.answers]
    plots.confusion(right, evaluation.test.truths, answers, [False, True])
    right.set(xlabel="refused", ylabel="defaulted")
    return figure


def importance(evaluation: Evaluation, rows: int = 10_000) -> Figure:
    """Of the served model: what its area loses when a column is shuffled (Breiman 2001)."""
    model = LoanDefault()
    model.load(evaluation.weights)
    numbers = features(evaluation.test.records[:rows])["numbers"]
    defaulted = np.array(evaluation.test.truths[:rows])
    rng = np.random.default_rng(0)

    def area(columns: np.ndarray) -> float:
        told = model.run({"numbers": columns})["probabilities"][:, 1]
        return float(roc_auc_score(defaulted, told))

    whole, lost = area(numbers), []
    for column in range(len(NUMBERS)):
        shuffled = numbers.copy()
        shuffled[:, column] = rng.permutation(shuffled[:, column])
        lost.append(whole - area(shuffled))
    order = np.argsort(lost)[::-1]
    figure, axes = plots.panels(2, height=4)
    names = [NUMBERS[place].replace("_", " ") for place in order]
    plots.weights(axes[0], names, [lost[place] for place in order], "Area lost when shuffled")
    late = [
        "coded" if each.late_30_days in CODES else str(min(sum(each.late), 5))
        for each in evaluation.train.records
    ]
    plots.share(axes[1], late, evaluation.train.truths, "Defaulted, by late payments (5: or more)")
    axes[1].set_ylim(0, 0.7)
    return figure
