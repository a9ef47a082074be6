"""The search space: columns, preparation, learner and its settings, as one conditional space."""

from typing import Any

import numpy as np
import optuna
from lightgbm import LGBMClassifier
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.feature_selection import SelectPercentile
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, PolynomialFeatures, StandardScaler
from xgboost import XGBClassifier

from .metrics import LEARNERS
from .model import AS_GIVEN, NUMBERS

Settings = dict[str, Any]
# Each learner's class and the settings that are not searched.
ESTIMATORS: dict[str, tuple[type, Settings]] = {
    # A constant rule that ignores the features.
    "baseline": (DummyClassifier, {}),
    "logistic": (LogisticRegression, {"max_iter": 60}),
    "network": (MLPClassifier, {"batch_size": 256, "max_iter": 12}),
    "extra_trees": (ExtraTreesClassifier, {"n_jobs": 1}),
    "lightgbm": (
        LGBMClassifier,
        {"n_jobs": 1, "deterministic": True, "force_row_wise": True, "verbose": -1},
    ),
    "xgboost": (XGBClassifier, {"n_jobs": 1}),
}


def suggested(trial: optuna.Trial, trees: int) -> Settings:
    """Return a point of the space; a learner has at most `trees` trees.

    A network's depth decides which widths exist: a small architecture search.
    """
    learner = trial.suggest_categorical("learner", LEARNERS)
    settings: Settings = {
        "learner": learner,
        "columns": trial.suggest_categorical("columns", ["as_given", "with_ratios"]),
        "percent_kept": trial.suggest_int("percent_kept", 40, 100, step=20),
    }
    if learner == "logistic":
        settings["preparation"] = trial.suggest_categorical(
            "preparation", ["standard", "bins", "squares", "cubes"]
        )
        settings["C"] = trial.suggest_float("C", 1e-3, 10, log=True)
    elif learner == "network":
        depth = trial.suggest_int("depth", 1, 3)
        settings["hidden_layer_sizes"] = [
            trial.suggest_int(f"width_{layer}", 8, 64, log=True) for layer in range(depth)
        ]
        settings["alpha"] = trial.suggest_float("alpha", 1e-5, 1e-1, log=True)
        settings["learning_rate_init"] = trial.suggest_float("step", 1e-3, 1e-2, log=True)
    elif learner == "extra_trees":
        settings["n_estimators"] = trial.suggest_int("forest_trees", 20, trees // 2, log=True)
        settings["min_samples_leaf"] = trial.suggest_int("forest_leaf", 5, 100, log=True)
        settings["max_features"] = trial.suggest_float("forest_columns", 0.1, 1.0)
    else:
        leaf = "min_child_samples" if learner == "lightgbm" else "min_child_weight"
        settings["n_estimators"] = trial.suggest_int("trees", 30, trees, log=True)
        settings["learning_rate"] = trial.suggest_float("learning_rate", 0.02, 0.3, log=True)
        settings["colsample_bytree"] = trial.suggest_float("colsample_bytree", 0.2, 1.0)
        settings["reg_lambda"] = trial.suggest_float("reg_lambda", 1e-2, 100, log=True)
        settings[leaf] = trial.suggest_int(leaf, 1, 100, log=True)
        if learner == "lightgbm":
            settings["num_leaves"] = trial.suggest_int("num_leaves", 4, 64, log=True)
        else:
            settings["max_depth"] = trial.suggest_int("max_depth", 2, 7)
    return settings


def pipeline(settings: Settings, seed: int) -> Pipeline:
    """Return the pipeline that the settings describe, on one thread and with a seed.

    Raises:
        ValueError: the learner is unknown.
    """
    given = dict(settings)
    learner, columns = given.pop("learner"), given.pop("columns")
    percent, preparation = given.pop("percent_kept"), given.pop("preparation", "standard")
    if learner not in ESTIMATORS:
        raise ValueError(f"learner must be one of {', '.join(LEARNERS)}, got {learner!r}")
    places = list(range(len(AS_GIVEN if columns == "as_given" else NUMBERS)))
    steps: list[Any] = [ColumnTransformer([("kept", "passthrough", places)])]
    if percent < 100:
        steps.append(SelectPercentile(percentile=percent))
    if learner in ("logistic", "network"):
        steps += prepared(preparation)
    estimator, fixed = ESTIMATORS[learner]
    return make_pipeline(*steps, estimator(**{"random_state": seed, **fixed, **given}))


def prepared(how: str) -> list[Any]:
    """Return the preparation steps for linear models and networks.

    Cubes turn 39 columns into 11,480, which take 1 GB at 11,000 rows.
    """
    if how == "bins":
        binned = KBinsDiscretizer(
            10, encode="onehot-dense", quantile_method="averaged_inverted_cdf", dtype=np.float32
        )
        return [binned]
    degree = {"standard": 1, "squares": 2, "cubes": 3}[how]
    powers = [PolynomialFeatures(degree, include_bias=False), StandardScaler()]
    return [StandardScaler(), *(powers if degree > 1 else [])]
