"""Our own trees and boosting, loss by loss and limit by limit, against three libraries.

What is written from scratch is served; the libraries say how good and how fast it could be. All
run on one thread.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import log_loss, mean_absolute_error, r2_score, root_mean_squared_error
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.training import Candidate, Evaluation, Examples, Fitted, plots
from slipway.training.tabular import OPSET

from .boosting import Absolute, Boosting, Huber, Limits, LogLoss, Squared
from .model import HIGHEST, NUMBERS, UNIT, Block, Worth, features, worths

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

    def at(self, rows: np.ndarray) -> "Table":
        return Table(self.numbers[rows], self.values[rows])

    @property
    def dear(self) -> np.ndarray:
        return (self.values > DEAR / UNIT).astype(np.float64)


def own(trees: int, rate: float, seed: int) -> dict[str, Boosting]:
    """Ours by name; a boosting of one tree that is taken whole is a decision tree."""
    plain = Boosting(Squared(), trees, rate, limits=Limits(), seed=seed)
    single = replace(plain, trees=1, learning_rate=1.0)
    by_heart = Limits(max_depth=12, min_samples=1, l2=0.0)
    return {
        "baseline": replace(single, limits=Limits(max_depth=0)),
        "tree": replace(single, limits=Limits(max_depth=10, l2=0.0)),
        "tree_any_leaf": replace(single, limits=by_heart),
        "squared": plain,
        "squared_subsample": replace(plain, subsample=0.7),
        "squared_depth_2": replace(plain, limits=Limits(max_depth=2)),
        "squared_depth_9": replace(plain, limits=Limits(max_depth=9)),
        "squared_depth_12": replace(plain, limits=Limits(max_depth=12)),
        "squared_depth_9_any_leaf": replace(plain, limits=Limits(max_depth=9, min_samples=1)),
        "absolute": replace(plain, loss=Absolute()),
        "huber": replace(plain, loss=Huber()),
    }


def libraries(trees: int, rate: float, seed: int, *, classify: bool) -> dict[str, Any]:
    """With the limits of `squared`, and XGBoost with those of `squared_depth_9` too; one thread.

    All have 20 rows in a leaf or more. XGBoost counts second derivatives: 1 a row for squares, a
    quarter at most for the log-loss.
    """
    import lightgbm
    import xgboost
    from sklearn import ensemble

    same: dict[str, Any] = {"learning_rate": rate, "random_state": seed}
    kind = "Classifier" if classify else "Regressor"

    def xgb(depth: int) -> Any:
        return getattr(xgboost, f"XGB{kind}")(
            n_estimators=trees,
            max_depth=depth,
            min_child_weight=5 if classify else 20,
            reg_lambda=1.0,
            tree_method="hist",
            n_jobs=1,
            **same,
        )

    return {
        "xgboost": xgb(6),
        "xgboost_depth_9": xgb(9),
        "lightgbm": getattr(lightgbm, f"LGBM{kind}")(
            n_estimators=trees,
            num_leaves=64,
            max_depth=6,
            min_child_samples=20,
            reg_lambda=1.0,
            n_jobs=1,
            verbose=-1,
            **same,
        ),
        "scikit_learn": getattr(ensemble, f"HistGradientBoosting{kind}")(
            max_iter=trees,
            max_depth=6,
            max_leaf_nodes=None,
            min_samples_leaf=20,
            l2_regularization=1.0,
            early_stopping=False,
            **same,
        ),
    }


def measured(scores: np.ndarray, truths: np.ndarray) -> dict[str, float]:
    """In dollars, from values over 100,000."""
    told, happened = np.clip(scores, 0.0, HIGHEST / UNIT) * UNIT, truths * UNIT
    return {
        "rmse": float(root_mean_squared_error(happened, told)),
        "mae": float(mean_absolute_error(happened, told)),
        "r2": float(r2_score(happened, told)),
    }


def tried_own(name: str, model: Boosting, learn: Table, then: Table) -> Candidate:
    """Its loss curve is the RMSE in 100,000 dollars, where it minimizes squares."""
    watched = (then.numbers, then.values)
    model.fit(learn.numbers, learn.values, watched)
    figures = measured(model.predict(then.numbers), then.values)
    curves = {}
    if isinstance(model.loss, Squared) and model.trees > 1:
        curves = {"rmse": [float(np.sqrt(2 * loss)) * UNIT for loss in model.losses]}
    told = {"trees": model.trees, "learning_rate": model.learning_rate}
    return Candidate(name, figures, told, curves)


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
    """Choose by RMSE among our own, and fit the chosen on all rows, with more and smaller steps."""
    table = Table.of(train)
    held = np.random.default_rng(seed).random(len(table.values)) < validation_share
    learn, then = table.at(~held), table.at(held)
    tried = []
    with threadpool_limits(limits=1):
        models = own(trees, learning_rate, seed)
        for name, model in models.items():
            tried.append(tried_own(name, model, learn, then))
        chosen = min(tried, key=lambda each: each.metrics["rmse"]).name
        likely = Boosting(LogLoss(), trees, learning_rate, seed=seed)
        likely.fit(learn.numbers, learn.dear)
        odds = likely.predict(then.numbers)
        told = {"log_loss": log_loss(then.dear, 1 / (1 + np.exp(-odds)))}
        tried.append(Candidate("log_loss", told, {"trees": trees}))
        tried += rivals(learn, then, trees, learning_rate, seed)
        best = replace(models[chosen], trees=served_trees, learning_rate=served_rate)
        if models[chosen].trees == 1:
            best = models[chosen]
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
        figures = measured(model.predict(then.numbers), then.values)
        likely = classifiers[name].fit(learn.numbers, learn.dear).predict_proba(then.numbers)
        figures |= {"log_loss": float(log_loss(then.dear, likely))}
        found.append(Candidate(name, figures, {"trees": trees, "learning_rate": rate}))
    return found


def export(model: Boosting, file: Path) -> None:
    """One ONNX tree ensemble: `numbers` (rows, 14) to `scores` (rows, 1)."""
    import onnx
    from onnx import TensorProto, helper

    told: dict[str, list[Any]] = {name: [] for name in NODES}
    steps: dict[str, list[Any]] = {name: [] for name in STEPS}
    for number, tree in enumerate(model.grown):
        for node, column in enumerate(tree.column.tolist()):
            border = 0.0
            if column >= 0:
                borders, place = model.bins.borders[column], int(tree.bin[node])
                # Past the last border only the missing lie on the other side.
                last = np.finfo(np.float32).max
                border = float(borders[place] if place < len(borders) else last)
            else:
                value = model.learning_rate * float(tree.value[node])
                for name, each in zip(STEPS, (number, node, 0, value), strict=True):
                    steps[name].append(each)
            row = (
                number,
                node,
                max(column, 0),
                "LEAF" if column < 0 else "BRANCH_LEQ",
                border,
                max(int(tree.left[node]), 0),
                max(int(tree.right[node]), 0),
                int(tree.missing_left[node]),
            )
            for name, each in zip(NODES, row, strict=True):
                told[name].append(each)
    ensemble = helper.make_node(
        "TreeEnsembleRegressor",
        ["numbers"],
        ["scores"],
        domain="ai.onnx.ml",
        n_targets=1,
        base_values=[model.start],
        **told,
        **steps,
    )
    graph = helper.make_graph(
        [ensemble],
        "boosting",
        [helper.make_tensor_value_info("numbers", TensorProto.FLOAT, [None, len(NUMBERS)])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 1])],
    )
    opsets = [helper.make_opsetid(*each) for each in sorted(OPSET.items())]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(made)
    file.write_bytes(made.SerializeToString(deterministic=True))


NODES = (
    "nodes_treeids",
    "nodes_nodeids",
    "nodes_featureids",
    "nodes_modes",
    "nodes_values",
    "nodes_truenodeids",
    "nodes_falsenodeids",
    "nodes_missing_value_tracks_true",
)
STEPS = ("target_treeids", "target_nodeids", "target_ids", "target_weights")


def score(*, answers: list[Worth], truths: list[float]) -> dict[str, float]:
    told = np.array([each.value for each in answers]) / UNIT
    happened = np.array(truths)
    return {
        **measured(told, happened / UNIT),
        "median_relative_error": float(np.median(np.abs(told * UNIT / happened - 1))),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    figure, (left, right) = plots.panels(2)
    curves = [each for each in evaluation.candidates if "rmse" in each.curves]
    plots.curves(left, curves, "rmse", "Limits (validation)")
    left.set(xlabel="trees", ylabel="RMSE, dollars", ylim=(42_000, 80_000))
    left.legend(frameon=False, fontsize=7, loc="upper right")
    speed(right, evaluation.candidates)
    yield "limits_and_speed", figure
    figure, (left, right) = plots.panels(2)
    shapes(left)
    losses(right, evaluation.candidates)
    yield "losses", figure
    told = np.array([each.value for each in evaluation.answers])
    truths = np.array(evaluation.test.truths)
    figure, (left, right) = plots.panels(2, height=4.2)
    left.hexbin(truths / 1000, told / 1000, gridsize=50, bins="log", cmap="GnBu", mincnt=1)
    left.plot([0, 500], [0, 500], color=plots.INK, linestyle=":")
    left.set(xlabel="true, 1000 dollars", ylabel="answered", title="Values (test rows)")
    where(right, evaluation.test.records, told - truths)
    yield "errors", figure


def speed(axes: Axes, tried: list[Candidate]) -> None:
    """The seconds of speed.json, with errors beside; ours in colour."""
    seconds = json.loads(Path(__file__).with_name("speed.json").read_text())
    shown = [each for each in tried if "rmse" in each.metrics and each.name != "baseline"]
    shown.sort(key=lambda each: seconds[each.name])
    theirs = libraries(1, 0.1, 0, classify=False)
    bars = axes.barh(
        [each.name for each in shown],
        [seconds[each.name] for each in shown],
        color=[plots.INK if each.name in theirs else plots.ACCENT for each in shown],
    )
    axes.bar_label(bars, [f" {each.metrics['rmse']:,.0f}" for each in shown], fontsize=7)
    axes.tick_params("y", labelsize=7)
    axes.invert_yaxis()
    axes.set(xscale="log", xlim=(0.1, 60), xlabel="seconds to fit, one thread; RMSE, dollars")
    axes.set_title("Ours and the libraries (validation)")


def shapes(axes: Axes) -> None:
    """The losses of one row, by how far it is off."""
    off = np.linspace(-3, 3, 121)
    huber = Huber()
    huber.border = 1.0
    for name, loss in (("squared", Squared()), ("absolute", Absolute()), ("huber", huber)):
        zero = np.zeros(1)
        axes.plot(off, [loss.mean(zero, np.array([each])) for each in off], label=name)
    axes.plot(off, [LogLoss().mean(np.ones(1), np.array([each])) for each in off], label="log-loss")
    axes.set(xlabel="score less truth (log-loss: log odds)", title="Losses", ylim=(0, 4))
    axes.legend(frameon=False, loc="upper center")


def losses(axes: Axes, tried: list[Candidate]) -> None:
    """RMSE and mean absolute error of what each loss learnt."""
    shown = [each for each in tried if each.name in ("squared", "absolute", "huber")]
    places = np.arange(len(shown))
    for shift, metric, colour in ((-0.2, "rmse", plots.ACCENT), (0.2, "mae", plots.PALE)):
        values = [each.metrics[metric] for each in shown]
        bars = axes.bar(places + shift, values, width=0.4, label=metric, color=colour)
        axes.bar_label(bars, fmt="%.0f", fontsize=7)
    axes.set_xticks(places, [each.name for each in shown])
    axes.margins(y=0.2)
    axes.legend(frameon=False, ncols=2, loc="upper right")
    axes.set_title("Dollars off, by loss (validation)")


def where(axes: Axes, blocks: list[Block], off: np.ndarray) -> None:
    """A map of the errors."""
    east, north = [each.longitude for each in blocks], [each.latitude for each in blocks]
    shown = axes.scatter(
        east, north, c=off / 1000, s=3, linewidths=0, cmap="RdBu", vmin=-150, vmax=150
    )
    axes.figure.colorbar(shown, ax=axes, shrink=0.8)
    axes.set(xlabel="longitude", ylabel="latitude", title="Answer less truth, 1000 dollars")
