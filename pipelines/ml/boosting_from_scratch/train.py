"""Our own trees and boosting, loss by loss and limit by limit, against three libraries.

What is written from scratch is served: the simplest of ours within one standard error of the best.
The libraries say how good and how fast it could be. All run on one thread.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.training import Candidate, Examples, Fitted
from slipway.training.graph import write_graph
from slipway.training.selection import bootstrap_error, simplest_within_error

from .boosting import MISSING, Absolute, Boosting, Huber, Limits, LogLoss, Squared, Tree
from .metrics import errors, in_dollars
from .model import NUMBERS, UNIT, Block, Worth, features, worths

DEAR = 180_000.0
"""Half of the blocks are worth more: what the log-loss is tried on."""


@dataclass(frozen=True)
class Table:
    """Features (rows, 14) float32 and dollars over 100,000 (rows,)."""

    numbers: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, examples: Examples[Block, float]) -> "Table":
        return cls(features(examples.records)["numbers"], np.array(examples.truths) / UNIT)

    def split(self, share: float, seed: int) -> tuple["Table", "Table"]:
        """To learn from, and `share` of the rows to judge by."""
        held = np.random.default_rng(seed).random(len(self.values)) < share
        learn, then = (Table(self.numbers[rows], self.values[rows]) for rows in (~held, held))
        return learn, then

    @property
    def dear(self) -> np.ndarray:
        return (self.values > DEAR / UNIT).astype(np.float64)


def own(trees: int, rate: float, seed: int) -> dict[str, Boosting]:
    """Ours by name; a boosting of one tree that is taken whole is a decision tree.

    From the simplest to the most complex: simpler is one tree, then fewer leaves a tree, then the
    plain squared loss on all rows.
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
    """With the limits of `squared`, and XGBoost with those of `squared_depth_9` too; one thread.

    All have 20 rows in a leaf or more. XGBoost counts second derivatives: 1 a row for squares, a
    quarter at most for the log-loss.
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
    # LightGBM otherwise measures which of two ways to count is faster.
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


def tried_own(name: str, model: Boosting, learn: Table, then: Table) -> Candidate:
    """Its loss curve is the RMSE in dollars, where it minimizes squares."""
    model.fit(learn.numbers, learn.values, (then.numbers, then.values))
    scores = model.predict(then.numbers)
    figures = errors(scores, then.values) | {"rmse_se": rmse_error(scores, then.values, model.seed)}
    curves = {}
    if isinstance(model.loss, Squared) and model.trees > 1:
        curves = {"rmse": [float(np.sqrt(2 * loss)) * UNIT for loss in model.losses]}
    parameters = {
        "trees": model.trees,
        "learning_rate": model.learning_rate,
        "library": False,
    }
    return Candidate(name, figures, parameters, curves)


def fit(
    *,
    train: Examples[Block, float],
    weights: Path,
    seed: int,
    validation_share: float,
    trees: int,
    learning_rate: float,
    served_trees: int,
    served_rate: float,
) -> Fitted:
    """Choose one of our own by RMSE, and fit it on all rows, with more and smaller steps."""
    table = Table.of(train)
    learn, then = table.split(validation_share, seed)
    models = own(trees, learning_rate, seed)
    with threadpool_limits(limits=1):
        tried = [tried_own(name, model, learn, then) for name, model in models.items()]
        chosen = simplest_within_error(tried, "rmse", best="lowest").name
        likely = Boosting(LogLoss(), trees, learning_rate, seed=seed)
        likely.fit(learn.numbers, learn.dear)
        odds = likely.predict(then.numbers)
        told = {"log_loss": log_loss(then.dear, 1 / (1 + np.exp(-odds)))}
        tried.append(Candidate("log_loss", told, {"trees": trees}))
        tried += rivals(learn, then, trees, learning_rate, seed)
        best = models[chosen]
        if best.trees > 1:
            best = replace(best, trees=served_trees, learning_rate=served_rate)
        best.fit(table.numbers, table.values)
    export(best, weights / "model.onnx")

    def native(blocks: list[Block]) -> list[Worth]:
        return worths(best.predict(features(blocks)["numbers"]))

    return Fitted(tried, chosen, native)


def rivals(learn: Table, then: Table, trees: int, rate: float, seed: int) -> list[Candidate]:
    found = []
    classifiers = libraries(trees, rate, seed, classify=True)
    for name, model in libraries(trees, rate, seed, classify=False).items():
        model.fit(learn.numbers, learn.values)
        scores = model.predict(then.numbers)
        figures = errors(scores, then.values)
        likely = classifiers[name].fit(learn.numbers, learn.dear).predict_proba(then.numbers)
        figures |= {"log_loss": float(log_loss(then.dear, likely))}
        figures |= {"rmse_se": rmse_error(scores, then.values, seed)}
        parameters = {"trees": trees, "learning_rate": rate, "library": True}
        found.append(Candidate(name, figures, parameters))
    return found


def export(model: Boosting, file: Path) -> None:
    """One ONNX tree ensemble: `numbers` (rows, 14) to `scores` (rows, 1)."""
    from onnx import helper

    # Past the last border only the missing lie on the other side.
    borders = np.full((len(NUMBERS), MISSING), np.finfo(np.float32).max)
    for row, each in zip(borders, model.bins.borders, strict=True):
        row[: len(each)] = each
    counts = [len(tree.column) for tree in model.grown]
    trees = np.repeat(np.arange(len(counts)), counts)
    places = np.concatenate([np.arange(count) for count in counts])
    nodes = Tree.joined(model.grown)
    leaf = nodes.column < 0
    told = {
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
        **{name: each.tolist() for name, each in told.items()},
    )
    write_graph(file, [ensemble], inputs={"numbers": len(NUMBERS)}, outputs={"scores": 1})
