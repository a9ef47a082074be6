"""Training: penalties, boosted trees, ways to fill gaps and features made, compared by folds.

The simplest candidate whose cross-validated R2 on log price lies within one standard error of the
best is served, with an interval from the errors on held-out rows.
"""

import json
from pathlib import Path

import numpy as np
from sklearn.model_selection import KFold, cross_val_predict, cross_validate

from slipway.training import Candidate, Examples, Fitted, conformal
from slipway.training.frames import together
from slipway.training.selection import fold_error, simplest_within_error
from slipway.training.tabular import export_onnx

from .model import CATEGORIES, NUMBERS, TYPICAL, House, Valuation, features, valuations
from .recipes import PENALTIES, Recipe, pipeline, recipes, regularized

SCORES = {"r2_log": "r2", "rmse_log": "neg_root_mean_squared_error"}
# The share of sales that the interval is to miss.
MISSED = 0.1
# From the simplest to the most complex. Simpler has fewer coefficients or smaller ones: a penalty
# that makes some of them zero, then one that shrinks all, then none; trees come last.
SIMPLEST_FIRST = (
    "baseline",
    "lasso",
    "elastic_net",
    "ridge_plain_features",
    "ridge",
    "ridge_mean",
    "ridge_nearest",
    "ridge_indicator",
    "linear",
    "gradient_boosting",
)


def validated(
    recipe: Recipe, columns: np.ndarray, logs: np.ndarray, folds: KFold
) -> dict[str, float]:
    """Metrics over the folds; `coefficients` are those not zero."""
    scores = cross_validate(
        pipeline(recipe), columns, logs, cv=folds, scoring=SCORES, return_estimator=True
    )
    metrics = {
        "r2_log": float(scores["test_r2_log"].mean()),
        "r2_log_std": float(scores["test_r2_log"].std()),
        "rmse_log": float(-scores["test_rmse_log"].mean()),
    }
    fitted = [each.named_steps["estimator"] for each in scores["estimator"]]
    if hasattr(fitted[0], "coef_"):
        metrics["coefficients"] = float(np.mean([np.count_nonzero(e.coef_) for e in fitted]))
    metrics["r2_log_se"] = fold_error(scores["test_r2_log"])
    return metrics


def swept(
    kind: str, steps: int, columns: np.ndarray, logs: np.ndarray, folds: KFold
) -> tuple[Candidate, Recipe]:
    """The best strength of one penalty, and how scores and coefficients go as it grows."""
    tried = [Recipe(each) for each in regularized(kind, steps)]
    scores = [validated(recipe, columns, logs, folds) for recipe in tried]
    best = max(range(steps), key=lambda place: scores[place]["r2_log"])
    alphas = [recipe.estimator.alpha for recipe in tried]
    curves = {name: [each[name] for each in scores] for name in ("r2_log", "coefficients")}
    parameters = {"alpha": alphas[best], **described(tried[best])}
    return Candidate(kind, scores[best], parameters, {"alpha": alphas, **curves}), tried[best]


def described(recipe: Recipe) -> dict[str, object]:
    return {
        "estimator": type(recipe.estimator).__name__,
        "imputer": recipe.imputer,
        "numbers": len(recipe.numbers),
    }


def fit(
    *,
    train: Examples[House, float],
    weights: Path,
    seed: int,
    folds: int,
    alphas: int,
    trees: int,
) -> Fitted:
    """Choose by cross-validated R2 on log price, and fit the chosen one on all training rows."""
    columns = together(features(train.records))
    logs = np.log(np.array(train.truths) / TYPICAL)
    splits = KFold(n_splits=folds, shuffle=True, random_state=seed)
    tried, made = [], {}
    for kind in PENALTIES:
        candidate, made[kind] = swept(kind, alphas, columns, logs, splits)
        tried.append(candidate)
    for name, recipe in recipes(made["ridge"].estimator, trees, seed).items():
        made[name] = recipe
        metrics = validated(recipe, columns, logs, splits)
        tried.append(Candidate(name, metrics, described(recipe)))
    tried.sort(key=lambda each: SIMPLEST_FIRST.index(each.name))
    servable = [each for each in tried if made[each.name].imputer != "nearest"]
    chosen = simplest_within_error(servable, "r2_log", best="highest").name
    best = pipeline(made[chosen])
    held_out = cross_val_predict(best, columns, logs, cv=splits)
    spread = conformal.limit(np.abs(logs - held_out), MISSED)
    best.fit(columns, logs)
    export_onnx(best, {"numbers": len(NUMBERS), "categories": len(CATEGORIES)}, weights)
    (weights / "interval.json").write_text(json.dumps({"spread": spread}) + "\n")

    def native(houses: list[House]) -> list[Valuation]:
        return valuations(best.predict(together(features(houses))), spread)

    return Fitted(tried, chosen, native)
