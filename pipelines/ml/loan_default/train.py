"""Fit linear models and trees to a rare event: as it is, with class weights, and with SMOTE.

The rows are split into three parts. Candidates are fitted on the first, calibrated and given their
threshold on the second, and compared on the third. Synthetic defaults go into the first part alone.
The simplest candidate within one standard error of the lowest cost is served.
"""

import json
from pathlib import Path

import numpy as np
from sklearn.base import ClassifierMixin, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.contract.calibration import calibrated, log_odds
from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.calibration import Reliability
from slipway.training.candidates import BASELINE
from slipway.training.platt import platt
from slipway.training.selection import simplest_within_error
from slipway.training.tabular import export_onnx
from slipway.training.validation import binary_metrics

from .metrics import CUTS, cost, costs
from .model import NUMBERS, Borrower, LoanRisk, features, risks

# From the simplest: the rows as they are, then with class weights, then with synthetic rows.
TREATMENTS = ("", "_balanced", "_smote")
LATE = [place for place, name in enumerate(NUMBERS) if name.startswith("late_")]
# Above every count in the table; the highest is 17, and the highest sum 19.
MANY = 20.0


def smote(
    numbers: np.ndarray, defaulted: np.ndarray, *, seed: int, neighbours: int = 5
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows with synthetic defaults added, until both classes have equally many rows.

    Each new row lies between a default and one of its nearest (Chawla, Bowyer, Hall and Kegelmeyer
    2002). `numbers` (rows, columns) have no gaps; distances are measured on standardized columns.

    Raises:
        ValueError: there are not more defaults than `neighbours`.
    """
    rare = numbers[defaulted]
    if len(rare) <= neighbours:
        raise ValueError(f"SMOTE with {neighbours} neighbours needs more defaults, got {len(rare)}")
    rng = np.random.default_rng(seed)
    scaled = StandardScaler().fit(numbers).transform(rare)
    near = NearestNeighbors(n_neighbors=neighbours + 1).fit(scaled).kneighbors(scaled)[1][:, 1:]
    missing = int((~defaulted).sum()) - len(rare)
    start = rng.integers(len(rare), size=missing)
    stop = near[start, rng.integers(neighbours, size=missing)]
    synthetic = rare[start] + rng.random((missing, 1)) * (rare[stop] - rare[start])
    return np.concatenate([numbers, synthetic]), np.concatenate([defaulted, np.ones(missing, bool)])


def estimators(seed: int, trees: int, rounds: int) -> dict[str, ClassifierMixin]:
    """Return the learners by name, ordered by their number of fitted parameters.

    Logistic regression has one per column, boosting 16 leaves per tree, the forest hundreds per
    tree.
    """
    return {
        "logistic": LogisticRegression(C=1.0, max_iter=500),
        "boosting": HistGradientBoostingClassifier(
            max_iter=rounds,
            learning_rate=0.06,
            max_leaf_nodes=16,
            min_samples_leaf=80,
            l2_regularization=5.0,
            early_stopping=False,
            random_state=seed,
        ),
        "forest": RandomForestClassifier(
            trees, min_samples_leaf=30, max_features=4, max_samples=0.5, random_state=seed
        ),
    }


def preprocessing(learner: str) -> TransformerMixin:
    """Return a transformer that fills gaps with the median, and scales for linear models.

    For trees, the bureau's codes become `MANY` late payments, since 61 % of the coded borrowers
    defaulted. All of these had used up their credit; otherwise a tree would rate a coded borrower
    who has not like one who was never late.

    Trees get unscaled numbers: scaling is float32 in service and float64 here, so some values
    would fall on the other side of a threshold.
    """
    median = SimpleImputer(strategy="median")
    if learner == "logistic":
        return make_pipeline(median, StandardScaler())
    counts = SimpleImputer(strategy="constant", fill_value=MANY)
    return make_column_transformer((counts, LATE), remainder=median)


def fit_pipeline(
    name: str, numbers: np.ndarray, defaulted: np.ndarray, *, seed: int, trees: int, rounds: int
) -> Pipeline:
    """Return the fitted pipeline of the candidate `name`: a learner and a treatment."""
    learner, _, treatment = name.partition("_")
    transformer = preprocessing(learner)
    columns = transformer.fit_transform(numbers)
    if name == BASELINE:
        # Predicts the share of defaults for everybody.
        return make_pipeline(transformer, DummyClassifier().fit(columns, defaulted))
    estimator = estimators(seed, trees, rounds)[learner]
    if treatment == "balanced":
        estimator.set_params(class_weight="balanced")
    if treatment == "smote":
        columns, defaulted = smote(columns, defaulted, seed=seed)
    return make_pipeline(transformer, estimator.fit(columns, defaulted))


def cheapest_threshold(probabilities: np.ndarray, defaulted: np.ndarray) -> float:
    """Return the threshold with the lowest cost, in steps of 0.01."""
    costs = [cost(probabilities >= cut, defaulted) for cut in CUTS]
    return float(CUTS[int(np.argmin(costs))])


# Boosting's threads spin while they wait for each other: on busy cores 30 times slower.
@threadpool_limits.wrap(limits=1)
def fit(
    *, train: LabelledRows[Borrower, bool], weights: Path, seed: int, trees: int, rounds: int
) -> Fitted:
    """Choose a candidate by its cost on the third part, and serve the model compared there."""
    numbers, defaulted = features(train.records)["numbers"], np.array(train.labels)
    first, rest = train_test_split(
        np.arange(len(defaulted)), test_size=0.4, random_state=seed, stratify=defaulted
    )
    second, third = train_test_split(
        rest, test_size=0.5, random_state=seed, stratify=defaulted[rest]
    )
    learners = estimators(seed, trees, rounds)
    tried, pipelines, raw = [], {}, np.zeros(len(defaulted))
    for name in [
        BASELINE,
        *(learner + treatment for learner in learners for treatment in TREATMENTS),
    ]:
        candidate = fit_pipeline(
            name, numbers[first], defaulted[first], seed=seed, trees=trees, rounds=rounds
        )
        raw[rest] = candidate.predict_proba(numbers[rest])[:, 1]
        tried.append(evaluate_candidate(name, raw, defaulted, second, third))
        pipelines[name] = candidate
    others = [each for each in tried if each.name != BASELINE]
    chosen = simplest_within_error(others, "cost", best="lowest")
    best, decision = pipelines[chosen.name], chosen.parameters
    export_onnx(best, {"numbers": len(NUMBERS)}, weights)
    (weights / "decision.json").write_text(json.dumps(decision, indent=1) + "\n")

    def framework_predict(borrowers: list[Borrower]) -> list[LoanRisk]:
        raw = best.predict_proba(features(borrowers)["numbers"])[:, 1]
        y_prob = calibrated(raw, decision["slope"], decision["intercept"])
        return risks(y_prob, decision["threshold"])

    return Fitted(tried, chosen.name, framework_predict)


def evaluate_candidate(
    name: str, raw: np.ndarray, defaulted: np.ndarray, tuned: np.ndarray, held_out: np.ndarray
) -> Candidate:
    """Calibrate and set the threshold on the rows `tuned`; return metrics on `held_out`."""
    line = (1.0, 0.0) if name == BASELINE else platt(log_odds(raw[tuned]), defaulted[tuned])
    threshold = cheapest_threshold(calibrated(raw[tuned], *line), defaulted[tuned])
    y_raw, y_true = raw[held_out], defaulted[held_out]
    y_prob = calibrated(y_raw, *line)
    y_pred = y_prob >= threshold
    by_borrower = costs(y_pred, y_true)
    names = ("recall", "roc_auc", "average_precision", "brier")
    metrics = {
        "cost": float(by_borrower.mean()),
        "cost_at_a_half": cost(y_raw >= 0.5, y_true),
        "brier_raw": float(brier_score_loss(y_true, y_raw)),
        **binary_metrics(y_true, *names, y_prob=y_prob, y_pred=y_pred),
        "cost_se": float(by_borrower.std(ddof=1) / np.sqrt(len(by_borrower))),
    }
    before, after = (
        Reliability.from_predictions(y_raw, y_true),
        Reliability.from_predictions(y_prob, y_true),
    )
    curves = {
        "cost": [cost(y_raw >= cut, y_true) for cut in CUTS],
        "y_prob_raw": before.y_prob.tolist(),
        "observed_raw": before.observed.tolist(),
        "y_prob": after.y_prob.tolist(),
        "observed": after.observed.tolist(),
        "rows": after.rows.tolist(),
    }
    decision = {"slope": line[0], "intercept": line[1], "threshold": threshold}
    return Candidate(name, metrics, decision, curves)
