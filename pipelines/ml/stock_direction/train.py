"""Fit logistic regression, two boosting libraries and a forest, in walk-forward validation.

Shares move together, so rows of one day are nearly one row. Spans are therefore divided between
days, with an embargo, and intervals come from blocks of rows. As a warning, the metrics of a
shuffled split are computed too. The simplest candidate within one standard error of the best area
is served.
"""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from xgboost import XGBClassifier

from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.boosting_export import export_boosting
from slipway.training.candidates import BASELINE
from slipway.training.selection import fold_error, simplest_within_error
from slipway.training.tabular import export_onnx

from .metrics import area, direction_metrics
from .model import MEASURED, NUMBERS, Direction, History, directions, features

# Rows between training and test rows: two days, with at most five shares a day.
EMBARGO = 10


def estimators(seed: int) -> dict[str, Pipeline]:
    """Return the candidates by name; the baseline always predicts the share of rising days.

    The simplest comes first: one weight, one weight per column, then trees with more and more
    leaves (640 in boosting, up to 12,800 in the forest). With equal leaves scikit-learn's model
    precedes XGBoost's.
    """
    today = ColumnTransformer([("kept", "passthrough", [NUMBERS.index("return_1")])])
    forest = RandomForestClassifier(
        200, max_depth=6, min_samples_leaf=50, max_features=5, random_state=seed
    )
    boosting = HistGradientBoostingClassifier(
        max_iter=80,
        learning_rate=0.03,
        max_leaf_nodes=8,
        min_samples_leaf=100,
        l2_regularization=10.0,
        early_stopping=False,
        random_state=seed,
    )
    # The same limits in XGBoost's terms: a row weighs p (1 - p), about a quarter, in its leaf.
    xgboost = XGBClassifier(
        n_estimators=80,
        learning_rate=0.03,
        max_leaves=8,
        grow_policy="lossguide",
        min_child_weight=25.0,
        reg_lambda=10.0,
        n_jobs=1,
        random_state=seed,
    )
    return {
        # Predicts the share of rising days, whatever the history.
        "baseline": make_pipeline(DummyClassifier(strategy="prior")),
        "return_of_today": make_pipeline(today, StandardScaler(), LogisticRegression()),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(C=0.01)),
        "boosting": make_pipeline(boosting),
        "xgboost": make_pipeline(xgboost),
        "random_forest": make_pipeline(forest),
    }


def spans(rows: int, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return `count` pairs of training rows and test rows.

    The rows after the first third are divided into equal test spans. The training rows of a span
    are all before it, minus the embargo.
    """
    places, borders = np.arange(rows), np.linspace(rows // 3, rows, count + 1).astype(int)
    return [(places[: begin - EMBARGO], places[begin:end]) for begin, end in pairwise(borders)]


def held_out_probabilities(
    pipeline: Pipeline, numbers: np.ndarray, up: np.ndarray, parts: Sequence[tuple[np.ndarray, ...]]
) -> np.ndarray:
    """Return probabilities (rows,) for each part's second rows, fitted on its first; else NaN."""
    y_prob = np.full(len(up), np.nan)
    for train_rows, test_rows in parts:
        pipeline.fit(numbers[train_rows], up[train_rows])
        y_prob[test_rows] = pipeline.predict_proba(numbers[test_rows])[:, 1]
    return y_prob


def fit(*, train: LabelledRows[History, bool], weights: Path, seed: int, count: int) -> Fitted:
    """Choose a candidate by the area under the ROC curve over the spans, and fit it on all rows."""
    numbers, up = features(train.records)["numbers"], np.array(train.labels)
    parts, tried = spans(len(up), count), []
    later = np.concatenate([test_rows for _, test_rows in parts])
    folds = list(KFold(count, shuffle=True, random_state=seed).split(numbers))
    # Boosting's threads spin while they wait for each other: on two busy cores 30 times slower.
    with threadpool_limits(limits=1):
        compared = estimators(seed)
        for name, pipeline in compared.items():
            walked = held_out_probabilities(pipeline, numbers, up, parts)
            shuffled = held_out_probabilities(pipeline, numbers, up, folds)
            # Per span, since the share of rising days differs between spans.
            areas = [area(up[span], walked[span]) for _, span in parts]
            shuffled_areas = [area(up[fold], shuffled[fold]) for _, fold in folds]
            metrics = direction_metrics(walked[later], up[later], looks=len(compared) - 1) | {
                "roc_auc": float(np.mean(areas)),
                "shuffled_roc_auc": float(np.mean(shuffled_areas)),
                "roc_auc_se": fold_error(areas),
            }
            rates = [float(((walked[span] >= 0.5) == up[span]).mean()) for _, span in parts]
            tried.append(Candidate(name, metrics, {}, {"hit rate": rates}))
        others = [each for each in tried if each.name != BASELINE]
        chosen = simplest_within_error(others, "roc_auc", best="highest")
        best = estimators(seed)[chosen.name].fit(numbers, up)
    export_boosting()
    export_onnx(best, {"numbers": len(NUMBERS)}, weights)
    hit_rates = {key: chosen.metrics[key] for key in ("hit_rate", "hit_rate_low", "hit_rate_high")}
    (weights / MEASURED).write_text(json.dumps(hit_rates, indent=1) + "\n")

    def framework_predict(histories: list[History]) -> list[Direction]:
        return directions(best.predict_proba(features(histories)["numbers"])[:, 1], hit_rates)

    return Fitted(tried, chosen.name, framework_predict)
