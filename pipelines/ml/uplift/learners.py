"""Meta-learners for the effect of two e-mails.

Each is a weighted sum of parts, and each part is a classifier or a regressor. So one kind of graph
fits all of them: the parts side by side, then a matrix product.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from slipway.training.graph import write_graph
from slipway.training.tabular import export_onnx

from .drawn import MENS, NONE, WOMENS, RandomizedCustomers
from .model import NUMBERS

# Each customer was as likely to get one of the e-mails as to get none.
PROPENSITY = 0.5


@dataclass(frozen=True)
class Part:
    """One estimator; `email` holds the values of two additional columns, equal for all rows."""

    estimator: BaseEstimator
    email: tuple[float, ...] = ()

    def column(self, numbers: np.ndarray) -> np.ndarray:
        """Return its predictions (rows,): probabilities or numbers."""
        more = np.tile(np.array(self.email, dtype=np.float32), (len(numbers), 1))
        inputs = np.concatenate([numbers, more], axis=1)
        if hasattr(self.estimator, "predict_proba"):
            return np.asarray(self.estimator.predict_proba(inputs)[:, 1])
        return np.asarray(self.estimator.predict(inputs)).ravel()


@dataclass(frozen=True)
class Learner:
    """Predicts visits (rows, 3) as the parts' columns times `mix` (parts, 3)."""

    parts: list[Part]
    mix: np.ndarray

    def visits(self, numbers: np.ndarray) -> np.ndarray:
        columns = np.stack([part.column(numbers) for part in self.parts], axis=1)
        return np.asarray(columns @ self.mix)


@dataclass(frozen=True)
class Estimators:
    """Constructors of the parts' estimators."""

    classifier: Callable[[], BaseEstimator]
    regressor: Callable[[], BaseEstimator]


def constant(customers: RandomizedCustomers, estimators: Estimators) -> Learner:
    """Predict the mean of each arm for everyone: mailing at random."""
    # Trees that never split: scikit-learn's dummies have no ONNX form.
    stump = Estimators(
        lambda: DecisionTreeClassifier(min_impurity_decrease=1.0), estimators.regressor
    )
    return t_learner(customers, stump)


def response(customers: RandomizedCustomers, estimators: Estimators) -> Learner:
    """Predict who visits when mailed, as if all these visits were caused by the e-mail."""
    mailed = customers.arms(MENS, WOMENS)
    model = estimators.classifier().fit(mailed.numbers, mailed.visited)
    rates = [customers.arms(email).visited.mean() for email in range(3)]
    return Learner([Part(model)], np.array([rates]) / mailed.visited.mean())


def s_learner(customers: RandomizedCustomers, estimators: Estimators) -> Learner:
    """Fit a single model with the e-mail as an input. Künzel et al. (2019)."""
    emails = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]
    treatment = np.array(emails, dtype=np.float32)[customers.email]
    model = estimators.classifier().fit(
        np.concatenate([customers.numbers, treatment], axis=1), customers.visited
    )
    return Learner([Part(model, email) for email in emails], np.eye(3))


def t_learner(customers: RandomizedCustomers, estimators: Estimators) -> Learner:
    """Fit one model per arm, here three. Künzel et al. (2019)."""
    arms = [customers.arms(email) for email in range(3)]
    models = [estimators.classifier().fit(arm.numbers, arm.visited) for arm in arms]
    return Learner([Part(model) for model in models], np.eye(3))


def x_learner(customers: RandomizedCustomers, estimators: Estimators) -> Learner:
    """Fit effects imputed across the arms in each arm, and average. Künzel et al. (2019)."""
    outcome, without = t_learner(customers, estimators).parts, customers.arms(NONE)
    parts = [outcome[NONE]]
    for email in (MENS, WOMENS):
        mailed = customers.arms(email)
        effect_mailed = mailed.visited - outcome[NONE].column(mailed.numbers)
        effect_without = outcome[email].column(without.numbers) - without.visited
        for arm, imputed in ((without, effect_without), (mailed, effect_mailed)):
            parts.append(Part(estimators.regressor().fit(arm.numbers, imputed)))
    half = [PROPENSITY, 1 - PROPENSITY]
    mix = np.array([[1.0, 1.0, 1.0], *([0, w, 0] for w in half), *([0, 0, w] for w in half)])
    return Learner(parts, mix)


def transformed_outcome(customers: RandomizedCustomers, estimators: Estimators) -> Learner:
    """Fit a target whose expectation is the effect.

    The target is 2 for a mailed customer who visited, -2 for one who visited without an e-mail, and
    0 for the others. Jaskowski and Jaroszewicz (2012); Athey and Imbens (2016).
    """
    without = customers.arms(NONE)
    parts = [Part(estimators.classifier().fit(without.numbers, without.visited))]
    for email in (MENS, WOMENS):
        pair = customers.arms(NONE, email)
        sign = np.where(pair.email == email, 1 / PROPENSITY, -1 / (1 - PROPENSITY))
        parts.append(Part(estimators.regressor().fit(pair.numbers, sign * pair.visited)))
    return Learner(parts, np.array([[1.0, 1.0, 1.0], [0, 1, 0], [0, 0, 1]]))


FitLearner = Callable[[RandomizedCustomers, Estimators], Learner]


def learners(seed: int, trees: int) -> dict[str, tuple[FitLearner, Estimators]]:
    """Return the candidates by name, each with its learner and the estimators of its parts.

    The simplest comes first: linear parts before trees, fewer parts before more. With equally many
    parts, a regression of the effect itself precedes a difference of two models.
    """
    options = {
        "max_iter": trees,
        "learning_rate": 0.05,
        "max_leaf_nodes": 6,
        "min_samples_leaf": 300,  # in smaller groups, noise hides effects of a few points
        "l2_regularization": 10.0,
        "early_stopping": False,
        "random_state": seed,
    }
    boosting = Estimators(
        partial(HistGradientBoostingClassifier, **options),
        partial(HistGradientBoostingRegressor, **options),
    )
    linear = Estimators(
        lambda: make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)),
        lambda: make_pipeline(StandardScaler(), Ridge(alpha=100.0)),
    )
    return {
        "baseline": (constant, linear),
        "transformed_outcome_linear": (transformed_outcome, linear),
        "t_learner_linear": (t_learner, linear),
        "x_learner_linear": (x_learner, linear),
        "response": (response, boosting),
        "s_learner": (s_learner, boosting),
        "transformed_outcome": (transformed_outcome, boosting),
        "t_learner": (t_learner, boosting),
        "x_learner": (x_learner, boosting),
    }


def export(learner: Learner, file: Path) -> None:
    """Write one graph from `numbers` (rows, 11) to `visits` (rows, 3)."""
    import onnx
    from onnx import compose, helper

    width, node = len(NUMBERS), helper.make_node
    constants, nodes, columns = {"last": np.array([-1]), "mix": learner.mix}, [], []
    for place, part in enumerate(learner.parts):
        prefix = f"part_{place}_"
        export_onnx(part.estimator, {"numbers": width + len(part.email)}, file.parent)
        # A part with the e-mail as an input reads two more columns; the others read `numbers`.
        graph = compose.add_prefix(onnx.load(file), prefix, rename_inputs=bool(part.email)).graph
        if part.email:
            constants["widen"] = np.eye(width, width + len(part.email))
            constants[f"{prefix}email"] = np.array([0.0] * width + [*part.email])
            widened = ["numbers", "widen", f"{prefix}email"]
            nodes.append(node("Gemm", widened, [graph.input[0].name]))
        nodes += [node("Constant", [], [each.name], value=each) for each in graph.initializer]
        nodes += graph.node
        # A classifier's last column is the probability of a visit; a regressor has one column.
        columns.append(f"{prefix}column")
        nodes.append(node("Gather", [graph.output[-1].name, "last"], columns[-1:], axis=1))
    nodes.append(node("Concat", columns, ["columns"], axis=1))
    nodes.append(node("MatMul", ["columns", "mix"], ["visits"]))
    write_graph(file, nodes, inputs={"numbers": width}, outputs={"visits": 3}, constants=constants)
