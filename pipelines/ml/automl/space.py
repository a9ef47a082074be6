"""What is searched: columns, preparation, learner and its settings, as one conditional space."""

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
# Their classes, with what is not searched.
ESTIMATORS: dict[str, tuple[type, Settings]] = {
    # scikit-learn's name for a rule that looks at nobody.
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
    """A point of the space; at most `trees` a learner.

    A network's depth decides which widths there are: a small search of architectures.
    """
    learner = trial.suggest_categorical("learner", LEARNERS)
    found: Settings = {
        "learner": learner,
        "columns": trial.suggest_categorical("columns", ["as_given", "with_ratios"]),
        "percent_kept": trial.suggest_int("percent_kept", 40, 100, step=20),
    }
    if learner == "logistic":
        found["preparation"] = trial.suggest_categorical(
            "preparation", ["standard", "bins", "squares", "cubes"]
        )
        found["C"] = trial.suggest_float("C", 1e-3, 10, log=True)
    elif learner == "network":
        depth = trial.suggest_int("depth", 1, 3)
        found["hidden_layer_sizes"] = [
            trial.suggest_int(f"width_{layer}", 8, 64, log=True) for layer in range(depth)
        ]
        found["alpha"] = trial.suggest_float("alpha", 1e-5, 1e-1, log=True)
        found["learning_rate_init"] = trial.suggest_float("step", 1e-3, 1e-2, log=True)
    elif learner == "extra_trees":
        found["n_estimators"] = trial.suggest_int("forest_trees", 20, trees // 2, log=True)
        found["min_samples_leaf"] = trial.suggest_int("forest_leaf", 5, 100, log=True)
        found["max_features"] = trial.suggest_float("forest_columns", 0.1, 1.0)
    else:
        leaf = "min_child_samples" if learner == "lightgbm" else "min_child_weight"
        found["n_estimators"] = trial.suggest_int("trees", 30, trees, log=True)
        found["learning_rate"] = trial.suggest_float("learning_rate", 0.02, 0.3, log=True)
        found["colsample_bytree"] = trial.suggest_float("colsample_bytree", 0.2, 1.0)
        found["reg_lambda"] = trial.suggest_float("reg_lambda", 1e-2, 100, log=True)
        found[leaf] = trial.suggest_int(leaf, 1, 100, log=True)
        if learner == "lightgbm":
            found["num_leaves"] = trial.suggest_int("num_leaves", 4, 64, log=True)
        else:
            found["max_depth"] = trial.suggest_int("max_depth", 2, 7)
    return found


def pipeline(settings: Settings, seed: int) -> Pipeline:
    """What the settings describe, on one thread and with a seed: equal runs give equal models."""
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
    made, fixed = ESTIMATORS[learner]
    return make_pipeline(*steps, made(**{"random_state": seed, **fixed, **given}))


def prepared(how: str) -> list[Any]:
    """For learners of sums. Cubes of 39 columns are 11,480: 1 GB at 11,000 rows."""
    if how == "bins":
        binned = KBinsDiscretizer(
            10, encode="onehot-dense", quantile_method="averaged_inverted_cdf", dtype=np.float32
        )
        return [binned]
    degree = {"standard": 1, "squares": 2, "cubes": 3}[how]
    powers = [PolynomialFeatures(degree, include_bias=False), StandardScaler()]
    return [StandardScaler(), *(powers if degree > 1 else [])]
