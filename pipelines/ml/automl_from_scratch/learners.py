"""The learners that are searched, their settings, and their accuracy on a task.

There is no forest: with 26 classes its leaves would make a graph of 100 MB.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from .space import Choice, Float, Int, Settings, Space

NETWORK, LINEAR, AS_IT_COMES = "network", "logistic", "network_as_it_comes"
# A network's depth decides which widths exist: a small architecture search.
SPACE = Space(
    {
        "learner": Choice((NETWORK, LINEAR)),
        "depth": Int(1, 3, when=("learner", (NETWORK,))),
        "width_1": Int(8, 128, log=True, when=("learner", (NETWORK,))),
        "width_2": Int(8, 128, log=True, when=("depth", (2, 3))),
        "width_3": Int(8, 128, log=True, when=("depth", (3,))),
        "activation": Choice(("relu", "tanh"), when=("learner", (NETWORK,))),
        "step": Float(3e-4, 3e-2, log=True, when=("learner", (NETWORK,))),
        "penalty": Float(1e-6, 1e-1, log=True, when=("learner", (NETWORK,))),
        "degree": Int(1, 2, when=("learner", (LINEAR,))),
        "C": Float(1e-3, 1e2, log=True, when=("learner", (LINEAR,))),
    }
)
# Epochs during the search; the winner may be trained for longer.
EPOCHS = 20
Rows = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Task:
    """Numbers (rows, columns) with labels (rows,), to learn from and to be scored on."""

    name: str
    learn: Rows
    held: Rows


def pipeline(settings: Settings, seed: int) -> Pipeline:
    """Return the pipeline that the settings describe."""
    if settings["learner"] == AS_IT_COMES:
        return make_pipeline(StandardScaler(), MLPClassifier(random_state=seed))
    if settings["learner"] == LINEAR:
        return make_pipeline(
            StandardScaler(),
            PolynomialFeatures(settings["degree"], include_bias=False),
            StandardScaler(),
            LogisticRegression(C=settings["C"], max_iter=50),
        )
    widths = [settings[f"width_{layer}"] for layer in range(1, settings["depth"] + 1)]
    network = MLPClassifier(
        widths,
        activation=settings["activation"],
        learning_rate_init=settings["step"],
        alpha=settings["penalty"],
        batch_size=64,
        max_iter=settings.get("epochs", EPOCHS),
        random_state=seed,
    )
    return make_pipeline(StandardScaler(), network)


def fitted(settings: Settings, rows: Rows, seed: int) -> Pipeline:
    """Return the fitted pipeline of `settings`, trained reproducibly on one thread.

    Warnings are silenced, since scikit-learn warns of a network's few epochs, which are intended.
    """
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pipeline(settings, seed).fit(*rows)


def accuracy(settings: Settings, task: Task, seed: int) -> float:
    """Return the accuracy of `settings` on the task's held-out rows."""
    model = fitted(settings, task.learn, seed)
    return float(np.mean(model.predict(task.held[0]) == task.held[1]))
