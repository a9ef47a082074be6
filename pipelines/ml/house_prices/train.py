"""L2 against L1 regularization and boosted trees; ways to fill gaps; with and without features."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
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

from slipway.training import Candidate, Evaluation, Examples, Fitted, plots
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
# The share of sales that the interval is to hold.
COVERAGE = 0.9
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
DOTS = {"markersize": 3, "markeredgecolor": plots.PALE}
# From barely any effect to a model that says the mean to every house.
GRIDS = {"ridge": (-1.0, 5.0), "lasso": (-4.0, 0.0), "elastic_net": (-4.0, 0.0)}
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


def regularized(kind: str, alpha: float) -> RegressorMixin:
    if kind == "ridge":
        return Ridge(alpha=alpha)
    if kind == "lasso":
        return Lasso(alpha=alpha, max_iter=20_000, tol=1e-3)
    return ElasticNet(alpha=alpha, l1_ratio=0.5, max_iter=20_000, tol=1e-3)


def grid(kind: str, alphas: int) -> np.ndarray:
    return np.logspace(*GRIDS[kind], alphas)


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
    nearest = recipe.imputer == "nearest"
    imputer = KNNImputer() if nearest else SimpleImputer(strategy=recipe.imputer)
    trees = isinstance(recipe.estimator, GradientBoostingRegressor)
    numbers = imputer if trees else make_pipeline(StandardScaler(), imputer)
    categories = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    last = len(NUMBERS)
    prepared = ColumnTransformer(
        [
            ("numbers", numbers, [NUMBERS.index(name) for name in recipe.numbers]),
            ("categories", categories, list(range(last, last + len(CATEGORIES)))),
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
    kind: str, alphas: int, columns: np.ndarray, logs: np.ndarray, folds: KFold
) -> tuple[Candidate, Recipe]:
    """The best strength of one penalty, and how scores and coefficients go as it grows."""
    tried = [Recipe(regularized(kind, float(alpha))) for alpha in grid(kind, alphas)]
    scores = [validated(recipe, columns, logs, folds) for recipe in tried]
    best = max(range(alphas), key=lambda place: scores[place]["r2_log"])
    curves = {
        "alpha": grid(kind, alphas).tolist(),
        **{name: [each[name] for each in scores] for name in ("r2_log", "coefficients")},
    }
    alpha = tried[best].estimator.alpha
    return Candidate(kind, scores[best], {"alpha": alpha}, curves), tried[best]


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
    for kind in GRIDS:
        candidate, made[kind] = swept(kind, alphas, columns, logs, splits)
        candidate.parameters.update(described(made[kind]))
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
    spread = half_width(best, columns, logs, splits)
    best.fit(columns, logs)
    export_onnx(best, {"numbers": len(NUMBERS), "categories": len(CATEGORIES)}, weights)
    (weights / "interval.json").write_text(json.dumps({"spread": spread}) + "\n")

    def native(houses: list[House]) -> list[Valuation]:
        return valuations(best.predict(together(features(houses))), spread)

    return Fitted(tried, chosen, native)


def half_width(best: Pipeline, columns: np.ndarray, logs: np.ndarray, folds: KFold) -> float:
    """What nine in ten errors on rows held out stay below, on the log scale."""
    errors = np.abs(logs - cross_val_predict(best, columns, logs, cv=folds))
    return float(np.quantile(errors, COVERAGE, method="higher"))


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
    for axis in (left.xaxis, left.yaxis):
        axis.set_major_locator(FixedLocator([50, 100, 200, 400, 800]))
        axis.set_major_formatter("{x:.0f}")
        axis.set_minor_locator(NullLocator())
    left.set_title("Valuation against price (test rows)")
    order = np.array_split(np.argsort(truths, kind="stable"), 5)
    off = [100 * (prices[rows] / truths[rows] - 1) for rows in order]
    names = [f"{truths[rows].min():.0f} to {truths[rows].max():.0f}" for rows in order]
    right.axhline(0, color=plots.PALE)
    right.boxplot(off, tick_labels=names, medianprops={"color": plots.ACCENT}, flierprops=DOTS)
    right.tick_params(axis="x", labelsize=8)
    right.set(xlabel="price, $1,000 (fifths of the test rows)", ylabel="valuation too high by, %")
    right.set_title("Error by price (test rows)")
    return figure


def correlation(shown: np.ndarray, logs: np.ndarray) -> Figure:
    """Pairwise over the rows where both are known: not-a-number must not spread."""
    names = ["log_price", *SHOWN]
    known = [shown[:, NUMBERS.index(name)] for name in SHOWN]
    table = np.ma.corrcoef(np.ma.masked_invalid(np.stack([logs, *known]))).filled(np.nan)
    figure, axes = plt.subplots(figsize=(7.2, 6.2))
    picture = axes.imshow(table, cmap="RdBu_r", vmin=-1, vmax=1)
    for (row, column), value in np.ndenumerate(table):
        colour = "white" if abs(value) > 0.65 else plots.INK
        axes.text(
            column,
            row,
            f"{round(value, 2) + 0:.2f}",
            ha="center",
            va="center",
            color=colour,
            fontsize=7,
        )
    axes.set_xticks(range(len(names)), names, rotation=55, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.spines[:].set_visible(False)
    figure.colorbar(picture, ax=axes, shrink=0.6)
    axes.set_title("Correlation (training rows)")
    return figure


def crafted(shown: np.ndarray, prices: np.ndarray) -> Figure:
    """Four features made from several columns, each against the price."""
    figure, axes = plt.subplots(2, 2, figsize=(9.2, 6.4), sharey=True)
    area = np.exp(shown[:, NUMBERS.index("log_total_area")])
    titles = {
        "age": "Age at sale, years",
        "years_since_remodelled": "Years since remodelling or building",
        "total_baths": "Baths, half ones as a half",
    }
    values = {name: shown[:, NUMBERS.index(name)] for name in titles}
    _against(axes[0, 0], area, prices, "Area with basement, square feet (log scale)")
    axes[0, 0].set(xscale="log")
    axes[0, 0].xaxis.set_major_locator(FixedLocator([500, 1000, 2000, 4000, 8000]))
    axes[0, 0].xaxis.set_minor_locator(NullLocator())
    axes[0, 0].xaxis.set_major_formatter("{x:,.0f}")
    for panel, name in zip(axes.flat[1:], titles, strict=True):
        _against(panel, values[name], prices, titles[name])
    return figure


def _against(axes: Axes, values: np.ndarray, prices: np.ndarray, title: str) -> None:
    axes.scatter(values, prices / 1000, s=6, color=plots.ACCENT, alpha=0.3)
    axes.set(yscale="log", ylabel="price, $1,000")
    axes.yaxis.set_major_locator(FixedLocator([50, 100, 200, 400, 800]))
    axes.yaxis.set_major_formatter("{x:.0f}")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_title(title)


def missing(houses: list[House], shown: np.ndarray, tried: dict[str, Candidate]) -> Figure:
    """What is missing, how well lot frontages are filled in, and what that does to prices."""
    figure, (left, middle, right) = plots.panels(3)
    rows = [each.model_dump() for each in houses]
    shares = {name: float(np.mean([row[name] is None for row in rows])) for name in rows[0]}
    gaps = sorted((name for name in shares if shares[name] > 0), key=shares.__getitem__)
    bars = left.barh(gaps, [100 * shares[name] for name in gaps], color=plots.ACCENT)
    left.bar_label(bars, fmt=" %.1f")
    left.margins(x=0.15)
    left.set_title("Missing or not there, % of rows")
    known = imputation_errors(shown)
    bars = middle.bar(list(known), list(known.values()), color=plots.ACCENT)
    middle.bar_label(bars, fmt="%.1f")
    middle.set_title("Error of filled lot frontages, feet")
    metrics = [tried[name].metrics for name in STRATEGIES.values()]
    places = range(len(STRATEGIES))
    right.errorbar(
        places,
        [each["r2_log"] for each in metrics],
        yerr=[each["r2_log_std"] for each in metrics],
        fmt="o",
        color=plots.ACCENT,
        capsize=4,
    )
    for place, each in zip(places, metrics, strict=True):
        right.annotate(f"  {each['r2_log']:.4f}", (place, each["r2_log"]), va="center")
    right.set_xticks(places, list(STRATEGIES))
    right.set_xlim(-0.5, len(STRATEGIES) - 0.2)
    right.set_title("R2 on log price with ridge, by folds")
    return figure


def imputation_errors(shown: np.ndarray) -> dict[str, float]:
    """Root mean square error in feet when every fifth known lot frontage is hidden."""
    place = NUMBERS.index("lot_frontage")
    known = StandardScaler().fit_transform(shown[~np.isnan(shown[:, place])])
    feet = float(np.nanstd(shown[:, place]))
    hidden = np.arange(len(known)) % 5 == 0
    gapped = known.copy()
    gapped[hidden, place] = np.nan
    imputers = {
        "median": SimpleImputer(strategy="median"),
        "mean": SimpleImputer(strategy="mean"),
        "nearest": KNNImputer(),
    }
    return {
        name: feet
        * root_mean_squared_error(
            known[hidden, place], imputer.fit_transform(gapped)[hidden, place]
        )
        for name, imputer in imputers.items()
    }


def regularization(tried: dict[str, Candidate]) -> Figure:
    """How scores and coefficients left go as each penalty grows."""
    figure, (left, right) = plots.panels(2)
    colours = dict(zip(GRIDS, (plots.INK, plots.ACCENT, "#d1793b"), strict=True))
    for kind, colour in colours.items():
        curves = tried[kind].curves
        left.plot(curves["alpha"], curves["r2_log"], "o-", markersize=3, color=colour, label=kind)
        right.plot(curves["alpha"], curves["coefficients"], "o-", markersize=3, color=colour)
    left.axhline(
        tried["linear"].metrics["r2_log"], color=plots.PALE, linestyle=":", label="no penalty"
    )
    best = max(tried[kind].metrics["r2_log"] for kind in GRIDS)
    # Cut where the penalty wins: all fall to 0, and the small gain at the top would be lost.
    left.set(xscale="log", xlabel="alpha", ylabel="r2_log", ylim=(best - 0.06, best + 0.01))
    left.legend(frameon=False, loc=(0.42, 0.03))
    left.set_title("R2 on log price, by folds (top part)")
    right.set(xscale="log", xlabel="alpha", ylabel="coefficients")
    right.set_title("Coefficients that are not zero")
    return figure


def paths(columns: np.ndarray, logs: np.ndarray) -> Figure:
    """Coefficients of scaled numbers as L2 (left) and L1 (right) grow."""
    figure, axes = plots.panels(2, height=4.2)
    names = SHOWN[:8]
    places = [CRAFTED.index(name) for name in names]
    prepared = pipeline(Recipe(Ridge())).named_steps["prepared"].fit_transform(columns)
    for panel, kind, title in zip(
        axes, ("ridge", "lasso"), ("L2 (ridge)", "L1 (lasso)"), strict=True
    ):
        steps = grid(kind, 19)
        fitted = [regularized(kind, float(alpha)).fit(prepared, logs) for alpha in steps]
        for name, place in zip(names, places, strict=True):
            panel.plot(steps, [each.coef_[place] for each in fitted], label=name)
        panel.axhline(0, color=plots.INK, linewidth=0.8)
        panel.set(xscale="log", xlabel="alpha", ylabel="coefficient, log price per deviation")
        panel.set_title(f"{title}: coefficients as alpha grows")
    axes[0].legend(frameon=False, fontsize=7)
    return figure
