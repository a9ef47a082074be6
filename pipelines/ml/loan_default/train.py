"""Forest and boosting on a rare event: left as it is, with class weights, and with SMOTE.

Rows are parted in three: candidates are fitted on the first part, calibrated and given their
threshold on the second, and compared on the third. Made-up defaults go into the first part alone.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.base import ClassifierMixin, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.contract.calibration import calibrated, log_odds
from slipway.training import Candidate, Evaluation, Examples, Fitted, measures, plots
from slipway.training.calibration import Reliability
from slipway.training.tabular import export_onnx, platt

from .model import (
    CODES,
    LOSS_OF_DEFAULT,
    LOST_MARGIN,
    NUMBERS,
    Borrower,
    LoanDefault,
    LoanRisk,
    features,
    risks,
)

TREATMENTS = ("", "_balanced", "_smote")
COLOURS = (plots.ACCENT, plots.INK, "#d1793b")
CUTS = np.round(np.arange(0.01, 1.0, 0.01), 2)
LATE = [place for place, name in enumerate(NUMBERS) if name.startswith("late_")]
# Above every count of the table, which reach 17, and 19 in all.
MANY = 20.0
# What true probabilities ask for: refuse where the expected loss is the larger (Elkan 2001).
ELKAN = LOST_MARGIN / (LOST_MARGIN + LOSS_OF_DEFAULT)


def smote(
    numbers: np.ndarray, defaulted: np.ndarray, *, seed: int, neighbours: int = 5
) -> tuple[np.ndarray, np.ndarray]:
    """As many defaults as others: each new one lies between a default and one of its nearest.

    Chawla, Bowyer, Hall and Kegelmeyer (2002). `numbers` (rows, columns) have no gaps;
    nearness is measured in each column's spread.

    Raises:
        ValueError: there are no more defaults than neighbours.
    """
    rare = numbers[defaulted]
    if len(rare) <= neighbours:
        raise ValueError(f"SMOTE with {neighbours} neighbours needs more defaults, got {len(rare)}")
    rng = np.random.default_rng(seed)
    scaled = StandardScaler().fit(numbers).transform(rare)
    near = NearestNeighbors(n_neighbors=neighbours + 1).fit(scaled).kneighbors(scaled)[1][:, 1:]
    wanted = int((~defaulted).sum()) - len(rare)
    start = rng.integers(len(rare), size=wanted)
    stop = near[start, rng.integers(neighbours, size=wanted)]
    made = rare[start] + rng.random((wanted, 1)) * (rare[stop] - rare[start])
    return np.concatenate([numbers, made]), np.concatenate([defaulted, np.ones(wanted, bool)])


def estimators(seed: int, trees: int, rounds: int) -> dict[str, ClassifierMixin]:
    return {
        "logistic": LogisticRegression(C=1.0, max_iter=500),
        "forest": RandomForestClassifier(
            trees, min_samples_leaf=30, max_features=4, max_samples=0.5, random_state=seed
        ),
        "boosting": HistGradientBoostingClassifier(
            max_iter=rounds,
            learning_rate=0.06,
            max_leaf_nodes=16,
            min_samples_leaf=80,
            l2_regularization=5.0,
            early_stopping=False,
            random_state=seed,
        ),
    }


def filled(learner: str) -> TransformerMixin:
    """Fills gaps with the median, and scales for linear models.

    For trees the bureau's codes stay `MANY` late payments: 61 % of the coded defaulted. All of
    them had used up their credit, and trees that know no more put a coded borrower who has not
    beside those who were never late.

    Trees get their numbers as they are: scaled in float32 when served and in float64 here, some
    would fall to the other side of a threshold.
    """
    median = SimpleImputer(strategy="median")
    if learner == "logistic":
        return make_pipeline(median, StandardScaler())
    counts = SimpleImputer(strategy="constant", fill_value=MANY)
    return make_column_transformer((counts, LATE), remainder=median)


def fitted(
    name: str, numbers: np.ndarray, defaulted: np.ndarray, *, seed: int, trees: int, rounds: int
) -> Pipeline:
    """Fill gaps, then `name`: a learner and a treatment."""
    learner, _, treatment = name.partition("_")
    prepared = filled(learner)
    columns = prepared.fit_transform(numbers)
    if name == "baseline":
        # scikit-learn's name for a rule that looks at nobody: each gets the share of defaults.
        return make_pipeline(prepared, DummyClassifier().fit(columns, defaulted))
    estimator = estimators(seed, trees, rounds)[learner]
    if treatment == "balanced":
        estimator.set_params(class_weight="balanced")
    if treatment == "smote":
        columns, defaulted = smote(columns, defaulted, seed=seed)
    return make_pipeline(prepared, estimator.fit(columns, defaulted))


def cost(refused: np.ndarray, defaulted: np.ndarray) -> float:
    """Dollars a borrower, of defaults granted and of good borrowers refused."""
    missed, lost = defaulted & ~refused, ~defaulted & refused
    return float(np.mean(missed * LOSS_OF_DEFAULT + lost * LOST_MARGIN))


def cheapest(probabilities: np.ndarray, defaulted: np.ndarray) -> float:
    """The threshold of the lowest cost, in steps of a hundredth."""
    costs = [cost(probabilities >= cut, defaulted) for cut in CUTS]
    return float(CUTS[int(np.argmin(costs))])


def figures(
    probabilities: np.ndarray, defaulted: np.ndarray, refused: np.ndarray
) -> dict[str, float]:
    names = ("recall", "roc_auc", "average_precision", "brier", "calibration_error")
    return {
        "cost": cost(refused, defaulted),
        **measures.of_forecasts(defaulted, *names, told=probabilities, decided=refused),
    }


def fit(
    *, train: Examples[Borrower, bool], weights: Path, seed: int, trees: int, rounds: int
) -> Fitted:
    """Choose by the cost on the third part; the model is the one that was judged."""
    numbers, defaulted = features(train.records)["numbers"], np.array(train.truths)
    first, rest = train_test_split(
        np.arange(len(defaulted)), test_size=0.4, random_state=seed, stratify=defaulted
    )
    second, third = train_test_split(
        rest, test_size=0.5, random_state=seed, stratify=defaulted[rest]
    )
    learners = estimators(seed, trees, rounds)
    tried, made, raw = [], {}, np.zeros(len(defaulted))
    for name in ["baseline", *(learner + how for learner in learners for how in TREATMENTS)]:
        # Boosting's threads wait for each other by spinning: on busy cores 30 times slower.
        with threadpool_limits(limits=1):
            one = fitted(
                name, numbers[first], defaulted[first], seed=seed, trees=trees, rounds=rounds
            )
        raw[rest] = one.predict_proba(numbers[rest])[:, 1]
        tried.append(decided(name, raw, defaulted, second, third))
        made[name] = one
    chosen = min(tried[1:], key=lambda each: each.metrics["cost"])
    best, decision = made[chosen.name], chosen.parameters
    export_onnx(best, {"numbers": len(NUMBERS)}, weights)
    (weights / "decision.json").write_text(json.dumps(decision, indent=1) + "\n")

    def native(borrowers: list[Borrower]) -> list[LoanRisk]:
        raw = best.predict_proba(features(borrowers)["numbers"])[:, 1]
        sure = calibrated(raw, decision["slope"], decision["intercept"])
        return risks(sure, decision["threshold"])

    return Fitted(tried, chosen.name, native)


def decided(
    name: str, raw: np.ndarray, defaulted: np.ndarray, tuned: np.ndarray, judged: np.ndarray
) -> Candidate:
    """Calibrate raw probabilities and set the threshold on the rows `tuned`, judge on others."""
    line = (1.0, 0.0) if name == "baseline" else platt(log_odds(raw[tuned]), defaulted[tuned])
    threshold = cheapest(calibrated(raw[tuned], *line), defaulted[tuned])
    told, truth = raw[judged], defaulted[judged]
    sure = calibrated(told, *line)
    found = figures(sure, truth, sure >= threshold)
    metrics = {
        "cost": found["cost"],
        "cost_at_a_half": cost(told >= 0.5, truth),
        "brier_raw": float(brier_score_loss(truth, told)),
        **found,
    }
    reliability = Reliability.of(told, truth)
    curves = {
        "cost": [cost(told >= cut, truth) for cut in CUTS],
        "told": reliability.told.tolist(),
        "happened": reliability.happened.tolist(),
    }
    decision = {"slope": line[0], "intercept": line[1], "threshold": threshold}
    return Candidate(name, metrics, decision, curves)


def score(*, answers: list[LoanRisk], truths: list[bool]) -> dict[str, float]:
    defaulted, refused = np.array(truths), np.array([each.refuse for each in answers])
    found = figures(np.array([each.probability for each in answers]), defaulted, refused)
    found |= measures.of_forecasts(defaulted, "precision", decided=refused)
    nobody = cost(np.zeros(len(defaulted), bool), defaulted)
    return found | {
        "refused": float(refused.mean()),
        "cost_if_all_granted": nobody,
        "cost_of_missed_defaults": float(np.mean(defaulted & ~refused) * LOSS_OF_DEFAULT),
        "saved": 1 - found["cost"] / nobody if nobody else 0.0,
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    told = [each.probability for each in evaluation.answers]
    curves = {each.name: each.curves for each in evaluation.candidates}
    yield "imbalance", imbalance(curves)
    yield "threshold", threshold(evaluation, np.array(told))
    figure, (left, middle, right) = plots.panels(3, height=3.2)
    plots.roc(left, evaluation.test.truths, told)
    plots.precision_recall(middle, evaluation.test.truths, told)
    uncalibrated(right, curves)
    yield "curves", figure
    yield "importance", importance(evaluation)


def imbalance(curves: dict[str, dict[str, list[float]]]) -> Figure:
    """What weights and made-up defaults do to the threshold of the lowest cost."""
    figure, axes = plots.panels(3, height=3.2)
    for panel, learner in zip(axes, ("logistic", "forest", "boosting"), strict=True):
        for how, colour in zip(TREATMENTS, COLOURS, strict=True):
            costs = curves[learner + how]["cost"]
            low = int(np.argmin(costs))
            label = f"{how.strip('_') or 'as it is'}: {costs[low]:.0f} at {CUTS[low]:.2f}"
            panel.plot(CUTS, costs, color=colour, label=label)
            panel.plot(CUTS[low], costs[low], "o", color=colour)
        panel.set(xlabel="threshold on the raw probability", ylabel="dollars a borrower")
        panel.set(title=f"Cost, {learner} (validation)", ylim=(300, 950))
        panel.legend(fontsize=7, loc="upper center")
    return figure


def uncalibrated(axes: Axes, curves: dict[str, dict[str, list[float]]]) -> None:
    for how, colour in zip(TREATMENTS, COLOURS, strict=True):
        found, label = curves["boosting" + how], how.strip("_") or "as it is"
        axes.plot(found["told"], found["happened"], "o-", markersize=3, color=colour, label=label)
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
