"""Train ridge, boosted trees and stacks of them, with and without tuning, and the intervals.

The simplest candidate whose error on later sales lies within one standard error of the best is
served. The others show the effect of geography, tuning and stacking. CatBoost is compared only.
"""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from catboost import CatBoostRegressor  # type: ignore[import-untyped]
from lightgbm import LGBMRegressor
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import StackingRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, TargetEncoder
from xgboost import XGBRegressor

from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.arrays import write_arrays
from slipway.training.boosting_export import export_boosting
from slipway.training.conformal import conformal_quantile
from slipway.training.graph import write_graph
from slipway.training.selection import bootstrap_error, simplest_within_error
from slipway.training.tabular import export_onnx

from .metrics import INTERVAL, valuation_metrics
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
# Random trials before TPE starts.
STARTUP = 4
EVERYTHING = (*HOUSE, *PLACE, *NEARBY)
# The estimator, its numbers, and its treatment of the zip code, from the simplest to the most
# complex: linear before boosted, one model before a stack of three, fewer columns before more,
# and default settings before tuned ones.
CANDIDATES = {
    "baseline": ("mean", HOUSE, ""),
    "neighbours_alone": ("linear", NEARBY, ""),
    "ridge": ("ridge", EVERYTHING, "encoded"),
    "ridge_zip_one_hot": ("ridge", EVERYTHING, "one_hot"),
    "house_alone": ("lightgbm", HOUSE, ""),
    "house_and_zip": ("lightgbm", HOUSE, "encoded"),
    "house_and_place": ("lightgbm", (*HOUSE, *PLACE), ""),
    "lightgbm": ("lightgbm", EVERYTHING, "encoded"),
    "xgboost": ("xgboost", EVERYTHING, "encoded"),
    "catboost": ("catboost", EVERYTHING, "encoded"),
    "catboost_own_zip": ("catboost", EVERYTHING, "ordered"),
    "lightgbm_tuned": ("lightgbm_tuned", EVERYTHING, "encoded"),
    "xgboost_tuned": ("xgboost_tuned", EVERYTHING, "encoded"),
    "catboost_tuned": ("catboost_tuned", EVERYTHING, "encoded"),
    "stack": ("stack", EVERYTHING, "encoded"),
    "stack_tuned": ("stack_tuned", EVERYTHING, "encoded"),
}
TUNED = ("lightgbm", "xgboost", "catboost")
# onnxmltools converts LightGBM and XGBoost within a pipeline, but not CatBoost, whose own export to
# ONNX refuses categorical columns.
SERVED = tuple(name for name in CANDIDATES if not name.startswith("catboost"))


@dataclass(frozen=True)
class SoldHouses:
    """Features of sold houses (rows, columns), and logarithms of price over `TYPICAL` (rows,)."""

    columns: np.ndarray
    logs: np.ndarray


def day(text: str) -> int:
    return (date.fromisoformat(text) - FIRST).days


def split_by_day(
    houses: list[House], prices: np.ndarray, cut: int, first: int
) -> tuple[SoldHouses, SoldHouses, Sales]:
    """Return sales before day `cut`, later sales, and the table of the former.

    Features of later sales use prices before `cut` alone. Sales before day `first` serve as
    neighbours of others, but have too few neighbours themselves to be learnt from.
    """
    when, logs = days(houses), np.log(prices / TYPICAL)
    early, late = [each for each, at in zip(houses, when, strict=True) if at < cut], when >= cut
    sales = Sales.from_houses(early, prices[~late])
    columns = features(houses, sales)["numbers"]
    learnt = ~late & (when >= first)
    return SoldHouses(columns[learnt], logs[learnt]), SoldHouses(columns[late], logs[late]), sales


def estimator(kind: str, tuned: dict[str, dict[str, Any]], seed: int) -> Any:
    """Return an estimator; LightGBM is deterministic by its flag, the others by one thread."""
    library, tail, _ = kind.partition("_tuned")
    found = tuned.get(library, {}) if tail else {}
    if library == "lightgbm":
        settings = {"deterministic": True, "force_row_wise": True, "verbose": -1, **found}
        return LGBMRegressor(random_state=seed, n_jobs=1, **settings)
    if library == "xgboost":
        return XGBRegressor(random_state=seed, n_jobs=1, **found)
    if library == "catboost":
        quiet = {"verbose": False, "allow_writing_files": False}
        return CatBoostRegressor(random_state=seed, thread_count=1, **quiet, **found)
    if library == "stack":
        names = ("ridge", f"lightgbm{tail}", f"xgboost{tail}")
        return StackingRegressor(
            [(name, estimator(name, tuned, seed)) for name in names],
            final_estimator=LinearRegression(positive=True),
            cv=KFold(3, shuffle=True, random_state=seed),
        )
    # Predicts the mean for every house.
    mean = DummyRegressor()
    return {"mean": mean, "linear": LinearRegression(), "ridge": Ridge(1.0)}[kind]


def pipeline(model: Any, numbers: tuple[str, ...], zip_code: str, seed: int) -> Pipeline:
    """Return a pipeline; the zip code's target encoding of a row never uses the row's own price.

    `ordered` leaves the encoding to CatBoost, which uses the prices of the rows that come before
    a row in a random order (Prokhorenkova et al. 2018).
    """
    folds = KFold(5, shuffle=True, random_state=seed)
    coders = {
        "encoded": TargetEncoder(target_type="continuous", cv=folds),
        "one_hot": OneHotEncoder(handle_unknown="ignore", sparse_output=False),
        "ordered": FunctionTransformer(as_text),
        "": "drop",
    }
    places = [NUMBERS.index(name) for name in numbers]
    last = [NUMBERS.index("zip_code")]
    columns = [("numbers", "passthrough", places), ("zip", coders[zip_code], last)]
    if zip_code == "ordered":
        model.set_params(cat_features=[len(numbers)])
    return make_pipeline(ColumnTransformer(columns), model)


def as_text(codes: np.ndarray) -> np.ndarray:
    """Return zip codes (rows, 1) as text, since CatBoost refuses categories that are floats."""
    return np.asarray(codes.astype(int).astype(str), dtype=object)


def suggest_settings(library: str, trial: optuna.Trial, trees: int) -> dict[str, Any]:
    """Return the settings that a trial suggests."""
    rate = trial.suggest_float("learning_rate", 0.02, 0.15, log=True)
    penalty = trial.suggest_float("reg_lambda", 1e-2, 20, log=True)
    same = {"n_estimators": trees, "learning_rate": rate, "reg_lambda": penalty}
    if library == "lightgbm":
        return same | {
            "num_leaves": trial.suggest_int("num_leaves", 8, 64, log=True),
            "min_child_samples": trial.suggest_int("min_child_samples", 5, 60, log=True),
            "colsample_bytree": trial.suggest_float("colsample_bytree", 0.2, 1.0),
        }
    if library == "catboost":
        return same | {
            "max_depth": trial.suggest_int("max_depth", 3, 8),
            "colsample_bylevel": trial.suggest_float("colsample_bylevel", 0.2, 1.0),
            "subsample": trial.suggest_float("subsample", 0.5, 1.0),
        }
    return same | {
        "max_depth": trial.suggest_int("max_depth", 3, 7),
        "min_child_weight": trial.suggest_int("min_child_weight", 1, 30, log=True),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.2, 1.0),
        "subsample": trial.suggest_float("subsample", 0.5, 1.0),
    }


def run_study(
    library: str, past: SoldHouses, later: SoldHouses, *, trials: int, trees: int, seed: int
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """Return the best settings by the error on later sales, and the error of every trial."""

    def error(trial: optuna.Trial) -> float:
        settings = suggest_settings(library, trial, trees)
        trial.set_user_attr("settings", settings)
        model = estimator(f"{library}_tuned", {library: settings}, seed)
        fitted = pipeline(model, EVERYTHING, "encoded", seed).fit(past.columns, past.logs)
        return float(root_mean_squared_error(later.logs, fitted.predict(later.columns)))

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)
    optuna_study = optuna.create_study(sampler=sampler)
    optuna_study.optimize(error, n_trials=trials)
    errors = [each.values[0] for each in optuna_study.trials]
    return optuna_study.best_trial.user_attrs["settings"], {"rmse_log": errors}


def rmse_error(y_pred: np.ndarray, y_true: np.ndarray, seed: int) -> float:
    """Return the standard error of the root mean squared error, by resampling sales."""
    squares = (y_pred - y_true) ** 2
    return bootstrap_error(
        lambda rows: float(np.sqrt(squares[rows].mean())), len(squares), seed=seed
    )


def quantiles(seed: int, trees: int) -> list[Pipeline]:
    """Return pipelines of boosted quantiles for the lower and upper end of the interval."""
    settings = {"objective": "quantile", "n_estimators": trees, "learning_rate": 0.05}
    found = [{**settings, "num_leaves": 24, "alpha": alpha} for alpha in (MISSED, 1 - MISSED)]
    models = [estimator("lightgbm_tuned", {"lightgbm": each}, seed) for each in found]
    return [pipeline(model, EVERYTHING, "encoded", seed) for model in models]


def widening(low: np.ndarray, high: np.ndarray, logs: np.ndarray) -> float:
    """Return how far both ends move outwards so that nine sales in ten lie between them.

    A negative value moves them inwards.

    Romano, Patterson and Candes (2019), "Conformalized quantile regression".
    """
    return conformal_quantile(np.maximum(low - logs, logs - high), 2 * MISSED)


def fit(
    *,
    train: LabelledRows[House, float],
    weights: Path,
    seed: int,
    first_day: str,
    tune_from: str,
    choose_from: str,
    trials: int,
    trees: int,
) -> Fitted:
    """Tune on some weeks, choose on the weeks after, and fit the choice on all training rows."""
    houses, prices = train.records, np.array(train.labels)
    first, cut, choice = day(first_day), day(tune_from), day(choose_from)
    before = days(houses) < choice
    known = [each for each, kept in zip(houses, before, strict=True) if kept]
    past, later, _ = split_by_day(known, prices[before], cut, first)
    studies = {
        f"{library}_tuned": run_study(library, past, later, trials=trials, trees=trees, seed=seed)
        for library in TUNED
    }
    tuned = {kind.removesuffix("_tuned"): found for kind, (found, _) in studies.items()}
    learn, valid, _ = split_by_day(houses, prices, choice, first)
    tried, recipes = [], {}
    for name, (kind, numbers, zip_code) in CANDIDATES.items():
        recipes[name] = pipeline(estimator(kind, tuned, seed), numbers, zip_code, seed)
        y_pred = recipes[name].fit(learn.columns, learn.logs).predict(valid.columns)
        settings, curves = studies.get(kind, ({"estimator": kind}, {}))
        metrics = valuation_metrics(y_pred, valid.logs)
        metrics["rmse_log_se"] = rmse_error(y_pred, valid.logs, seed)
        tried.append(Candidate(name, metrics, settings, curves))
    served = [each for each in tried if each.name in SERVED]
    chosen = simplest_within_error(served, "rmse_log", best="lowest").name
    ends = quantiles(seed, trees)
    low, high = (end.fit(learn.columns, learn.logs).predict(valid.columns) for end in ends)
    wider = widening(low, high, valid.logs)
    everything, _, sales = split_by_day(houses, prices, 10_000, first)
    models = [each.fit(everything.columns, everything.logs) for each in (recipes[chosen], *ends)]
    export(models, wider, weights)
    write_arrays(weights / "sales.npz", table=sales.table, shore=sales.shore)
    (weights / INTERVAL).write_text(json.dumps({"widening": wider}) + "\n")

    def framework_predict(houses: list[House]) -> list[Valuation]:
        numbers = features(houses, sales)["numbers"]
        logs = np.column_stack([each.predict(numbers) for each in models])
        return valuations(numbers, logs + wider * np.array([0, -1, 1]))

    return Fitted(tried, chosen, framework_predict)


def export(served: list[Pipeline], wider: float, weights: Path) -> None:
    """Write one graph of three models: `numbers` (rows, 32) to `price`, `low`, `high` (rows, 1)."""
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
