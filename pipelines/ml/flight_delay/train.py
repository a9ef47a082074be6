"""Training of Spark's learners, beside a single machine's, and joins in several configurations.

Candidates are validated on the last days of the training rows, which are ordered by day. MLlib's
logistic regression is served, with the strongest penalty within one standard error of the best ROC
AUC.
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
from slipway.features import lineage
from slipway.features.tables.flight_routes import FILE
from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.graph import write_graph
from slipway.training.selection import simplest_within_error

from .metrics import delay_metrics, roc_auc_error
from .model import NUMBERS, THRESHOLD, Delay, Flight, FlightDelay, delays, features
from .shuffles import WAYS, join_metrics, loads, run_join
from .spark import session, table

SERVED = "spark_logistic"
# The sum of two partitions does not depend on their order, so equal runs give equal weights.
PARTITIONS = 2


def logistic(strength: float) -> LogisticRegression:
    return LogisticRegression(regParam=strength, maxIter=100, tol=1e-8)


def probabilities(model: Any, rows: DataFrame) -> np.ndarray:
    """Return the probabilities of being late (rows,), in the order of the rows."""
    column = model.transform(rows).select(vector_to_array(F.col("probability"))[1].alias("p"))
    return np.asarray(column.toPandas()["p"])


def validation_metrics(late: np.ndarray, y_prob: np.ndarray) -> dict[str, float]:
    return delay_metrics(late, y_prob) | {"roc_auc_se": roc_auc_error(late, y_prob)}


def late_from(y_prob: np.ndarray, y_true: np.ndarray) -> float:
    """Return the threshold at which as many flights are predicted late as were late."""
    return float(np.quantile(y_prob, 1 - y_true.mean()))


def by_spark(
    spark: SparkSession,
    numbers: np.ndarray,
    late: np.ndarray,
    border: int,
    seed: int,
    strengths: list[float],
    trees: int,
) -> Iterator[Candidate]:
    """Train and validate Spark's learners; rows from `border` on are for validation."""
    learn = table(spark, numbers[:border], late[:border].tolist(), PARTITIONS).cache()
    validation = table(spark, numbers[border:], late[border:].tolist(), PARTITIONS).cache()
    learners: dict[str, tuple[Any, dict[str, Any]]] = {
        # From the simplest: the strongest penalty gives the smallest weights.
        f"{SERVED}_{each:g}": (logistic(each), {"strength": each})
        for each in sorted(strengths, reverse=True)
    }
    forest = RandomForestClassifier(numTrees=trees, maxDepth=7, seed=seed)
    boosting = GBTClassifier(maxIter=trees, maxDepth=4, stepSize=0.2, seed=seed)
    learners["spark_forest"] = forest, {"trees": trees}
    learners["spark_boosting"] = boosting, {"trees": trees}
    for name, (learner, parameters) in learners.items():
        y_prob = probabilities(learner.fit(learn), validation)
        parameters["late_from"] = late_from(y_prob, late[border:])
        yield Candidate(name, validation_metrics(late[border:], y_prob), parameters)


def by_one_machine(
    numbers: np.ndarray, late: np.ndarray, border: int, seed: int, trees: int
) -> Iterator[Candidate]:
    """Train and validate scikit-learn's and LightGBM's learners on the same rows."""
    boosting = LGBMClassifier(
        n_estimators=trees * 4, learning_rate=0.1, num_leaves=15, n_jobs=2, seed=seed, verbose=-1
    )
    learners = {
        "scikit_logistic": make_pipeline(StandardScaler(), SingleLogisticRegression(max_iter=500)),
        "lightgbm": boosting,
    }
    for name, learner in learners.items():
        fitted = learner.fit(numbers[:border], late[:border])
        y_prob = fitted.predict_proba(numbers[border:])[:, 1]
        yield Candidate(name, validation_metrics(late[border:], y_prob))


def fit(
    *,
    train: LabelledRows[Flight, bool],
    weights: Path,
    seed: int,
    valid_share: float,
    strengths: list[float],
    trees: int,
    joined_days: int,
) -> Fitted:
    """Choose the strength of MLlib's logistic regression, and fit it on all training rows.

    The other learners are only compared with it. The joins show the cost of a shuffle.
    """
    numbers, late = features(train.records)["numbers"], np.array(train.labels)
    border = int(len(late) * (1 - valid_share))
    usual = np.array([each.route_month for each in train.records[border:]])
    tried = [Candidate("baseline", validation_metrics(late[border:], usual))]
    kept = tempfile.TemporaryDirectory(prefix="logistic-")
    with session() as spark:
        tried += by_spark(spark, numbers, late, border, seed, strengths, trees)
        allowed = [each for each in tried if each.name.startswith(SERVED)]
        chosen = simplest_within_error(allowed, "roc_auc", best="highest")
        rows = table(spark, numbers, late.tolist(), PARTITIONS)
        best = logistic(chosen.parameters["strength"]).fit(rows)
        export(best.coefficients.toArray(), best.intercept, weights / "model.onnx")
        best.write().overwrite().save(kept.name)
    threshold = chosen.parameters["late_from"]
    (weights / THRESHOLD).write_text(json.dumps({"late_from": threshold}) + "\n")
    lineage.write(FlightDelay.looked_up.service, weights)
    tried += by_one_machine(numbers, late, border, seed, trees)
    tried += joins(fetch("us_flights_3m").path(FILE), joined_days)

    def framework_predict(flights: list[Flight]) -> list[Delay]:
        rows = features(flights)["numbers"]
        with session() as spark:
            model = LogisticRegressionModel.load(kept.name)
            y_prob = probabilities(model, table(spark, rows, [False] * len(rows), PARTITIONS))
        return delays(flights, y_prob, threshold)

    return Fitted(tried, chosen.name, framework_predict)


def joins(files: Path, days: int) -> Iterator[Candidate]:
    """Run the join in each configuration."""
    for name, way in WAYS.items():
        by_task = run_join(files, name, days)
        rows = [float(each) for each in loads(by_task, name)]
        parameters = {"partitions": way.partitions, "adaptive": way.adaptive}
        yield Candidate(name, join_metrics(by_task, name), parameters, {"rows_a_task": rows})


def export(weights: np.ndarray, intercept: float, file: Path) -> None:
    """Write the graph from `numbers` (rows, 22) to `probabilities` (rows, 1)."""
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
