"""L2 against L1 regularization and boosted trees; ways to fill gaps; with and without features."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from sklearn.base import RegressorMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, Ridge
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.model_selection import KFold, cross_val_predict, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from slipway.training import Candidate, Evaluation, Examples, Fitted, conformal, plots
from slipway.training.tabular import export_onnx, together

from .model import (
    CATEGORIES,
    ENGINEERED,
    GRADED,
    NUMBERS,
    PLAIN,
    TYPICAL,
    House,
    Valuation,
    features,
    valuations,
)

SCORES = {"r2_log": "r2", "rmse_log": "neg_root_mean_squared_error"}
# What each candidate with ridge as its estimator fills gaps with.
STRATEGIES = {
    "median": "ridge",
    "mean": "ridge_mean",
    "nearest": "ridge_nearest",
    "indicator": "ridge_indicator",
}
# The share of sales that the interval is to miss.
MISSED = 0.1
# Thousands of dollars on the axes.
PRICES = (50, 100, 200, 400, 800)
# Those whose correlations and coefficients are drawn.
SHOWN = (
    "overall_quality",
    "log_total_area",
    "living_area",
    "basement_area",
    "garage_cars",
    "total_baths",
    "kitchen_quality",
    "age",
    "years_since_remodelled",
    "fireplaces",
    "log_lot_area",
    "overall_condition",
)
# From barely any effect to a model that says the mean to every house: powers of ten.
PENALTIES = {
    "ridge": (Ridge(), (-1.0, 5.0)),
    "lasso": (Lasso(max_iter=20_000, tol=1e-3), (-4.0, 0.0)),
    "elastic_net": (ElasticNet(l1_ratio=0.5, max_iter=20_000, tol=1e-3), (-4.0, 0.0)),
}
GIVEN = (*PLAIN, *GRADED)
CRAFTED = (*GIVEN, *ENGINEERED)


@dataclass(frozen=True)
class Recipe:
    """An estimator, what fills its gaps, and the numbers that it is shown.

    `nearest` is compared but never chosen: its export carries all training rows, 299 kB
    against 6 kB, for a score that differs by 0.0001.
    """

    estimator: RegressorMixin
    imputer: str = "median"
    numbers: tuple[str, ...] = CRAFTED


def regularized(kind: str, steps: int) -> list[RegressorMixin]:
    """One penalty from weak to strong."""
    estimator, powers = PENALTIES[kind]
    return [clone(estimator).set_params(alpha=float(each)) for each in np.logspace(*powers, steps)]


def imputer(strategy: str) -> SimpleImputer | KNNImputer:
    return KNNImputer() if strategy == "nearest" else SimpleImputer(strategy=strategy)


def recipes(ridge: RegressorMixin, trees: int, seed: int) -> dict[str, Recipe]:
    """All but the regularized ones; `ridge` is the best of those penalized by L2."""
    boosting = GradientBoostingRegressor(
        n_estimators=trees,
        learning_rate=0.05,
        max_depth=3,
        subsample=0.7,
        max_features=0.3,
        random_state=seed,
    )
    return {
        "baseline": Recipe(DummyRegressor(strategy="median")),
        "linear": Recipe(LinearRegression()),
        "gradient_boosting": Recipe(boosting),
        "ridge_plain_features": Recipe(ridge, numbers=GIVEN),
        "ridge_mean": Recipe(ridge, imputer="mean"),
        "ridge_nearest": Recipe(ridge, imputer="nearest"),
        "ridge_indicator": Recipe(ridge, numbers=NUMBERS),
    }


def pipeline(recipe: Recipe) -> Pipeline:
    """Scale, impute and encode, then the estimator; numbers first, categories after.

    Scaled before imputed, lest the lot area (thousands) alone decide which rows are nearest.
    Trees get their numbers unscaled: float32 and float64 scaling differ at a threshold.
    """
    trees = isinstance(recipe.estimator, GradientBoostingRegressor)
    filled = imputer(recipe.imputer)
    numbers = filled if trees else make_pipeline(StandardScaler(), filled)
    categories = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    prepared = ColumnTransformer(
        [
            ("numbers", numbers, [NUMBERS.index(name) for name in recipe.numbers]),
            ("categories", categories, slice(len(NUMBERS), len(NUMBERS) + len(CATEGORIES))),
        ]
    )
    return Pipeline([("prepared", prepared), ("estimator", clone(recipe.estimator))])


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
    """Choose by cross-validated R2 on log price, and fit the chosen on all training rows."""
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
    chosen = max(
        (each for each in tried if made[each.name].imputer != "nearest"),
        key=lambda each: each.metrics["r2_log"],
    ).name
    best = pipeline(made[chosen])
    held_out = cross_val_predict(best, columns, logs, cv=splits)
    spread = conformal.limit(np.abs(logs - held_out), MISSED)
    best.fit(columns, logs)
    export_onnx(best, {"numbers": len(NUMBERS), "categories": len(CATEGORIES)}, weights)
    (weights / "interval.json").write_text(json.dumps({"spread": spread}) + "\n")

    def native(houses: list[House]) -> list[Valuation]:
        return valuations(best.predict(together(features(houses))), spread)

    return Fitted(tried, chosen, native)


def score(*, answers: list[Valuation], truths: list[float]) -> dict[str, float]:
    prices = [each.price for each in answers]
    within = [a.low <= truth <= a.high for a, truth in zip(answers, truths, strict=True)]
    return {
        "r2_log": float(r2_score(np.log(truths), np.log(prices))),
        "rmse_log": float(root_mean_squared_error(np.log(truths), np.log(prices))),
        "r2": float(r2_score(truths, prices)),
        "rmse": float(root_mean_squared_error(truths, prices)),
        "mae": float(mean_absolute_error(truths, prices)),
        "coverage": float(np.mean(within)),
    }


def number(shown: np.ndarray, name: str) -> np.ndarray:
    """One column (rows,) of the numbers (rows, columns)."""
    return shown[:, NUMBERS.index(name)]


def ticks(axis: Axis, places: Sequence[int]) -> None:
    """Plain numbers on a logarithmic axis."""
    axis.set_ticks(places, [f"{place:,}" for place in places])
    axis.set_ticks([], minor=True)


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    columns = together(features(evaluation.train.records))
    shown = columns[:, : len(NUMBERS)].astype(float)
    prices = np.array(evaluation.train.truths)
    tried = {each.name: each for each in evaluation.candidates}
    yield "errors", errors(evaluation)
    yield "correlation", correlation(shown, np.log(prices))
    yield "features", crafted(shown, prices)
    yield "missing", missing(evaluation.train.records, shown, tried)
    yield "regularization", regularization(tried)
    yield "coefficients", paths(columns, np.log(prices / TYPICAL))


def errors(evaluation: Evaluation) -> Figure:
    """Valuations against prices, and how far off they are for cheap and dear houses."""
    figure, (left, right) = plots.panels(2)
    truths = np.array(evaluation.test.truths) / 1000
    prices = np.array([each.price for each in evaluation.answers]) / 1000
    ends = [truths.min(), truths.max()]
    left.plot(ends, ends, color=plots.INK, linewidth=0.8)
    left.scatter(truths, prices, s=9, color=plots.ACCENT, alpha=0.6)
    left.set(xscale="log", yscale="log", xlabel="price, $1,000", ylabel="valuation, $1,000")
    ticks(left.xaxis, PRICES)
    ticks(left.yaxis, PRICES)
    left.set_title("Valuation against price (test rows)")
    order = np.array_split(np.argsort(truths, kind="stable"), 5)
    off = [100 * (prices[rows] / truths[rows] - 1) for rows in order]
    names = [f"{truths[rows].min():.0f} to {truths[rows].max():.0f}" for rows in order]
    right.axhline(0, color=plots.PALE)
    dots = {"markersize": 3, "markeredgecolor": plots.PALE}
    right.boxplot(off, tick_labels=names, medianprops={"color": plots.ACCENT}, flierprops=dots)
    right.tick_params(axis="x", labelsize=8)
    right.set(xlabel="price, $1,000 (fifths of the test rows)", ylabel="valuation too high by, %")
    right.set_title("Error by price (test rows)")
    return figure


def correlation(shown: np.ndarray, logs: np.ndarray) -> Figure:
    """Pairwise over the rows where both are known: not-a-number must not spread."""
    names = ["log_price", *SHOWN]
    known = [number(shown, name) for name in SHOWN]
    table = np.ma.corrcoef(np.ma.masked_invalid(np.stack([logs, *known]))).filled(np.nan)
    figure, axes = plt.subplots(figsize=(7.2, 6.2))
    title = "Correlation (training rows)"
    plots.heat(axes, table, names, names, title, form="{:z.2f}", reach=1)
    return figure


def crafted(shown: np.ndarray, prices: np.ndarray) -> Figure:
    """Four features made from several columns, each against the price."""
    figure, axes = plt.subplots(2, 2, figsize=(9.2, 6.4), sharey=True)
    values = {
        "Area with basement, square feet (log scale)": np.exp(number(shown, "log_total_area")),
        "Age at sale, years": number(shown, "age"),
        "Years since remodelling or building": number(shown, "years_since_remodelled"),
        "Baths, half ones as a half": number(shown, "total_baths"),
    }
    for panel, (title, told) in zip(axes.flat, values.items(), strict=True):
        panel.scatter(told, prices / 1000, s=6, color=plots.ACCENT, alpha=0.3)
        panel.set(yscale="log", ylabel="price, $1,000", title=title)
        ticks(panel.yaxis, PRICES)
    axes[0, 0].set(xscale="log")
    ticks(axes[0, 0].xaxis, (500, 1000, 2000, 4000, 8000))
    return figure


def missing(houses: list[House], shown: np.ndarray, tried: dict[str, Candidate]) -> Figure:
    """What is missing, how well lot frontages are filled in, and what that does to prices."""
    figure, (left, middle, right) = plots.panels(3)
    shares = pd.DataFrame([each.model_dump() for each in houses]).isna().mean()
    gaps = 100 * shares[shares > 0].sort_values(ascending=False)
    title = "Missing or not there, % of rows"
    plots.bars(left, list(gaps.index), gaps.tolist(), title, lying=True, form="{:.1f}", size=9)
    known = imputation_errors(shown)
    title = "Error of filled lot frontages, feet"
    plots.bars(middle, list(known), list(known.values()), title, form="{:.1f}", size=9)
    metrics = [tried[name].metrics for name in STRATEGIES.values()]
    scores, places = [each["r2_log"] for each in metrics], range(len(metrics))
    reach = [each["r2_log_std"] for each in metrics]
    right.errorbar(places, scores, yerr=reach, fmt="o", color=plots.ACCENT, capsize=4)
    for place, score in enumerate(scores):
        right.annotate(f"  {score:.4f}", (place, score), va="center")
    right.set_xticks(places, list(STRATEGIES))
    right.set(xlim=(-0.5, len(places) - 0.2), title="R2 on log price with ridge, by folds")
    return figure


def imputation_errors(shown: np.ndarray) -> dict[str, float]:
    """Root mean square error in feet when every fifth known lot frontage is hidden."""
    place = NUMBERS.index("lot_frontage")
    known = StandardScaler().fit_transform(shown[~np.isnan(shown[:, place])])
    feet = float(np.nanstd(shown[:, place]))
    hidden = np.arange(len(known)) % 5 == 0
    gapped = known.copy()
    gapped[hidden, place] = np.nan
    filled = {
        strategy: imputer(strategy).fit_transform(gapped)[hidden, place]
        for strategy in ("median", "mean", "nearest")
    }
    wanted = known[hidden, place]
    return {name: feet * root_mean_squared_error(wanted, told) for name, told in filled.items()}


def regularization(tried: dict[str, Candidate]) -> Figure:
    """How scores and coefficients left go as each penalty grows."""
    figure, (left, right) = plots.panels(2)
    for kind, colour in zip(PENALTIES, (plots.INK, plots.ACCENT, "#d1793b"), strict=True):
        curves = tried[kind].curves
        for panel, name in ((left, "r2_log"), (right, "coefficients")):
            panel.plot(curves["alpha"], curves[name], "o-", markersize=3, color=colour, label=kind)
            panel.set(xscale="log", xlabel="alpha", ylabel=name)
    plain = tried["linear"].metrics["r2_log"]
    left.axhline(plain, color=plots.PALE, linestyle=":", label="no penalty")
    best = max(tried[kind].metrics["r2_log"] for kind in PENALTIES)
    # Cut where the penalty wins: all fall to 0, and the small gain at the top would be lost.
    left.set(ylim=(best - 0.06, best + 0.01), title="R2 on log price, by folds (top part)")
    left.legend(loc=(0.42, 0.03))
    right.set_title("Coefficients that are not zero")
    return figure


def paths(columns: np.ndarray, logs: np.ndarray) -> Figure:
    """Coefficients of scaled numbers as L2 (left) and L1 (right) grow."""
    figure, axes = plots.panels(2, height=4.2)
    prepared = pipeline(Recipe(Ridge())).named_steps["prepared"].fit_transform(columns)
    kinds = {"ridge": "L2 (ridge)", "lasso": "L1 (lasso)"}
    for panel, (kind, title) in zip(axes, kinds.items(), strict=True):
        fitted = [each.fit(prepared, logs) for each in regularized(kind, 19)]
        alphas = [each.alpha for each in fitted]
        for name in SHOWN[:8]:
            place = CRAFTED.index(name)
            panel.plot(alphas, [each.coef_[place] for each in fitted], label=name)
        panel.axhline(0, color=plots.INK, linewidth=0.8)
        panel.set(xscale="log", xlabel="alpha", ylabel="coefficient, log price per deviation")
        panel.set_title(f"{title}: coefficients as alpha grows")
    axes[0].legend(fontsize=7)
    return figure
