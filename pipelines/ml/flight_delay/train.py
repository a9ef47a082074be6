"""Training: Spark's learners against a single machine's, and one join configured in many ways.

Candidates are validated on the last days of the training rows, which are in the order of their
days. MLlib's logistic regression is served, in the simplest strength within one standard error of
the best ROC AUC.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from lightgbm import LGBMClassifier
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
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from slipway.datasets import fetch
from slipway.training import Candidate, Examples, Fitted
from slipway.training.graph import write_graph
from slipway.training.selection import simplest_within_error

from .data import FILE
from .metrics import delay_metrics, roc_auc_error
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


def validated(late: np.ndarray, y_prob: np.ndarray) -> dict[str, float]:
    return delay_metrics(late, y_prob) | {"roc_auc_se": roc_auc_error(late, y_prob)}


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
        # The strongest penalty comes first: the simplest, as its weights are the smallest.
        f"{SERVED}_{each:g}": (logistic(each), {"strength": each})
        for each in sorted(strengths, reverse=True)
    }
    forest = RandomForestClassifier(numTrees=trees, maxDepth=7, seed=seed)
    boosting = GBTClassifier(maxIter=trees, maxDepth=4, stepSize=0.2, seed=seed)
    learners["spark_forest"] = forest, {"trees": trees}
    learners["spark_boosting"] = boosting, {"trees": trees}
    for name, (learner, parameters) in learners.items():
        y_prob = probabilities(learner.fit(learn), then)
        parameters["late_from"] = late_from(y_prob, truths[border:])
        yield Candidate(name, validated(truths[border:], y_prob), parameters)


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
        fitted = learner.fit(numbers[:border], truths[:border])
        y_prob = fitted.predict_proba(numbers[border:])[:, 1]
        yield Candidate(name, validated(truths[border:], y_prob))


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
    """Choose the strength of MLlib's logistic regression, and fit it on all training rows.

    Its rivals are compared with it. The ways to join say what a shuffle costs, and decide nothing.
    """
    numbers, truths = features(train.records)["numbers"], np.array(train.truths)
    border = int(len(truths) * (1 - valid_share))
    usual = np.array([each.route_month for each in train.records[border:]])
    tried_ones = [Candidate("baseline", validated(truths[border:], usual))]
    kept = tempfile.TemporaryDirectory(prefix="logistic-")
    with session() as spark:
        tried_ones += by_spark(spark, numbers, truths, border, seed, strengths, trees)
        allowed = [each for each in tried_ones if each.name.startswith(SERVED)]
        chosen = simplest_within_error(allowed, "roc_auc", best="highest")
        rows = table(spark, numbers, truths.tolist(), PARTITIONS)
        best = logistic(chosen.parameters["strength"]).fit(rows)
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
    from onnx import helper

    nodes = [
        helper.make_node("MatMul", ["numbers", "weights"], ["products"]),
        helper.make_node("Add", ["products", "intercept"], ["odds"]),
        helper.make_node("Sigmoid", ["odds"], ["probabilities"]),
    ]
    write_graph(
        file,
        nodes,
        inputs={"numbers": len(NUMBERS)},
        outputs={"probabilities": 1},
        constants={"weights": weights[:, None], "intercept": np.array([intercept])},
    )
