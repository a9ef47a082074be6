"""The online learner and its state as plain numbers."""

from typing import Any

import numpy as np
from river.linear_model import LogisticRegression
from river.optim import SGD
from river.preprocessing import StandardScaler
from river.utils import VectorDict

from .model import NUMBERS


class Learner:
    """Logistic regression on inputs scaled by their running mean and spread (Welford 1962)."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.scale = StandardScaler()
        self.linear = LogisticRegression(SGD(rate), intercept_lr=rate)

    def predict_proba_one(self, x: dict[str, float]) -> dict[bool, float]:
        """Return the probabilities that the price will be up and not."""
        y_prob: dict[bool, float] = self.linear.predict_proba_one(self.scale.transform_one(x))
        return y_prob

    def learn_one(self, x: dict[str, float], up: bool) -> None:
        """Update the scale, then the weights."""
        self.scale.learn_one(x)
        self.linear.learn_one(self.scale.transform_one(x), up)

    def state(self) -> dict[str, Any]:
        """Return the whole state. JSON keeps every bit of a float."""
        return {
            "rate": self.rate,
            "counts": dict(self.scale.counts),
            "means": dict(self.scale.means),
            "variances": dict(self.scale.vars),
            "weights": self.linear.weights,
            "intercept": self.linear.intercept,
            "learnt": self.linear.optimizer.n_iterations,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Learner":
        """Return a learner that continues exactly as the one that had this state."""
        learner = cls(state["rate"])
        learner.scale.counts.update(state["counts"])
        learner.scale.means.update(state["means"])
        learner.scale.vars.update(state["variances"])
        learner.linear._weights = VectorDict(state["weights"])
        learner.linear.intercept = state["intercept"]
        learner.linear.optimizer.n_iterations = state["learnt"]
        return learner

    def line(self) -> tuple[np.ndarray, float]:
        """Return weights (20,) and intercept for unscaled inputs."""
        means, weights = (
            np.array([values.get(name, 0.0) for name in NUMBERS])
            for values in (self.scale.means, self.linear.weights)
        )
        spread = np.sqrt([self.scale.vars.get(name, 0.0) for name in NUMBERS])
        folded = np.divide(weights, spread, out=np.zeros_like(weights), where=spread > 0)
        return folded, float(self.linear.intercept - folded @ means)


def to_dicts(numbers: np.ndarray) -> list[dict[str, float]]:
    """Return a dictionary per row of numbers (rows, 20), the input format of River."""
    return [dict(zip(NUMBERS, row, strict=True)) for row in numbers.astype(np.float64).tolist()]
