"""Fit logistic regression, boosting twice and a forest to indicators, walking forward in time.

Shares move together: rows of one day are nearly one row. So spans are divided between days, with an
embargo, and intervals come from blocks of rows. The metrics of a shuffled split are computed beside
it, as a warning. The simplest candidate within one standard error of the best area is served.
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

from slipway.training import Candidate, Examples, Fitted
from slipway.training.boosting_export import export_boosting
from slipway.training.candidates import BASELINE
from slipway.training.selection import fold_error, simplest_within_error
from slipway.training.tabular import export_onnx

from .metrics import area, measured
from .model import MEASURED, NUMBERS, Direction, History, directions, features

# At most five shares a day: two days lie between what is learnt from and what is answered.
EMBARGO = 10


def estimators(seed: int) -> dict[str, Pipeline]:
    """Return the candidates by name; the baseline always predicts the share of rising days.

    They go from the simplest: a weight for one column, one a column, then trees with ever more
    leaves (640 of boosting, up to 12,800 of the forest); of equal leaves scikit-learn's come first.
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
    # The same limits in XGBoost's words: a row weighs p (1 - p), a quarter, in its leaf.
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
        # scikit-learn's name for a rule that looks at no history.
        "baseline": make_pipeline(DummyClassifier(strategy="prior")),
        "return_of_today": make_pipeline(today, StandardScaler(), LogisticRegression()),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(C=0.01)),
        "boosting": make_pipeline(boosting),
        "xgboost": make_pipeline(xgboost),
        "random_forest": make_pipeline(forest),
    }


def spans(rows: int, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows to learn from and rows to answer, `count` times: the rows after the first third in equal
    spans, each answered from all that is over before it."""
    places, borders = np.arange(rows), np.linspace(rows // 3, rows, count + 1).astype(int)
    return [(places[: begin - EMBARGO], places[begin:end]) for begin, end in pairwise(borders)]


def answers(
    pipeline: Pipeline, numbers: np.ndarray, up: np.ndarray, parts: Sequence[tuple[np.ndarray, ...]]
) -> np.ndarray:
    """Probabilities (rows,) by a model fitted on the first of each part; nan where in no part."""
    found = np.full(len(up), np.nan)
    for learnt, asked in parts:
        pipeline.fit(numbers[learnt], up[learnt])
        found[asked] = pipeline.predict_proba(numbers[asked])[:, 1]
    return found


def fit(*, train: Examples[History, bool], weights: Path, seed: int, count: int) -> Fitted:
    """Choose by the area under the ROC curve over the later spans, and fit the chosen on all."""
    numbers, up = features(train.records)["numbers"], np.array(train.truths)
    parts, tried = spans(len(up), count), []
    later = np.concatenate([asked for _, asked in parts])
    folds = list(KFold(count, shuffle=True, random_state=seed).split(numbers))
    # Boosting's threads wait for each other by spinning: on two busy cores 30 times slower.
    with threadpool_limits(limits=1):
        compared = estimators(seed)
        for name, pipeline in compared.items():
            walked = answers(pipeline, numbers, up, parts)
            shuffled = answers(pipeline, numbers, up, folds)
            # Within spans: between them the share of rising days changes, which no ranking is for.
            areas = [area(up[span], walked[span]) for _, span in parts]
            shuffled_areas = [area(up[fold], shuffled[fold]) for _, fold in folds]
            metrics = measured(walked[later], up[later], looks=len(compared) - 1) | {
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
    beside = {key: chosen.metrics[key] for key in ("hit_rate", "hit_rate_low", "hit_rate_high")}
    (weights / MEASURED).write_text(json.dumps(beside, indent=1) + "\n")

    def native(histories: list[History]) -> list[Direction]:
        return directions(best.predict_proba(features(histories)["numbers"])[:, 1], beside)

    return Fitted(tried, chosen.name, native)
