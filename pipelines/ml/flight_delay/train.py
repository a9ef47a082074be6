"""Spark's learners against those of a single machine on the same rows, and one join in many ways.

Validated on the last days of the training rows, which are in the order of their days.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from lightgbm import LGBMClassifier
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from pyspark.ml.classification import (
    GBTClassifier,
    LogisticRegression,
    LogisticRegressionModel,
    RandomForestClassifier,
)
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.linear_model import LogisticRegression as SingleLogisticRegression
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from slipway.datasets import fetch
from slipway.training import Candidate, Evaluation, Examples, Fitted, plots
from slipway.training.tabular import OPSET

from .data import FILE
from .model import NUMBERS, THRESHOLD, Delay, Flight, delays, features
from .shuffles import WAYS, loads, measured, tried
from .spark import session, table

SERVED = "spark_logistic"
# Of two partitions the sum is the same whichever is added first: equal runs give equal weights.
PARTITIONS = 2


def logistic(strength: float) -> LogisticRegression:
    return LogisticRegression(regParam=strength, maxIter=100, tol=1e-8)


def probabilities(model: Any, rows: DataFrame) -> np.ndarray:
    """Of being late (rows,), in the order of the rows."""
    told = model.transform(rows).select(vector_to_array(F.col("probability"))[1].alias("p"))
    return np.asarray(told.toPandas()["p"])


def figures(truths: Any, told: np.ndarray) -> dict[str, float]:
    return {
        "roc_auc": float(roc_auc_score(truths, told)),
        "average_precision": float(average_precision_score(truths, told)),
        "log_loss": float(log_loss(truths, np.clip(told, 1e-7, 1 - 1e-7), labels=[False, True])),
        "brier": float(brier_score_loss(truths, told)),
    }


def late_from(told: np.ndarray, truths: np.ndarray) -> float:
    """The probability at which as many are told late as were."""
    return float(np.quantile(told, 1 - truths.mean()))


def by_spark(
    spark: SparkSession,
    numbers: np.ndarray,
    truths: np.ndarray,
    border: int,
    seed: int,
    strengths: list[float],
    trees: int,
) -> Iterator[Candidate]:
    learn = table(spark, numbers[:border], truths[:border].tolist(), PARTITIONS).cache()
    then = table(spark, numbers[border:], truths[border:].tolist(), PARTITIONS).cache()
    learners: dict[str, tuple[Any, dict[str, Any]]] = {
        f"{SERVED}_{each:g}": (logistic(each), {"strength": each}) for each in strengths
    }
    forest = RandomForestClassifier(numTrees=trees, maxDepth=7, seed=seed)
    boosting = GBTClassifier(maxIter=trees, maxDepth=4, stepSize=0.2, seed=seed)
    learners |= {"spark_forest": (forest, {"trees": trees})}
    learners |= {"spark_boosting": (boosting, {"trees": trees})}
    for name, (learner, told) in learners.items():
        answers = probabilities(learner.fit(learn), then)
        told["late_from"] = late_from(answers, truths[border:])
        yield Candidate(name, figures(truths[border:], answers), told)


def by_one_machine(
    numbers: np.ndarray, truths: np.ndarray, border: int, seed: int, trees: int
) -> Iterator[Candidate]:
    boosting = LGBMClassifier(
        n_estimators=trees * 4, learning_rate=0.1, num_leaves=15, n_jobs=2, seed=seed, verbose=-1
    )
    learners = {
        "scikit_logistic": make_pipeline(StandardScaler(), SingleLogisticRegression(max_iter=500)),
        "lightgbm": boosting,
    }
    for name, learner in learners.items():
        told = learner.fit(numbers[:border], truths[:border]).predict_proba(numbers[border:])[:, 1]
        yield Candidate(name, figures(truths[border:], told))


def fit(
    *,
    train: Examples[Flight, bool],
    weights: Path,
    seed: int,
    valid_share: float,
    strengths: list[float],
    trees: int,
    joined_days: int,
) -> Fitted:
    """Choose MLlib's logistic regression by validation ROC AUC; fit it on all training rows.

    Its rivals are told beside it. The ways to join say what a shuffle costs, and decide nothing.
    """
    numbers, truths = features(train.records)["numbers"], np.array(train.truths)
    border = int(len(truths) * (1 - valid_share))
    usual = np.array([each.route_month for each in train.records[border:]])
    tried_ones = [Candidate("baseline", figures(truths[border:], usual))]
    kept = tempfile.TemporaryDirectory(prefix="logistic-")
    with session() as spark:
        tried_ones += by_spark(spark, numbers, truths, border, seed, strengths, trees)
        allowed = [each for each in tried_ones if each.name.startswith(SERVED)]
        chosen = max(allowed, key=lambda each: each.metrics["roc_auc"])
        learner = logistic(chosen.parameters["strength"])
        best = learner.fit(table(spark, numbers, truths.tolist(), PARTITIONS))
        export(best.coefficients.toArray(), best.intercept, weights / "model.onnx")
        best.write().overwrite().save(kept.name)
    said_from = chosen.parameters["late_from"]
    (weights / THRESHOLD).write_text(json.dumps({"late_from": said_from}) + "\n")
    tried_ones += by_one_machine(numbers, truths, border, seed, trees)
    tried_ones += joins(fetch("us_flights_3m").path(FILE), joined_days)

    def native(flights: list[Flight]) -> list[Delay]:
        asked = features(flights)["numbers"]
        with session() as spark:
            model = LogisticRegressionModel.load(kept.name)
            told = probabilities(model, table(spark, asked, [False] * len(asked), PARTITIONS))
        return delays(told, said_from)

    return Fitted(tried_ones, chosen.name, native)


def joins(files: Path, days: int) -> Iterator[Candidate]:
    for name, way in WAYS.items():
        told = tried(files, name, days)
        rows = [float(each) for each in loads(told, name)]
        parameters = {"partitions": way.partitions, "adaptive": way.adaptive}
        yield Candidate(name, measured(told, name), parameters, {"rows_a_task": rows})


def export(weights: np.ndarray, intercept: float, file: Path) -> None:
    """`numbers` (rows, 22) to `probabilities` (rows, 1), from MLlib's coefficients."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["numbers", "weights"], ["products"]),
            helper.make_node("Add", ["products", "intercept"], ["odds"]),
            helper.make_node("Sigmoid", ["odds"], ["probabilities"]),
        ],
        "flight_delay",
        [helper.make_tensor_value_info("numbers", TensorProto.FLOAT, [None, len(NUMBERS)])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 1])],
        [
            numpy_helper.from_array(weights.astype(np.float32)[:, None], "weights"),
            numpy_helper.from_array(np.array([intercept], dtype=np.float32), "intercept"),
        ],
    )
    opsets = [helper.make_opsetid("", OPSET[""])]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(made)
    file.write_bytes(made.SerializeToString(deterministic=True))


def score(*, answers: list[Delay], truths: list[bool]) -> dict[str, float]:
    told = np.array([each.probability for each in answers])
    late = [each.late for each in answers]
    return figures(truths, told) | {
        "precision": float(precision_score(truths, late, zero_division=0)),
        "recall": float(recall_score(truths, late, zero_division=0)),
        "probability": float(told.mean()),
        "late_told": float(np.mean(late)),
        "late_true": float(np.mean(truths)),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    named = {each.name: each for each in evaluation.candidates}
    shown = ("join_32", "join_salted", "join_adaptive", "join_adaptive_split")
    figure, axes = plots.panels(len(shown))
    for panel, name in zip(axes, shown, strict=True):
        rows = named[name].curves["rows_a_task"]
        panel.bar(range(1, len(rows) + 1), rows, color=plots.ACCENT)
        panel.set(xlabel="task, the largest first", ylabel="flights")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.set_title(f"{name}: {max(rows) / sum(rows):.1%} in one of {len(rows)}")
    top = max(max(named[name].curves["rows_a_task"]) for name in shown)
    for panel in axes:
        panel.set_ylim(0, top * 1.05)
    yield "skew", figure
    figure, axes = plots.panels(2)
    for panel, metric, title in zip(
        axes, ("shuffled_mb", "tasks"), ("Megabytes shuffled", "Tasks run"), strict=True
    ):
        values = [named[name].metrics[metric] for name in WAYS]
        bars = panel.barh(list(WAYS), values, color=plots.ACCENT)
        panel.bar_label(bars, fmt=" %.4g")
        panel.invert_yaxis()
        panel.margins(x=0.15)
        panel.set_title(title)
    yield "configurations", figure
    figure, axes = plots.panels(2)
    truths, told = evaluation.test.truths, [each.probability for each in evaluation.answers]
    plots.roc(axes[0], truths, told)
    calibration(axes[1], np.array(truths), np.array(told))
    yield "errors", figure


def calibration(axes: Axes, truths: np.ndarray, told: np.ndarray) -> None:
    tenths = np.array_split(np.argsort(told, kind="stable"), 10)
    told_so, were = ([values[tenth].mean() for tenth in tenths] for values in (told, truths))
    axes.plot(told_so, were, "o-", color=plots.ACCENT)
    axes.plot([0, max(told_so)], [0, max(told_so)], color=plots.PALE, linestyle=":")
    axes.set(xlabel="told, by tenths", ylabel="were late")
    axes.set_title("Calibration (test rows)")
