"""The online learner: what it is, its state as plain numbers, and following a file of events.

State and place in the stream lie in one file that is replaced whole. So whatever dies between two
replacements is learnt again from the older state, as if it had not been learnt: no event counts
twice, and none is lost.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from river.linear_model import LogisticRegression
from river.optim import SGD
from river.preprocessing import StandardScaler
from river.utils import VectorDict

from slipway.files import replace_text

from .model import NUMBERS, Market, features


class Learner:
    """Logistic regression on inputs scaled by their running mean and spread (Welford 1962)."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.scale = StandardScaler()
        self.linear = LogisticRegression(SGD(rate), intercept_lr=rate)

    def predict_proba_one(self, x: dict[str, float]) -> dict[bool, float]:
        """The probabilities that the price will be up and not."""
        told: dict[bool, float] = self.linear.predict_proba_one(self.scale.transform_one(x))
        return told

    def learn_one(self, x: dict[str, float], up: bool) -> None:
        self.scale.learn_one(x)
        self.linear.learn_one(self.scale.transform_one(x), up)

    def state(self) -> dict[str, Any]:
        """All that it knows. JSON keeps a float to its last bit."""
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
    def of(cls, state: dict[str, Any]) -> "Learner":
        """Goes on as the one that had this state would have."""
        learner = cls(state["rate"])
        learner.scale.counts.update(state["counts"])
        learner.scale.means.update(state["means"])
        learner.scale.vars.update(state["variances"])
        learner.linear._weights = VectorDict(state["weights"])
        learner.linear.intercept = state["intercept"]
        learner.linear.optimizer.n_iterations = state["learnt"]
        return learner

    def line(self) -> tuple[np.ndarray, float]:
        """Weights (20,) and intercept on inputs as they are, the scale folded in."""
        means, weights = (
            np.array([values.get(name, 0.0) for name in NUMBERS])
            for values in (self.scale.means, self.linear.weights)
        )
        spread = np.sqrt([self.scale.vars.get(name, 0.0) for name in NUMBERS])
        folded = np.divide(weights, spread, out=np.zeros_like(weights), where=spread > 0)
        return folded, float(self.linear.intercept - folded @ means)


def named(numbers: np.ndarray) -> list[dict[str, float]]:
    """As River takes its inputs: a dictionary a row, of numbers (rows, 20)."""
    return [dict(zip(NUMBERS, row, strict=True)) for row in numbers.astype(np.float64).tolist()]


def follow(events: Path, state: Path, *, rate: float, every: int) -> Learner:
    """Learn what was added to `events`: a line each, {"market": {...}, "up": true}.

    A last line without its end is left for the next time. `state` is replaced after `every` events.

    Raises:
        ValueError: a line is no such event; the message tells its place. What came before is kept.
    """
    known = json.loads(state.read_text()) if state.exists() else None
    learner = Learner.of(known["learner"]) if known else Learner(rate)
    place = known["place"] if known else 0

    def save() -> None:
        replace_text(state, json.dumps({"place": place, "learner": learner.state()}))

    with events.open("rb") as stream:
        stream.seek(place)
        for number, line in enumerate(stream, 1):
            if not line.endswith(b"\n"):
                break
            try:
                event = json.loads(line)
                market, up = Market.model_validate(event["market"]), event["up"]
                if not isinstance(up, bool):
                    raise ValueError(f"up must be true or false, got {up!r}")
            except (KeyError, TypeError, ValueError) as error:
                save()
                raise ValueError(f"{events}, byte {place}: no labelled event: {error}") from error
            learner.learn_one(named(features([market])["numbers"])[0], up)
            place += len(line)
            if number % every == 0:
                save()
    save()
    return learner


if __name__ == "__main__":
    follow(Path(sys.argv[1]), Path(sys.argv[2]), rate=0.01, every=50)
