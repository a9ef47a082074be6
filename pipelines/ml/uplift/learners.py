"""Meta-learners for the effect of two e-mails.

Each is a weighted sum of parts, a classifier or a regressor of its own. So one graph holds any of
them: the parts side by side, then a matrix.
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

from .drawn import MENS, NONE, WOMENS, Drawn
from .model import NUMBERS

# Each customer was as likely to be in an arm as in the one without an e-mail.
PROPENSITY = 0.5


@dataclass(frozen=True)
class Part:
    """One estimator; `email` holds values of two more columns, the same for every row."""

    estimator: BaseEstimator
    email: tuple[float, ...] = ()

    def column(self, numbers: np.ndarray) -> np.ndarray:
        """What it says of each row (rows,): a probability or a number."""
        more = np.tile(np.array(self.email, dtype=np.float32), (len(numbers), 1))
        inputs = np.concatenate([numbers, more], axis=1)
        if hasattr(self.estimator, "predict_proba"):
            return np.asarray(self.estimator.predict_proba(inputs)[:, 1])
        return np.asarray(self.estimator.predict(inputs)).ravel()


@dataclass(frozen=True)
class Learner:
    """The probabilities of a visit (rows, 3) are the parts' columns times `mix` (parts, 3)."""

    parts: list[Part]
    mix: np.ndarray

    def visits(self, numbers: np.ndarray) -> np.ndarray:
        columns = np.stack([part.column(numbers) for part in self.parts], axis=1)
        return np.asarray(columns @ self.mix)


@dataclass(frozen=True)
class Estimators:
    """What the parts are made of."""

    classifier: Callable[[], BaseEstimator]
    regressor: Callable[[], BaseEstimator]


def constant(drawn: Drawn, made: Estimators) -> Learner:
    """The mean of each arm for everyone: whom one mails is left to chance."""
    # Trees that never split: scikit-learn's dummies have no ONNX form.
    stump = Estimators(lambda: DecisionTreeClassifier(min_impurity_decrease=1.0), made.regressor)
    return t_learner(drawn, stump)


def response(drawn: Drawn, made: Estimators) -> Learner:
    """Who comes when mailed, as if those were the ones whom the mail brings."""
    mailed = drawn.arms(MENS, WOMENS)
    model = made.classifier().fit(mailed.numbers, mailed.visited)
    rates = [drawn.arms(email).visited.mean() for email in range(3)]
    return Learner([Part(model)], np.array([rates]) / mailed.visited.mean())


def s_learner(drawn: Drawn, made: Estimators) -> Learner:
    """A single model that is told the e-mail. Künzel et al. (2019)."""
    emails = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]
    told = np.array(emails, dtype=np.float32)[drawn.email]
    model = made.classifier().fit(np.concatenate([drawn.numbers, told], axis=1), drawn.visited)
    return Learner([Part(model, email) for email in emails], np.eye(3))


def t_learner(drawn: Drawn, made: Estimators) -> Learner:
    """Two models, or here three: one an arm. Künzel et al. (2019)."""
    arms = [drawn.arms(email) for email in range(3)]
    models = [made.classifier().fit(arm.numbers, arm.visited) for arm in arms]
    return Learner([Part(model) for model in models], np.eye(3))


def x_learner(drawn: Drawn, made: Estimators) -> Learner:
    """Effects imputed across the arms, learnt in each and averaged. Künzel et al. (2019)."""
    outcome, without = t_learner(drawn, made).parts, drawn.arms(NONE)
    parts = [outcome[NONE]]
    for email in (MENS, WOMENS):
        mailed = drawn.arms(email)
        gained = mailed.visited - outcome[NONE].column(mailed.numbers)
        missed = outcome[email].column(without.numbers) - without.visited
        for arm, imputed in ((without, missed), (mailed, gained)):
            parts.append(Part(made.regressor().fit(arm.numbers, imputed)))
    half = [PROPENSITY, 1 - PROPENSITY]
    mix = np.array([[1.0, 1.0, 1.0], *([0, w, 0] for w in half), *([0, 0, w] for w in half)])
    return Learner(parts, mix)


def transformed_outcome(drawn: Drawn, made: Estimators) -> Learner:
    """A target whose mean is the effect. Jaskowski and Jaroszewicz (2012); Athey and Imbens (2016).

    2 for a mailed customer who came, -2 for one who came unmailed, 0 for who did not.
    """
    without = drawn.arms(NONE)
    parts = [Part(made.classifier().fit(without.numbers, without.visited))]
    for email in (MENS, WOMENS):
        pair = drawn.arms(NONE, email)
        sign = np.where(pair.email == email, 1 / PROPENSITY, -1 / (1 - PROPENSITY))
        parts.append(Part(made.regressor().fit(pair.numbers, sign * pair.visited)))
    return Learner(parts, np.array([[1.0, 1.0, 1.0], [0, 1, 0], [0, 0, 1]]))


Teach = Callable[[Drawn, Estimators], Learner]


def learners(seed: int, trees: int) -> dict[str, tuple[Teach, Estimators]]:
    """Return the candidates by name, each a learner and what its parts are made of.

    They go from the simplest: linear parts before trees, fewer parts before more, and of as many
    parts a regression of the effect itself before a difference of two models.
    """
    options = {
        "max_iter": trees,
        "learning_rate": 0.05,
        "max_leaf_nodes": 6,
        "min_samples_leaf": 300,  # effects of some points drown in smaller groups
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
    """One graph: `numbers` (rows, 11) to `visits` (rows, 3)."""
    import onnx
    from onnx import compose, helper

    width, node = len(NUMBERS), helper.make_node
    constants, nodes, columns = {"last": np.array([-1]), "mix": learner.mix}, [], []
    for place, part in enumerate(learner.parts):
        prefix = f"part_{place}_"
        export_onnx(part.estimator, {"numbers": width + len(part.email)}, file.parent)
        # A part that is told the e-mail reads wider numbers, the others those of the whole graph.
        graph = compose.add_prefix(onnx.load(file), prefix, rename_inputs=bool(part.email)).graph
        if part.email:
            constants["widen"] = np.eye(width, width + len(part.email))
            constants[f"{prefix}email"] = np.array([0.0] * width + [*part.email])
            widened = ["numbers", "widen", f"{prefix}email"]
            nodes.append(node("Gemm", widened, [graph.input[0].name]))
        nodes += [node("Constant", [], [each.name], value=each) for each in graph.initializer]
        nodes += graph.node
        # Of a classifier's two columns the last is that of a visit; a regressor has but one.
        columns.append(f"{prefix}column")
        nodes.append(node("Gather", [graph.output[-1].name, "last"], columns[-1:], axis=1))
    nodes.append(node("Concat", columns, ["columns"], axis=1))
    nodes.append(node("MatMul", ["columns", "mix"], ["visits"]))
    write_graph(file, nodes, inputs={"numbers": width}, outputs={"visits": 3}, constants=constants)
