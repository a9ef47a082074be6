"""Compare penalties, boosted trees, imputers and engineered features by cross-validation.

The simplest candidate whose cross-validated R2 on log price lies within one standard error of the
best is served, with an interval from the errors on held-out rows.
"""

import json
from pathlib import Path

import numpy as np
from sklearn.model_selection import KFold, cross_val_predict, cross_validate

from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.conformal import conformal_quantile
from slipway.training.frames import concatenate_blocks
from slipway.training.selection import fold_error, simplest_within_error
from slipway.training.tabular import export_onnx

from .model import CATEGORIES, NUMBERS, TYPICAL, House, Valuation, features, valuations
from .recipes import PENALTIES, Recipe, penalty_grid, pipeline, recipes

SCORES = {"r2_log": "r2", "rmse_log": "neg_root_mean_squared_error"}
# The share of sales that should lie outside the interval.
MISSED = 0.1
# From the simplest to the most complex: simpler models have fewer or smaller coefficients. First
# comes a penalty that makes some of them zero, then one that shrinks all, then none, then trees.
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


def cross_validation_metrics(
    recipe: Recipe, columns: np.ndarray, logs: np.ndarray, folds: KFold
) -> dict[str, float]:
    """Return the recipe's metrics over the folds; `coefficients` counts the nonzero ones."""
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


def sweep_penalty(
    kind: str, steps: int, columns: np.ndarray, logs: np.ndarray, folds: KFold
) -> tuple[Candidate, Recipe]:
    """Return the best strength of one penalty, with its curves over all strengths."""
    tried = [Recipe(each) for each in penalty_grid(kind, steps)]
    scores = [cross_validation_metrics(recipe, columns, logs, folds) for recipe in tried]
    best = max(range(steps), key=lambda place: scores[place]["r2_log"])
    alphas = [recipe.estimator.alpha for recipe in tried]
    curves = {name: [each[name] for each in scores] for name in ("r2_log", "coefficients")}
    parameters = {"alpha": alphas[best], **recipe_parameters(tried[best])}
    return Candidate(kind, scores[best], parameters, {"alpha": alphas, **curves}), tried[best]


def recipe_parameters(recipe: Recipe) -> dict[str, object]:
    return {
        "estimator": type(recipe.estimator).__name__,
        "imputer": recipe.imputer,
        "numbers": len(recipe.numbers),
    }


def fit(
    *,
    train: LabelledRows[House, float],
    weights: Path,
    seed: int,
    folds: int,
    alphas: int,
    trees: int,
) -> Fitted:
    """Choose a candidate by cross-validated R2 on log price and fit it on all training rows."""
    columns = concatenate_blocks(features(train.records))
    logs = np.log(np.array(train.labels) / TYPICAL)
    splits = KFold(n_splits=folds, shuffle=True, random_state=seed)
    tried, recipe_by_name = [], {}
    for kind in PENALTIES:
        candidate, recipe_by_name[kind] = sweep_penalty(kind, alphas, columns, logs, splits)
        tried.append(candidate)
    for name, recipe in recipes(recipe_by_name["ridge"].estimator, trees, seed).items():
        recipe_by_name[name] = recipe
        metrics = cross_validation_metrics(recipe, columns, logs, splits)
        tried.append(Candidate(name, metrics, recipe_parameters(recipe)))
    tried.sort(key=lambda each: SIMPLEST_FIRST.index(each.name))
    servable = [each for each in tried if recipe_by_name[each.name].imputer != "nearest"]
    chosen = simplest_within_error(servable, "r2_log", best="highest").name
    best = pipeline(recipe_by_name[chosen])
    held_out = cross_val_predict(best, columns, logs, cv=splits)
    spread = conformal_quantile(np.abs(logs - held_out), MISSED)
    best.fit(columns, logs)
    export_onnx(best, {"numbers": len(NUMBERS), "categories": len(CATEGORIES)}, weights)
    (weights / "interval.json").write_text(json.dumps({"spread": spread}) + "\n")

    def framework_predict(houses: list[House]) -> list[Valuation]:
        return valuations(best.predict(concatenate_blocks(features(houses))), spread)

    return Fitted(tried, chosen, framework_predict)
