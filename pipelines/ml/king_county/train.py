"""Ridge, LightGBM, XGBoost and a stack of them; what geography buys; tuned by Optuna or not."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from lightgbm import LGBMRegressor
from matplotlib.figure import Figure
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import StackingRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, TargetEncoder
from xgboost import XGBRegressor

from slipway.training import Candidate, Evaluation, Examples, Fitted, conformal, plots
from slipway.training.graph import write_graph
from slipway.training.tabular import export_boosting, export_onnx

from .model import (
    FIRST,
    HOUSE,
    NEARBY,
    NUMBERS,
    PLACE,
    TYPICAL,
    House,
    Sales,
    Valuation,
    days,
    features,
    valuations,
)

MISSED = 0.05  # on either side of the interval
INTERVAL = "interval.json"
# Trials drawn at random before TPE has something to go by.
STARTUP = 4
EVERYTHING = (*HOUSE, *PLACE, *NEARBY)
# The estimator, the numbers it sees, and how it sees the zip code.
CANDIDATES = {
    "baseline": ("mean", HOUSE, ""),
    "neighbours_alone": ("linear", NEARBY, ""),
    "house_alone": ("lightgbm", HOUSE, ""),
    "house_and_zip": ("lightgbm", HOUSE, "encoded"),
    "house_and_place": ("lightgbm", (*HOUSE, *PLACE), ""),
    "ridge_zip_one_hot": ("ridge", EVERYTHING, "one_hot"),
    "ridge": ("ridge", EVERYTHING, "encoded"),
    "lightgbm": ("lightgbm", EVERYTHING, "encoded"),
    "xgboost": ("xgboost", EVERYTHING, "encoded"),
    "stack": ("stack", EVERYTHING, "encoded"),
    "lightgbm_tuned": ("lightgbm_tuned", EVERYTHING, "encoded"),
    "xgboost_tuned": ("xgboost_tuned", EVERYTHING, "encoded"),
    "stack_tuned": ("stack_tuned", EVERYTHING, "encoded"),
}


@dataclass(frozen=True)
class Sold:
    """Houses with the logarithm of price over `TYPICAL`; the sales known when they were sold."""

    columns: np.ndarray
    logs: np.ndarray


def day(text: str) -> int:
    return (date.fromisoformat(text) - FIRST).days


def forward(
    houses: list[House], prices: np.ndarray, cut: int, first: int
) -> tuple[Sold, Sold, Sales]:
    """Sales before day `cut`, and later ones that know the prices of the former alone.

    Those before day `first` are known to the others, and too poor in neighbours to learn from.
    """
    when, logs = days(houses), np.log(prices / TYPICAL)
    early, late = [each for each, at in zip(houses, when, strict=True) if at < cut], when >= cut
    sales = Sales.of(early, prices[~late])
    columns = features(houses, sales)["numbers"]
    learnt = ~late & (when >= first)
    return Sold(columns[learnt], logs[learnt]), Sold(columns[late], logs[late]), sales


def estimator(kind: str, tuned: dict[str, dict[str, Any]], seed: int) -> Any:
    """Deterministic: LightGBM by its flag, XGBoost on one thread."""
    library, tail, _ = kind.partition("_tuned")
    found = tuned.get(library, {}) if tail else {}
    if library == "lightgbm":
        settings = {"deterministic": True, "force_row_wise": True, "verbose": -1, **found}
        return LGBMRegressor(random_state=seed, n_jobs=1, **settings)
    if library == "xgboost":
        return XGBRegressor(random_state=seed, n_jobs=1, **found)
    if library == "stack":
        names = ("ridge", f"lightgbm{tail}", f"xgboost{tail}")
        return StackingRegressor(
            [(name, estimator(name, tuned, seed)) for name in names],
            final_estimator=LinearRegression(positive=True),
            cv=KFold(3, shuffle=True, random_state=seed),
        )
    # scikit-learn's name for a rule that looks at no house.
    mean = DummyRegressor()
    return {"mean": mean, "linear": LinearRegression(), "ridge": Ridge(1.0)}[kind]


def pipeline(model: Any, numbers: tuple[str, ...], zip_code: str, seed: int) -> Pipeline:
    """The zip code's target encoding is fitted out of fold: no row's own price is in its own."""
    folds = KFold(5, shuffle=True, random_state=seed)
    coders = {
        "encoded": TargetEncoder(target_type="continuous", cv=folds),
        "one_hot": OneHotEncoder(handle_unknown="ignore", sparse_output=False),
        "": "drop",
    }
    places = [NUMBERS.index(name) for name in numbers]
    last = [NUMBERS.index("zip_code")]
    prepared = [("numbers", "passthrough", places), ("zip", coders[zip_code], last)]
    return make_pipeline(ColumnTransformer(prepared), model)


def suggested(library: str, trial: optuna.Trial, trees: int) -> dict[str, Any]:
    rate = trial.suggest_float("learning_rate", 0.02, 0.15, log=True)
    penalty = trial.suggest_float("reg_lambda", 1e-2, 20, log=True)
    same = {"n_estimators": trees, "learning_rate": rate, "reg_lambda": penalty}
    if library == "lightgbm":
        return same | {
            "num_leaves": trial.suggest_int("num_leaves", 8, 64, log=True),
            "min_child_samples": trial.suggest_int("min_child_samples", 5, 60, log=True),
            "colsample_bytree": trial.suggest_float("colsample_bytree", 0.2, 1.0),
        }
    return same | {
        "max_depth": trial.suggest_int("max_depth", 3, 7),
        "min_child_weight": trial.suggest_int("min_child_weight", 1, 30, log=True),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.2, 1.0),
        "subsample": trial.suggest_float("subsample", 0.5, 1.0),
    }


def study(
    library: str, past: Sold, later: Sold, *, trials: int, trees: int, seed: int
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """The best settings by the error on later sales, and as a curve the error of every trial."""

    def error(trial: optuna.Trial) -> float:
        found = suggested(library, trial, trees)
        trial.set_user_attr("settings", found)
        model = estimator(f"{library}_tuned", {library: found}, seed)
        made = pipeline(model, EVERYTHING, "encoded", seed).fit(past.columns, past.logs)
        return float(root_mean_squared_error(later.logs, made.predict(later.columns)))

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)
    made = optuna.create_study(sampler=sampler)
    made.optimize(error, n_trials=trials)
    errors = [each.values[0] for each in made.trials]
    return made.best_trial.user_attrs["settings"], {"rmse_log": errors}


def figures(told: np.ndarray, logs: np.ndarray) -> dict[str, float]:
    """From logarithms over `TYPICAL`; `r2`, `mae` and `median_relative_error` in dollars."""
    prices, answers = TYPICAL * np.exp(logs), TYPICAL * np.exp(told)
    return {
        "rmse_log": float(root_mean_squared_error(logs, told)),
        "r2_log": float(r2_score(logs, told)),
        "r2": float(r2_score(prices, answers)),
        "mae": float(mean_absolute_error(prices, answers)),
        "median_relative_error": float(np.median(np.abs(answers / prices - 1))),
    }


def quantiles(seed: int, trees: int) -> list[Pipeline]:
    """Boosted lower and upper ends of the logarithm."""
    settings = {"objective": "quantile", "n_estimators": trees, "learning_rate": 0.05}
    found = [{**settings, "num_leaves": 24, "alpha": alpha} for alpha in (MISSED, 1 - MISSED)]
    models = [estimator("lightgbm_tuned", {"lightgbm": each}, seed) for each in found]
    return [pipeline(model, EVERYTHING, "encoded", seed) for model in models]


def widening(low: np.ndarray, high: np.ndarray, logs: np.ndarray) -> float:
    """How far both ends move out, or in below 0, for nine sales in ten to lie within.

    Romano, Patterson and Candes (2019), "Conformalized quantile regression".
    """
    return conformal.limit(np.maximum(low - logs, logs - high), 2 * MISSED)


def fit(
    *,
    train: Examples[House, float],
    weights: Path,
    seed: int,
    first_day: str,
    tune_from: str,
    choose_from: str,
    trials: int,
    trees: int,
) -> Fitted:
    """Tune on some weeks, choose on the weeks after, and fit the chosen on all training rows."""
    houses, prices = train.records, np.array(train.truths)
    first, cut, choice = day(first_day), day(tune_from), day(choose_from)
    before = days(houses) < choice
    known = [each for each, kept in zip(houses, before, strict=True) if kept]
    past, later, _ = forward(known, prices[before], cut, first)
    studies = {
        f"{library}_tuned": study(library, past, later, trials=trials, trees=trees, seed=seed)
        for library in ("lightgbm", "xgboost")
    }
    tuned = {kind.removesuffix("_tuned"): found for kind, (found, _) in studies.items()}
    learn, valid, _ = forward(houses, prices, choice, first)
    tried, recipes = [], {}
    for name, (kind, numbers, zip_code) in CANDIDATES.items():
        recipes[name] = pipeline(estimator(kind, tuned, seed), numbers, zip_code, seed)
        told = recipes[name].fit(learn.columns, learn.logs).predict(valid.columns)
        settings, curves = studies.get(kind, ({"estimator": kind}, {}))
        tried.append(Candidate(name, figures(told, valid.logs), settings, curves))
    chosen = min(tried, key=lambda each: each.metrics["rmse_log"]).name
    ends = quantiles(seed, trees)
    low, high = (end.fit(learn.columns, learn.logs).predict(valid.columns) for end in ends)
    wider = widening(low, high, valid.logs)
    everything, _, sales = forward(houses, prices, 10_000, first)
    served = [each.fit(everything.columns, everything.logs) for each in (recipes[chosen], *ends)]
    export(served, wider, weights)
    np.savez(weights / "sales.npz", told=sales.told, shore=sales.shore)
    (weights / INTERVAL).write_text(json.dumps({"widening": wider}) + "\n")

    def native(asked: list[House]) -> list[Valuation]:
        numbers = features(asked, sales)["numbers"]
        told = np.column_stack([each.predict(numbers) for each in served])
        return valuations(numbers, told + wider * np.array([0, -1, 1]))

    return Fitted(tried, chosen, native)


def export(served: list[Pipeline], wider: float, weights: Path) -> None:
    """One graph of three: `numbers` (rows, 32) to `price`, `low` and `high` (rows, 1)."""
    import onnx
    from onnx import compose, helper, numpy_helper

    export_boosting()
    file, inputs = weights / "model.onnx", {"numbers": len(NUMBERS)}
    nodes: list[Any] = []
    constants: dict[str, np.ndarray] = {}
    moves = {"price": 0.0, "low": -wider, "high": wider}
    for each, (name, moved) in zip(served, moves.items(), strict=True):
        export_onnx(each, inputs, weights)
        part = compose.add_prefix(onnx.load(file), f"{name}_", rename_inputs=False).graph
        constants |= {held.name: numpy_helper.to_array(held) for held in part.initializer}
        constants[f"{name}_shift"] = np.array([moved])
        added = [part.output[0].name, f"{name}_shift"]
        nodes += [*part.node, helper.make_node("Add", added, [name])]
    write_graph(file, nodes, inputs=inputs, outputs=dict.fromkeys(moves, 1), constants=constants)


def score(*, answers: list[Valuation], truths: list[float]) -> dict[str, float]:
    price, low, high = dollars(answers)
    happened = np.array(truths)
    return {
        **figures(np.log(price / TYPICAL), np.log(happened / TYPICAL)),
        "coverage": float(np.mean((low <= happened) & (happened <= high))),
        "width": float(np.median((high - low) / price)),
    }


def dollars(answers: list[Valuation]) -> np.ndarray:
    """Price, low and high (3, rows)."""
    return np.array([(each.price, each.low, each.high) for each in answers]).T


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    houses, truths = evaluation.test.records, np.array(evaluation.test.truths)
    price, *_ = dollars(evaluation.answers)
    figure, (left, right) = plots.panels(2, height=4.2)
    shown = left.hexbin(
        [each.longitude for each in houses],
        [each.latitude for each in houses],
        C=np.log2(price / truths),
        gridsize=32,
        cmap="RdBu",
        vmin=-0.5,
        vmax=0.5,
        extent=(-122.53, -121.7, 47.15, 47.78),
    )
    bar = figure.colorbar(shown, ax=left, shrink=0.8, ticks=[-0.415, -0.152, 0, 0.138, 0.379])
    bar.ax.set_yticklabels(["-25 %", "-10 %", "0", "+10 %", "+30 %"])
    left.set(xlabel="longitude", ylabel="latitude", xlim=(-122.55, -121.7))
    left.set_xticks([-122.5, -122.3, -122.1, -121.9, -121.7])
    left.set_title("Mean of answer against price (test sales)")
    right.hexbin(
        truths, price, gridsize=32, xscale="log", yscale="log", bins="log", cmap="GnBu", mincnt=1
    )
    right.plot([1e5, 4e6], [1e5, 4e6], color=plots.INK, linestyle=":")
    right.set(xlabel="price, dollars", ylabel="answer, dollars", title="Prices (test sales)")
    yield "errors", figure
    yield "coverage", coverage(evaluation)
    figure, (left, right) = plots.panels(2)
    studies = [each for each in evaluation.candidates if "rmse_log" in each.curves]
    for each, colour in zip(studies, (plots.ACCENT, plots.INK), strict=True):
        values = each.curves["rmse_log"]
        count = np.arange(len(values)) + 1
        left.plot(count, np.minimum.accumulate(values), color=colour, label=each.name)
        left.scatter(count, values, s=9, color=colour)
    left.set(xlabel="trial", ylabel="rmse_log on later sales", title="Studies")
    left.margins(y=0.25)
    left.legend()
    found = {each.name: each.metrics["median_relative_error"] for each in evaluation.candidates}
    models = ("house_alone", "house_and_zip", "house_and_place", "lightgbm")
    known = ["house", "house and\nzip code", "house and\ncoordinates", "everything"]
    errors = [100 * found[name] for name in models]
    title = "What geography buys (validation, LightGBM)"
    plots.bars(right, known, errors, title, form="{:.1f}", size=9, chosen="everything")
    right.set(ylabel="median error, %")
    yield "study_and_geography", figure


def coverage(evaluation: Evaluation) -> Figure:
    """Share of test prices within the interval, as served and as boosted, by month and by price."""
    truths, (price, low, high) = np.array(evaluation.test.truths), dollars(evaluation.answers)
    wider = json.loads((evaluation.weights / INTERVAL).read_text())["widening"]
    kinds = {
        "as served": (low <= truths) & (truths <= high),
        "before widening": (low * np.exp(wider) <= truths) & (truths <= high * np.exp(-wider)),
    }
    fifths = np.digitize(price, np.quantile(price, [0.2, 0.4, 0.6, 0.8])) + 1
    groups = {
        "month": np.array([each.sold_on[:7] for each in evaluation.test.records]),
        "fifth of the answered price": fifths,
    }
    figure, axes = plots.panels(2)
    for panel, (title, group) in zip(axes, groups.items(), strict=True):
        names = np.unique(group).tolist()
        shares = {
            kind: [100 * within[group == name].mean() for name in names]
            for kind, within in kinds.items()
        }
        plots.bars(panel, names, shares, f"Coverage by {title}", form="{:.0f}")
        panel.axhline(90, color=plots.INK, linestyle=":")
        panel.set(ylim=(60, 104), ylabel="within the interval, %")
    return figure
