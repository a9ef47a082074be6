"""Logistic regression and boosted trees, as they are and weighted for imbalance, each calibrated.

Every learner is judged with each calibration by cross-validation, the calibration fitted on
predictions for rows that the learner did not see either.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.base import ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    log_loss,
    recall_score,
    roc_auc_score,
)
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from slipway.contract.calibration import log_odds
from slipway.training import Candidate, Evaluation, Examples, Fitted, plots
from slipway.training.tabular import export_boosting, export_onnx, platt, together

from .model import (
    CATEGORIES,
    NUMBERS,
    SERVICES,
    Calibration,
    ChurnRisk,
    Customer,
    Offer,
    features,
    risks,
)

CALIBRATIONS = ("none", "sigmoid", "isotonic")
# With as many rows in each: bins of equal width would leave the upper ones nearly empty.
BINS = 10
PROTECTED = "boosting_with_gender_and_age"


def learners(seed: int, trees: int) -> dict[str, ClassifierMixin]:
    from lightgbm import LGBMClassifier
    from xgboost import XGBClassifier

    def boosting(class_weight: str | None = None) -> ClassifierMixin:
        return LGBMClassifier(
            n_estimators=trees,
            learning_rate=0.03,
            num_leaves=8,
            min_child_samples=40,
            subsample=0.8,
            subsample_freq=1,
            colsample_bytree=0.6,
            reg_lambda=5.0,
            random_state=seed,
            n_jobs=1,  # so that sums, and with them the trees, are the same on every machine
            deterministic=True,
            force_row_wise=True,
            verbose=-1,
            class_weight=class_weight,
        )

    return {
        "logistic": LogisticRegression(C=0.3, max_iter=3000),
        "logistic_balanced": LogisticRegression(C=0.3, max_iter=3000, class_weight="balanced"),
        "boosting": boosting(),
        "boosting_balanced": boosting(class_weight="balanced"),
        # As `boosting`, as far as the two libraries name the same things.
        "xgboost": XGBClassifier(
            n_estimators=trees,
            learning_rate=0.03,
            grow_policy="lossguide",
            max_leaves=8,
            max_depth=0,
            subsample=0.8,
            colsample_bytree=0.6,
            reg_lambda=5.0,
            random_state=seed,
            n_jobs=1,
        ),
    }


def pipeline(estimator: ClassifierMixin, *, more: int = 0) -> Pipeline:
    """Encode, scale for linear models, then `estimator`; `more` numbers follow the categories."""
    linear = isinstance(estimator, LogisticRegression)
    last = len(NUMBERS) + len(CATEGORIES)
    prepared = ColumnTransformer(
        [
            ("numbers", StandardScaler() if linear else "passthrough", slice(0, len(NUMBERS))),
            (
                "categories",
                OneHotEncoder(handle_unknown="ignore", sparse_output=False),
                slice(len(NUMBERS), last),
            ),
            ("more", "passthrough", slice(last, last + more)),
        ]
    )
    return Pipeline([("prepared", prepared), ("estimator", estimator)])


def calibrator(kind: str, probabilities: np.ndarray, left: np.ndarray) -> Calibration:
    """Fitted on out-of-fold probabilities (rows,) and what happened."""
    if kind == "sigmoid":
        return Calibration(kind, platt(log_odds(probabilities), left))
    if kind == "isotonic":
        steps = IsotonicRegression(out_of_bounds="clip").fit(probabilities, left)
        return Calibration(
            kind, tuple(steps.X_thresholds_.tolist()), tuple(steps.y_thresholds_.tolist())
        )
    return Calibration(kind)


def out_of_fold(made: Pipeline, columns: np.ndarray, left: np.ndarray, folds: int) -> np.ndarray:
    """Probabilities (rows,), each from a fit that did not see its row."""
    splits = StratifiedKFold(n_splits=folds, shuffle=True, random_state=0)
    told = cross_val_predict(made, columns, left, cv=splits, method="predict_proba")
    return np.asarray(told[:, 1])


def validated(
    made: Pipeline, columns: np.ndarray, left: np.ndarray, splits: StratifiedKFold
) -> dict[str, np.ndarray]:
    """Out-of-fold probabilities (rows,) by calibration.

    The calibration is fitted within each training part, on a second round of folds.
    """
    told = {kind: np.empty(len(left)) for kind in CALIBRATIONS}
    for kept, held in splits.split(columns, left):
        inner = out_of_fold(made, columns[kept], left[kept], splits.get_n_splits())
        made.fit(columns[kept], left[kept])
        raw = made.predict_proba(columns[held])[:, 1]
        for kind in CALIBRATIONS:
            told[kind][held] = calibrator(kind, inner, left[kept])(raw)
    return told


def figures(probabilities: np.ndarray, left: np.ndarray) -> dict[str, float]:
    return {
        "brier": float(brier_score_loss(left, probabilities)),
        "log_loss": float(log_loss(left, probabilities, labels=[False, True])),
        "calibration_error": calibration_error(probabilities, left),
        "roc_auc": float(roc_auc_score(left, probabilities)),
        "average_precision": float(average_precision_score(left, probabilities)),
    }


def bins(probabilities: np.ndarray) -> list[np.ndarray]:
    """Places of the rows in bins of equal size, from the least probable to the most."""
    return np.array_split(np.argsort(probabilities, kind="stable"), min(BINS, len(probabilities)))


def calibration_error(probabilities: np.ndarray, left: np.ndarray) -> float:
    """The expected calibration error: told less happened, absolute, weighted over bins."""
    gaps = [
        abs(float(probabilities[rows].mean() - left[rows].mean())) * len(rows)
        for rows in bins(probabilities)
    ]
    return sum(gaps) / len(probabilities)


def profits(gains: np.ndarray, left: np.ndarray, revenue: np.ndarray, offer: Offer) -> np.ndarray:
    """Dollars a customer (rows + 1,) from calling the first 0, 1, ... in order of `gains`.

    Whom the offer keeps is assumed, who would leave is known.
    """
    order = np.argsort(-gains, kind="stable")
    brought = offer.success_rate * revenue[order] * left[order] - offer.cost
    return np.concatenate([[0.0], np.cumsum(brought)]) / len(gains)


def tried(
    name: str,
    told: np.ndarray,
    left: np.ndarray,
    monthly: np.ndarray,
    offer: Offer,
    splits: StratifiedKFold,
    parameters: dict[str, str],
) -> Candidate:
    """A candidate from its out-of-fold probabilities `told` (rows,)."""
    parts = [brier_score_loss(left[held], told[held]) for _, held in splits.split(told, left)]
    gains = offer.gain(told, monthly)
    made = profits(gains, left, offer.revenue(monthly), offer)
    metrics = figures(told, left) | {
        "brier_std": float(np.std(parts)),
        "profit": float(made[int((gains > 0).sum())]),
    }
    curves = {
        "told": [float(told[rows].mean()) for rows in bins(told)],
        "happened": [float(left[rows].mean()) for rows in bins(told)],
    }
    return Candidate(name, metrics, dict(parameters), curves)


def fit(
    *,
    train: Examples[Customer, bool],
    weights: Path,
    seed: int,
    folds: int,
    trees: int,
    horizon_months: float,
    offer_cost: float,
    success_rate: float,
) -> Fitted:
    """Choose by cross-validated Brier score, and fit the chosen on all training rows."""
    columns, left = together(features(train.records)), np.array(train.truths)
    monthly = np.array([each.monthly_charges for each in train.records])
    offer = Offer(horizon_months, offer_cost, success_rate)
    splits = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    made = learners(seed, trees)
    # What every gain is measured against: each customer gets the share of all who left.
    base = cross_val_predict(DummyClassifier(), columns, left, cv=splits, method="predict_proba")[
        :, 1
    ]
    candidates = [tried("baseline", base, left, monthly, offer, splits, {"estimator": "prior"})]
    options: dict[str, tuple[str, str]] = {}
    for learner, estimator in made.items():
        probabilities = validated(pipeline(estimator), columns, left, splits)
        for kind, told in probabilities.items():
            name = learner if kind == "none" else f"{learner}_{kind}"
            options[name] = (learner, kind)
            kinds = {"estimator": type(estimator).__name__, "calibration": kind}
            candidates.append(tried(name, told, left, monthly, offer, splits, kinds))
    groups = [[each.gender == "female", each.senior_citizen] for each in train.records]
    wider = np.concatenate([columns, np.array(groups, dtype=object)], axis=1)
    told = validated(pipeline(made["boosting"], more=2), wider, left, splits)["none"]
    kinds = {"estimator": type(made["boosting"]).__name__, "fields": "the protected ones too"}
    candidates.append(tried(PROTECTED, told, left, monthly, offer, splits, kinds))
    eligible = [each for each in candidates if each.name in options]
    chosen = min(eligible, key=lambda each: each.metrics["brier"]).name
    learner, kind = options[chosen]
    best = pipeline(made[learner])
    calibration = calibrator(kind, out_of_fold(best, columns, left, folds), left)
    best.fit(columns, left)
    export_boosting()
    export_onnx(best, {"numbers": len(NUMBERS), "categories": len(CATEGORIES)}, weights)
    (weights / "calibration.json").write_text(json.dumps(asdict(calibration)) + "\n")
    (weights / "offer.json").write_text(json.dumps(asdict(offer)) + "\n")

    def native(customers: list[Customer]) -> list[ChurnRisk]:
        raw = best.predict_proba(together(features(customers)))[:, 1]
        return risks(customers, calibration(raw), offer)

    return Fitted(candidates, chosen, native)


def score(*, answers: list[ChurnRisk], truths: list[bool]) -> dict[str, float]:
    told = np.array([each.probability for each in answers])
    left = np.array(truths)
    lost = left * np.array([each.revenue for each in answers])
    called = np.array([each.make_offer for each in answers])
    at_stake = sum(each.revenue_at_stake for each in answers)
    return figures(told, left) | {
        "recall": float(recall_score(left, [each.leaves for each in answers], zero_division=0.0)),
        # Of the dollars that left: how many were foretold, and how many belonged to the called.
        "lost_revenue_told": at_stake / max(float(lost.sum()), 1.0),
        "lost_revenue_called": float(lost[called].sum()) / max(float(lost.sum()), 1.0),
        "called": float(called.mean()),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    left = np.array(evaluation.test.truths)
    told = np.array([each.probability for each in evaluation.answers])
    yield "calibration", calibrations(evaluation, told, left)
    yield "profit", profit(evaluation, told, left)
    figure, (first, second) = plots.panels(2)
    plots.roc(first, evaluation.test.truths, told.tolist())
    plots.precision_recall(second, evaluation.test.truths, told.tolist())
    yield "errors", figure
    yield "groups", groups(evaluation, told, left)
    yield "behaviour", behaviour(evaluation.train)


def calibrations(evaluation: Evaluation, told: np.ndarray, left: np.ndarray) -> Figure:
    """Told against happened: on the test rows, and of the candidates out of fold."""
    figure, axes = plots.panels(3)
    diagonal(axes[0])
    parts = bins(told)
    shares = np.array([left[rows].mean() for rows in parts])
    sizes = np.array([len(rows) for rows in parts])
    axes[0].errorbar(
        [told[rows].mean() for rows in parts],
        shares,
        yerr=1.96 * np.sqrt(shares * (1 - shares) / sizes),
        fmt="o",
        color=plots.ACCENT,
        capsize=3,
    )
    axes[0].set_title(f"As served, {len(left):,} test rows (95 %)")
    found = {each.name: each for each in evaluation.candidates}
    own = unweighted(evaluation.chosen)
    # XGBoost was not tried with weights.
    twin = f"{own}_balanced" if f"{own}_balanced" in found else "boosting_balanced"
    for panel, learner in zip(axes[1:], (own, twin), strict=True):
        diagonal(panel)
        colours = (plots.INK, plots.ACCENT, "#d1793b")
        for kind, colour in zip(CALIBRATIONS, colours, strict=True):
            each = found[learner if kind == "none" else f"{learner}_{kind}"]
            label = f"{kind}: Brier {each.metrics['brier']:.4f}"
            label += f", error {each.metrics['calibration_error']:.3f}"
            curves = each.curves
            panel.plot(
                curves["told"], curves["happened"], "o-", markersize=3, color=colour, label=label
            )
        panel.legend(frameon=False, fontsize=7, loc="upper left")
        panel.set_title(f"{learner} (validation)")
    return figure


def unweighted(candidate: str) -> str:
    """The learner without weights that a candidate's name starts with."""
    for suffix in (*CALIBRATIONS, "balanced"):
        candidate = candidate.removesuffix(f"_{suffix}")
    return candidate


def diagonal(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], color=plots.PALE, linestyle=":")
    axes.set(xlabel="probability told", ylabel="share that left", xlim=(0, 1), ylim=(0, 1))


def profit(evaluation: Evaluation, told: np.ndarray, left: np.ndarray) -> Figure:
    """Dollars a customer as more are called, and were one of the assumptions another."""
    offer = Offer(**json.loads((evaluation.weights / "offer.json").read_text()))
    monthly = np.array([each.monthly_charges for each in evaluation.test.records])
    revenue = offer.revenue(monthly)
    gains = offer.gain(told, monthly)
    figure, (first, *others) = plots.panels(4)
    share = 100 * np.arange(len(left) + 1) / len(left)
    everyone = profits(gains, left, revenue, offer)[-1]
    curves = {
        "who leaves is known": (profits(left * revenue, left, revenue, offer), plots.INK, ":"),
        "by expected gain": (profits(gains, left, revenue, offer), plots.ACCENT, "-"),
        "by probability": (profits(told, left, revenue, offer), "#d1793b", "--"),
        "at random": (share / 100 * everyone, plots.PALE, "-"),
    }
    for name, (curve, colour, style) in curves.items():
        first.plot(share, curve, color=colour, linestyle=style, label=name)
    called = int((gains > 0).sum())
    reached = curves["by expected gain"][0][called]
    first.plot(share[called], reached, "o", color=plots.ACCENT)
    first.annotate(
        f"expected gain > 0:\n{share[called]:.0f} % called, ${reached:.2f}",
        (share[called], reached),
        xytext=(share[called] - 6, reached * 0.6),
        fontsize=7,
    )
    first.axhline(0, color=plots.INK, linewidth=0.6)
    first.set(xlabel="customers called, %", ylabel="dollars a customer")
    first.legend(frameon=False, fontsize=7, loc="upper right")
    first.set_title(
        f"Profit: ${offer.cost:g} an offer, keeps {100 * offer.success_rate:g} %, "
        f"{offer.horizon_months:g} months"
    )
    for panel, (field, (name, most)) in zip(others, ASSUMED.items(), strict=True):
        values = np.linspace(0, most, 25)
        model, everyone = sensitivity(field, values, told, left, monthly, offer)
        panel.plot(values, model, color=plots.ACCENT, label="those with an expected gain")
        panel.plot(values, everyone, color=plots.PALE, label="everyone")
        panel.axhline(0, color=plots.INK, linewidth=0.6)
        panel.axvline(getattr(offer, field), color=plots.INK, linestyle=":", linewidth=0.8)
        panel.set(xlabel=name, ylabel="dollars a customer")
        panel.legend(frameon=False, fontsize=7)
        panel.set_title(f"Profit at another {name.partition(',')[0]}")
    return figure


# What is assumed of an offer: its name, and up to where it is varied.
ASSUMED = {
    "success_rate": ("success rate", 0.6),
    "cost": ("cost, dollars", 150.0),
    "horizon_months": ("horizon, months", 36.0),
}


def sensitivity(
    field: str,
    values: np.ndarray,
    told: np.ndarray,
    left: np.ndarray,
    monthly: np.ndarray,
    offer: Offer,
) -> tuple[list[float], list[float]]:
    """Profit at each value of one assumption: of calling by expected gain, and of calling all."""
    model, everyone = [], []
    for value in values:
        other = replace(offer, **{field: float(value)})
        gains = other.gain(told, monthly)
        curve = profits(gains, left, other.revenue(monthly), other)
        model.append(float(curve[int((gains > 0).sum())]))
        everyone.append(float(curve[-1]))
    return model, everyone


def groups(evaluation: Evaluation, told: np.ndarray, left: np.ndarray) -> Figure:
    """Told and happened by protected group, with the group's area under the ROC curve."""
    records = evaluation.test.records
    members = {
        "women": np.array([each.gender == "female" for each in records]),
        "men": np.array([each.gender == "male" for each in records]),
        "under 65": np.array([not each.senior_citizen for each in records]),
        "65 or older": np.array([each.senior_citizen for each in records]),
    }
    members = {name: rows for name, rows in members.items() if 0 < left[rows].sum() < rows.sum()}
    figure, (first, second) = plots.panels(2)
    places = np.arange(len(members))
    shares = np.array([left[rows].mean() for rows in members.values()])
    sizes = np.array([rows.sum() for rows in members.values()])
    bars = first.bar(places - 0.2, [told[rows].mean() for rows in members.values()], 0.4)
    bars.set_label("told")
    for bar in bars:
        bar.set_color(plots.ACCENT)
    first.bar(
        places + 0.2,
        shares,
        0.4,
        color=plots.PALE,
        yerr=1.96 * np.sqrt(shares * (1 - shares) / sizes),
        label="happened (95 %)",
    )
    names = [f"{name}\n{size}" for name, size in zip(members, sizes, strict=True)]
    first.set_xticks(places, names)
    first.legend(frameon=False)
    first.set_title("Share that leaves, by group (test rows)")
    areas = [roc_auc_score(left[rows], told[rows]) for rows in members.values()]
    second.bar_label(second.bar(places, areas, color=plots.ACCENT), fmt="%.3f")
    second.set_xticks(places, list(members))
    second.set_ylim(0.5, 1)
    second.set_title("Area under the ROC curve, by group")
    return figure


def behaviour(train: Examples[Customer, bool]) -> Figure:
    figure, axes = plots.panels(3)
    years = ["1st year", "2nd", "3rd", "4th", "5th", "6th or later"]
    told = {
        "contract": [each.contract.replace("_", " ") for each in train.records],
        "services over internet": [
            str(sum(getattr(each, name) for name in SERVICES)) for each in train.records
        ],
    }
    for panel, (name, values) in zip(axes, told.items(), strict=False):
        plots.share(panel, values, train.truths, f"Left, by {name}")
    year = [year_of(each.tenure) for each in train.records]
    plots.share(axes[2], [str(each) for each in year], train.truths, "Left, by year of tenure")
    axes[2].set_xticks(axes[2].get_xticks(), [years[each - 1] for each in sorted(set(year))])
    return figure


def year_of(tenure: int) -> int:
    """1 of the first twelve months, as `first_year` counts them; at most 6."""
    return min(max(tenure - 1, 0) // 12 + 1, 6)
