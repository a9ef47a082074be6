"""The pipelines that are searched, their settings, and their accuracy on a task.

There is no forest: with many classes its leaves would make a graph of 100 MB.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from .model import PIXELS, VIEWS
from .space import Choice, Float, Int, Settings, Space
from .svm import WHOLE_VOTES, Svm

SVM, NETWORK, LINEAR = "svm", "network", "logistic"
# A network's depth decides which widths exist: a small architecture search.
TABLES = Space(
    {
        "scale": Choice(("standard", "none")),
        "reduce": Choice(("none", "pca")),
        "kept": Float(0.6, 0.99, when=("reduce", ("pca",))),
        "learner": Choice((SVM, NETWORK, LINEAR)),
        "C": Float(1e-1, 1e2, log=True, when=("learner", (SVM,))),
        "reach": Float(0.05, 10.0, log=True, when=("learner", (SVM,))),
        "depth": Int(1, 2, when=("learner", (NETWORK,))),
        "width_1": Int(16, 256, log=True, when=("learner", (NETWORK,))),
        "width_2": Int(16, 256, log=True, when=("depth", (2,))),
        "activation": Choice(("relu", "tanh"), when=("learner", (NETWORK,))),
        "step": Float(3e-4, 3e-2, log=True, when=("learner", (NETWORK,))),
        "penalty": Float(1e-6, 1e-1, log=True, when=("learner", (NETWORK,))),
        "linear_C": Float(1e-3, 1e2, log=True, when=("learner", (LINEAR,))),
    }
)
# Pictures have two views, of which a pipeline takes one.
PICTURES = Space({"view": Choice(VIEWS), **TABLES.parts})
# scikit-learn's own settings: SVC() and MLPClassifier() on the pixels as they are.
DEFAULT_SVM: Settings = {
    "view": "pixels",
    "scale": "none",
    "reduce": "none",
    "learner": SVM,
    "C": 1.0,
    "reach": 1.0,
    "steepness": WHOLE_VOTES,
}
DEFAULT_NETWORK: Settings = {**DEFAULT_SVM, "learner": "default_network"}
# Epochs during the search; the winner may be trained for longer.
EPOCHS = 20
Rows = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Task:
    """Numbers (rows, columns) with labels (rows,), to learn from and to be scored on."""

    name: str
    learn: Rows
    held: Rows


def learner(settings: Settings, seed: int) -> Any:
    """Return the unfitted learner at the end of the pipeline."""
    if settings["learner"] == SVM:
        further = {name: settings[name] for name in ("steepness", "sharpness") if name in settings}
        return Svm(settings["C"], settings["reach"], **further)
    if settings["learner"] == LINEAR:
        return LogisticRegression(C=settings["linear_C"], max_iter=50)
    if settings["learner"] == DEFAULT_NETWORK["learner"]:
        return MLPClassifier(random_state=seed)
    widths = [settings[f"width_{layer}"] for layer in range(1, settings["depth"] + 1)]
    return MLPClassifier(
        widths,
        activation=settings["activation"],
        learning_rate_init=settings["step"],
        alpha=settings["penalty"],
        batch_size=64,
        max_iter=settings.get("epochs", EPOCHS),
        random_state=seed,
    )


def pipeline(settings: Settings, seed: int, first: Sequence[tuple[str, Any]] = ()) -> Pipeline:
    """Return the pipeline that the settings describe, after the steps `first`."""
    steps = [*first]
    if "view" in settings:
        place = VIEWS.index(settings["view"])
        columns = slice(place * PIXELS, (place + 1) * PIXELS)
        steps.append(("view", ColumnTransformer([("view", "passthrough", columns)])))
    if settings["scale"] == "standard":
        steps.append(("scale", StandardScaler()))
    if settings["reduce"] == "pca":
        steps.append(("reduce", PCA(settings["kept"], svd_solver="full")))
    return Pipeline([*steps, ("learner", learner(settings, seed))])


def fitted(
    settings: Settings, rows: Rows, seed: int, first: Sequence[tuple[str, Any]] = ()
) -> Pipeline:
    """Return the fitted pipeline of `settings`, trained reproducibly on one thread.

    Warnings are silenced, since scikit-learn warns of a network's few epochs, which are intended.
    """
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pipeline(settings, seed, first).fit(*rows)


def accuracy(
    settings: Settings, task: Task, seed: int, first: Sequence[tuple[str, Any]] = ()
) -> float:
    """Return the accuracy of `settings` on the task's held-out rows."""
    model = fitted(settings, task.learn, seed, first)
    with threadpool_limits(limits=1):
        return float(np.mean(model.predict(task.held[0]) == task.held[1]))
