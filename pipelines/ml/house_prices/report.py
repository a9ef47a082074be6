"""Score valuations; draw their errors, features, missing values and penalties."""

from collections.abc import Iterator, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score, root_mean_squared_error
from sklearn.preprocessing import StandardScaler

from slipway.datasets import fetch
from slipway.reporting import Evaluation, plots
from slipway.reporting.baseline_rows import train_and_test_rows
from slipway.reporting.uncertainty import metric_with_interval
from slipway.training import Candidate
from slipway.training.frames import concatenate_blocks
from slipway.training.validation import regression_metrics

from .data import splits
from .model import NUMBERS, TYPICAL, House, Valuation, features
from .recipes import CRAFTED, PENALTIES, Recipe, imputer, penalty_grid, pipeline

# The candidate with ridge as its estimator for each way to fill gaps.
STRATEGIES = {
    "median": "ridge",
    "mean": "ridge_mean",
    "nearest": "ridge_nearest",
    "indicator": "ridge_indicator",
}
# Thousands of dollars on the axes.
PRICES = (50, 100, 200, 400, 800)
# Columns whose correlations and coefficients are drawn.
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


def score(*, predictions: list[Valuation], labels: list[float]) -> dict[str, float]:
    """Return the metrics of the valuations; the baseline is the median of the training prices."""
    prices = [each.price for each in predictions]
    within = [p.low <= label <= p.high for p, label in zip(predictions, labels, strict=True)]
    y_true, y_pred = np.log(labels), np.log(prices)
    train, _ = train_and_test_rows(__file__, splits, fetch("ames_houses"), labels)
    median = np.full(len(labels), np.log(np.median(train.labels)))

    def r2(rows: np.ndarray) -> float:
        return float(r2_score(y_true[rows], y_pred[rows]))

    return {
        # Sales of different houses: the interval resamples rows.
        **metric_with_interval("r2_log", r2, len(labels)),
        "baseline_r2_log": float(r2_score(y_true, median)),
        "rmse_log": float(root_mean_squared_error(y_true, y_pred)),
        **regression_metrics(labels, prices, "r2", "rmse", "mae"),
        "coverage": float(np.mean(within)),
    }


def number(shown: np.ndarray, name: str) -> np.ndarray:
    """Return the column `name` (rows,) of the numbers (rows, columns)."""
    return shown[:, NUMBERS.index(name)]


def ticks(axis: Axis, places: Sequence[int]) -> None:
    """Write plain numbers on a logarithmic axis."""
    axis.set_ticks(places, [f"{place:,}" for place in places])
    axis.set_ticks([], minor=True)


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    columns = concatenate_blocks(features(evaluation.train.records))
    shown = columns[:, : len(NUMBERS)].astype(float)
    prices = np.array(evaluation.train.labels)
    tried = {each.name: each for each in evaluation.candidates}
    yield "errors", errors(evaluation)
    yield "correlation", correlation(shown, np.log(prices))
    yield "features", crafted(shown, prices)
    yield "missing", missing(evaluation.train.records, shown, tried)
    yield "regularization", regularization(tried)
    yield "coefficients", paths(columns, np.log(prices / TYPICAL))


def errors(evaluation: Evaluation) -> Figure:
    """Draw valuations against prices, and relative errors for cheap and expensive houses."""
    figure, (left, right) = plots.panels(2)
    sold_for = np.array(evaluation.test.labels) / 1000
    prices = np.array([each.price for each in evaluation.predictions]) / 1000
    ends = [sold_for.min(), sold_for.max()]
    left.plot(ends, ends, color=plots.INK, linewidth=0.8)
    left.scatter(sold_for, prices, s=9, color=plots.ACCENT, alpha=0.6)
    left.set(xscale="log", yscale="log", xlabel="price, $1,000", ylabel="valuation, $1,000")
    ticks(left.xaxis, PRICES)
    ticks(left.yaxis, PRICES)
    left.set_title("Valuation against price (test rows)")
    order = np.array_split(np.argsort(sold_for, kind="stable"), 5)
    off = [100 * (prices[rows] / sold_for[rows] - 1) for rows in order]
    names = [f"{sold_for[rows].min():.0f} to {sold_for[rows].max():.0f}" for rows in order]
    right.axhline(0, color=plots.PALE)
    dots = {"markersize": 3, "markeredgecolor": plots.PALE}
    right.boxplot(off, tick_labels=names, medianprops={"color": plots.ACCENT}, flierprops=dots)
    right.tick_params(axis="x", labelsize=8)
    right.set(xlabel="price, $1,000 (fifths of the test rows)", ylabel="valuation too high by, %")
    right.set_title("Error by price (test rows)")
    return figure


def correlation(shown: np.ndarray, logs: np.ndarray) -> Figure:
    """Draw correlations, each over the rows where both columns are known."""
    names = ["log_price", *SHOWN]
    known = [number(shown, name) for name in SHOWN]
    table = np.ma.corrcoef(np.ma.masked_invalid(np.stack([logs, *known]))).filled(np.nan)
    figure, axes = plt.subplots(figsize=(7.2, 6.2))
    title = "Correlation (training rows)"
    plots.heatmap(axes, table, names, names, title, fmt="{:z.2f}", limit=1)
    return figure


def crafted(shown: np.ndarray, prices: np.ndarray) -> Figure:
    """Draw four engineered features, each against the price."""
    figure, axes = plt.subplots(2, 2, figsize=(9.2, 6.4), sharey=True)
    values = {
        "Area with basement, square feet (log scale)": np.exp(number(shown, "log_total_area")),
        "Age at sale, years": number(shown, "age"),
        "Years since remodelling or building": number(shown, "years_since_remodelled"),
        "Baths, half ones as a half": number(shown, "total_baths"),
    }
    for panel, (title, column) in zip(axes.flat, values.items(), strict=True):
        panel.scatter(column, prices / 1000, s=6, color=plots.ACCENT, alpha=0.3)
        panel.set(yscale="log", ylabel="price, $1,000", title=title)
        ticks(panel.yaxis, PRICES)
    axes[0, 0].set(xscale="log")
    ticks(axes[0, 0].xaxis, (500, 1000, 2000, 4000, 8000))
    return figure


def missing(houses: list[House], shown: np.ndarray, tried: dict[str, Candidate]) -> Figure:
    """Draw shares of missing values, the errors of filled lot frontages, and scores by imputer."""
    figure, (left, middle, right) = plots.panels(3)
    shares = pd.DataFrame([each.model_dump() for each in houses]).isna().mean()
    gaps = 100 * shares[shares > 0].sort_values(ascending=False)
    title = "Missing or not there, % of rows"
    plots.bars(left, list(gaps.index), gaps.tolist(), title, horizontal=True, fmt="{:.1f}", size=9)
    known = imputation_errors(shown)
    title = "Error of filled lot frontages, feet"
    plots.bars(middle, list(known), list(known.values()), title, fmt="{:.1f}", size=9)
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
    """Return the RMSE in feet of each imputer when every fifth known lot frontage is hidden."""
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
    hidden_values = known[hidden, place]
    return {
        name: feet * root_mean_squared_error(hidden_values, guessed)
        for name, guessed in filled.items()
    }


def regularization(tried: dict[str, Candidate]) -> Figure:
    """Draw scores and the number of nonzero coefficients as each penalty grows."""
    figure, (left, right) = plots.panels(2)
    for kind, colour in zip(PENALTIES, (plots.INK, plots.ACCENT, "#d1793b"), strict=True):
        curves = tried[kind].curves
        for panel, name in ((left, "r2_log"), (right, "coefficients")):
            panel.plot(curves["alpha"], curves[name], "o-", markersize=3, color=colour, label=kind)
            panel.set(xscale="log", xlabel="alpha", ylabel=name)
    plain = tried["linear"].metrics["r2_log"]
    left.axhline(plain, color=plots.PALE, linestyle=":", label="no penalty")
    best = max(tried[kind].metrics["r2_log"] for kind in PENALTIES)
    # Only the top part: all curves fall to 0, which would hide the small gain at the top.
    left.set(ylim=(best - 0.06, best + 0.01), title="R2 on log price, by folds (top part)")
    left.legend(loc=(0.42, 0.03))
    right.set_title("Coefficients that are not zero")
    return figure


def paths(columns: np.ndarray, logs: np.ndarray) -> Figure:
    """Draw coefficients of scaled numbers as the L2 (left) and L1 (right) penalties grow."""
    figure, axes = plots.panels(2, height=4.2)
    prepared = pipeline(Recipe(Ridge())).named_steps["prepared"].fit_transform(columns)
    kinds = {"ridge": "L2 (ridge)", "lasso": "L1 (lasso)"}
    for panel, (kind, title) in zip(axes, kinds.items(), strict=True):
        fitted = [each.fit(prepared, logs) for each in penalty_grid(kind, 19)]
        alphas = [each.alpha for each in fitted]
        for name in SHOWN[:8]:
            place = CRAFTED.index(name)
            panel.plot(alphas, [each.coef_[place] for each in fitted], label=name)
        panel.axhline(0, color=plots.INK, linewidth=0.8)
        panel.set(xscale="log", xlabel="alpha", ylabel="coefficient, log price per deviation")
        panel.set_title(f"{title}: coefficients as alpha grows")
    axes[0].legend(fontsize=7)
    return figure
