"""Training of our own trees and boosting with several losses and limits, beside three libraries.

The simplest of our own models within one standard error of the best is served. The libraries show
the accuracy and speed that are possible. All run on one thread.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.graph import write_graph
from slipway.training.selection import bootstrap_error, simplest_within_error

from .boosting import MISSING, Absolute, Boosting, Huber, Limits, LogLoss, Squared, Tree
from .metrics import errors, in_dollars
from .model import NUMBERS, UNIT, Block, Worth, features, worths

EXPENSIVE = 180_000.0
"""Half of the blocks are worth more; the log-loss is tried on this label."""


@dataclass(frozen=True)
class Table:
    """Features (rows, 14) float32 and values in 100,000 dollars (rows,)."""

    numbers: np.ndarray
    values: np.ndarray

    @classmethod
    def from_rows(cls, rows: LabelledRows[Block, float]) -> "Table":
        return cls(features(rows.records)["numbers"], np.array(rows.labels) / UNIT)

    def split(self, share: float, seed: int) -> tuple["Table", "Table"]:
        """Return the rows to learn from and, a `share` of all, the rows to validate on."""
        held = np.random.default_rng(seed).random(len(self.values)) < share
        learn, validation = (Table(self.numbers[rows], self.values[rows]) for rows in (~held, held))
        return learn, validation

    @property
    def expensive(self) -> np.ndarray:
        """Whether each value is above 180,000 dollars (rows,), as 0 or 1."""
        return (self.values > EXPENSIVE / UNIT).astype(np.float64)


def own(trees: int, rate: float, seed: int) -> dict[str, Boosting]:
    """Return our own models by name, from the simplest to the most complex.

    One tree is simpler than several, then fewer leaves per tree, then the squared loss
    on all rows. Boosting with one tree and a learning rate of 1 is a decision tree.
    """
    plain = Boosting(Squared(), trees, rate, limits=Limits(), seed=seed)
    single = replace(plain, trees=1, learning_rate=1.0)
    by_heart = Limits(max_depth=12, min_samples=1, l2=0.0)
    return {
        "baseline": replace(single, limits=Limits(max_depth=0)),
        "tree": replace(single, limits=Limits(max_depth=10, l2=0.0)),
        "tree_any_leaf": replace(single, limits=by_heart),
        "squared_depth_2": replace(plain, limits=Limits(max_depth=2)),
        "squared": plain,
        "squared_subsample": replace(plain, subsample=0.7),
        "absolute": replace(plain, loss=Absolute()),
        "huber": replace(plain, loss=Huber()),
        "squared_depth_9": replace(plain, limits=Limits(max_depth=9)),
        "squared_depth_9_any_leaf": replace(plain, limits=Limits(max_depth=9, min_samples=1)),
        "squared_depth_12": replace(plain, limits=Limits(max_depth=12)),
    }


def libraries(trees: int, rate: float, seed: int, *, classify: bool) -> dict[str, Any]:
    """Return the libraries' models with the limits of `squared`, on one thread.

    XGBoost has a second model with the limits of `squared_depth_9`. All have at least 20 rows per
    leaf. XGBoost counts second derivatives instead of rows: 1 per row for squares, at most a
    quarter for the log-loss.
    """
    import lightgbm
    import xgboost
    from sklearn import ensemble

    kind = "Classifier" if classify else "Regressor"
    rates = {"learning_rate": rate, "random_state": seed}
    same: dict[str, Any] = {"n_estimators": trees, "reg_lambda": 1.0, "n_jobs": 1, **rates}
    counted = {"min_child_weight": 5 if classify else 20, "tree_method": "hist"}
    xgb, lgbm = getattr(xgboost, f"XGB{kind}"), getattr(lightgbm, f"LGBM{kind}")
    leaves: dict[str, Any] = {"num_leaves": 64, "min_child_samples": 20, "verbose": -1}
    # Otherwise LightGBM measures which of two algorithms is faster, and the result may differ.
    leaves |= {"deterministic": True, "force_row_wise": True}
    return {
        "xgboost": xgb(max_depth=6, **counted, **same),
        "xgboost_depth_9": xgb(max_depth=9, **counted, **same),
        "lightgbm": lgbm(max_depth=6, **leaves, **same),
        "scikit_learn": getattr(ensemble, f"HistGradientBoosting{kind}")(
            max_iter=trees,
            max_depth=6,
            max_leaf_nodes=None,
            min_samples_leaf=20,
            l2_regularization=1.0,
            early_stopping=False,
            **rates,
        ),
    }


def rmse_error(scores: np.ndarray, values: np.ndarray, seed: int) -> float:
    """Return the standard error of the RMSE in dollars, by resampling the validation rows."""
    squares = (in_dollars(scores) - values * UNIT) ** 2
    return bootstrap_error(
        lambda rows: float(np.sqrt(squares[rows].mean())), len(squares), seed=seed
    )


def try_own(name: str, model: Boosting, learn: Table, validation: Table) -> Candidate:
    """Fit and validate one of our own models; a squared loss has a curve of the RMSE in dollars."""
    model.fit(learn.numbers, learn.values, (validation.numbers, validation.values))
    scores = model.predict(validation.numbers)
    metrics = errors(scores, validation.values) | {
        "rmse_se": rmse_error(scores, validation.values, model.seed)
    }
    curves = {}
    if isinstance(model.loss, Squared) and model.trees > 1:
        curves = {"rmse": [float(np.sqrt(2 * loss)) * UNIT for loss in model.losses]}
    parameters = {
        "trees": model.trees,
        "learning_rate": model.learning_rate,
        "library": False,
    }
    return Candidate(name, metrics, parameters, curves)


def fit(
    *,
    train: LabelledRows[Block, float],
    weights: Path,
    seed: int,
    validation_share: float,
    trees: int,
    learning_rate: float,
    served_trees: int,
    served_rate: float,
) -> Fitted:
    """Choose one of our own models by RMSE, and fit it on all rows with more and smaller steps."""
    table = Table.from_rows(train)
    learn, validation = table.split(validation_share, seed)
    models = own(trees, learning_rate, seed)
    with threadpool_limits(limits=1):
        tried = [try_own(name, model, learn, validation) for name, model in models.items()]
        chosen = simplest_within_error(tried, "rmse", best="lowest").name
        likely = Boosting(LogLoss(), trees, learning_rate, seed=seed)
        likely.fit(learn.numbers, learn.expensive)
        odds = likely.predict(validation.numbers)
        metrics = {"log_loss": log_loss(validation.expensive, 1 / (1 + np.exp(-odds)))}
        tried.append(Candidate("log_loss", metrics, {"trees": trees}))
        tried += try_libraries(learn, validation, trees, learning_rate, seed)
        best = models[chosen]
        if best.trees > 1:
            best = replace(best, trees=served_trees, learning_rate=served_rate)
        best.fit(table.numbers, table.values)
    export(best, weights / "model.onnx")

    def framework_predict(blocks: list[Block]) -> list[Worth]:
        return worths(best.predict(features(blocks)["numbers"]))

    return Fitted(tried, chosen, framework_predict)


def try_libraries(
    learn: Table, validation: Table, trees: int, rate: float, seed: int
) -> list[Candidate]:
    """Fit and validate the libraries' regressors and classifiers."""
    tried = []
    classifiers = libraries(trees, rate, seed, classify=True)
    for name, model in libraries(trees, rate, seed, classify=False).items():
        model.fit(learn.numbers, learn.values)
        scores = model.predict(validation.numbers)
        metrics = errors(scores, validation.values)
        likely = (
            classifiers[name].fit(learn.numbers, learn.expensive).predict_proba(validation.numbers)
        )
        metrics |= {"log_loss": float(log_loss(validation.expensive, likely))}
        metrics |= {"rmse_se": rmse_error(scores, validation.values, seed)}
        parameters = {"trees": trees, "learning_rate": rate, "library": True}
        tried.append(Candidate(name, metrics, parameters))
    return tried


def export(model: Boosting, file: Path) -> None:
    """Write the model as one ONNX tree ensemble: `numbers` (rows, 14) to `scores` (rows, 1)."""
    from onnx import helper

    # A border that separates only missing values: every number is below it.
    borders = np.full((len(NUMBERS), MISSING), np.finfo(np.float32).max)
    for row, each in zip(borders, model.bins.borders, strict=True):
        row[: len(each)] = each
    counts = [len(tree.column) for tree in model.grown]
    trees = np.repeat(np.arange(len(counts)), counts)
    places = np.concatenate([np.arange(count) for count in counts])
    nodes = Tree.concatenate(model.grown)
    leaf = nodes.column < 0
    attributes = {
        "nodes_treeids": trees,
        "nodes_nodeids": places,
        "nodes_featureids": np.where(leaf, 0, nodes.column),
        "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LEQ"),
        "nodes_values": np.where(leaf, 0.0, borders[nodes.column, nodes.bin]),
        "nodes_truenodeids": np.where(leaf, 0, nodes.left),
        "nodes_falsenodeids": np.where(leaf, 0, nodes.left + 1),
        "nodes_missing_value_tracks_true": nodes.missing_left.astype(int),
        "target_treeids": trees[leaf],
        "target_nodeids": places[leaf],
        "target_ids": np.zeros(leaf.sum(), dtype=int),
        "target_weights": model.learning_rate * nodes.value[leaf],
    }
    ensemble = helper.make_node(
        "TreeEnsembleRegressor",
        ["numbers"],
        ["scores"],
        domain="ai.onnx.ml",
        n_targets=1,
        base_values=[model.start],
        **{name: each.tolist() for name, each in attributes.items()},
    )
    write_graph(file, [ensemble], inputs={"numbers": len(NUMBERS)}, outputs={"scores": 1})
