"""Recipes of a pipeline: what fills gaps, which numbers it sees, and which estimator follows."""

from dataclasses import dataclass

import numpy as np
from sklearn.base import RegressorMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from .model import CATEGORIES, ENGINEERED, GRADED, NUMBERS, PLAIN

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
