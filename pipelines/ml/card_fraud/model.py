"""Is this card payment a fraud, and should it be blocked, reviewed or let pass?

Data: GENERATED, not real: 284,807 payments of two days, 492 of them frauds (0.173 %), drawn by a
seeded program in the shape of Kaggle's Credit Card Fraud file, which could not be obtained here.
Task: binary classification of a very rare event, measured by precision and recall; accuracy is
meaningless here.
Model: the simplest supervised candidate within one standard error of the best cross-validated
average precision, with calibrated probabilities, as ONNX. The action is the one with the lowest
expected cost for the payment's amount.
Limits: it demonstrates the method and has seen no real cards: train it on your own payments. The
costs are assumed: the amount and 20 dollars for a fraud let pass, 4 dollars for a review, 40
dollars for an honest customer blocked.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, Record, publish
from slipway.contract.calibration import log_odds

# Assumed dollars: the fee for a fraud let pass, a manual review, an honest customer blocked.
CHARGEBACK, REVIEW, WRONG_BLOCK = 20.0, 4.0, 40.0
ACTIONS = ("pass", "review", "block")
SHOWN = 3
# Kaggle's file reaches from -114 to 121.
Factor = Annotated[float, Field(ge=-1000, le=1000, description="Anonymous factor without a unit")]


class Payment(Record):
    """A payment, described by the bank's anonymous factors."""

    v1: Factor
    v2: Factor
    v3: Factor
    v4: Factor
    v5: Factor
    v6: Factor
    v7: Factor
    v8: Factor
    v9: Factor
    v10: Factor
    v11: Factor
    v12: Factor
    v13: Factor
    v14: Factor
    v15: Factor
    v16: Factor
    v17: Factor
    v18: Factor
    v19: Factor
    v20: Factor
    v21: Factor
    v22: Factor
    v23: Factor
    v24: Factor
    v25: Factor
    v26: Factor
    v27: Factor
    v28: Factor
    amount: float = Field(ge=0, le=100_000, description="Dollars")
    hour: float = Field(ge=0, lt=24, description="Hour of the day, with a fraction")


FIELDS = tuple(Payment.model_fields)


class Reason(Record):
    """A field of a suspect payment that raises its odds of fraud."""

    field: str
    log_odds: float = Field(
        ge=0, description="By how much the log odds would fall if the field had its usual value"
    )


class Verdict(Record):
    """The recommended action, and the expected cost of each action."""

    action: str = Field(pattern="^(pass|review|block)$", description="The cheapest of the three")
    suspect: bool = Field(description="Whether the action is review or block")
    probability: float = Field(ge=0, le=1, description="Probability of fraud")
    cost_if_passed: float = Field(ge=0, description="Expected dollars")
    cost_if_reviewed: float = Field(ge=0, description="Expected dollars")
    cost_if_blocked: float = Field(ge=0, description="Expected dollars")
    reasons: list[Reason] = Field(
        description="For suspects only: at most three, the strongest first"
    )


def features(payments: list[Payment]) -> dict[str, np.ndarray]:
    """Return numbers (rows, 30) float32, a column per field.

    The amount becomes its logarithm, the hour its distance from 4 at night. Rounded to four
    decimals, numbers fall on the same side of a tree's threshold in float32 and float64.
    """
    plain = np.array([list(each.__dict__.values()) for each in payments], dtype=np.float64)
    numbers = plain.reshape(-1, len(FIELDS))
    numbers[:, -2] = np.log1p(numbers[:, -2])
    numbers[:, -1] = np.abs((numbers[:, -1] + 8) % 24 - 12)
    return {"numbers": np.round(numbers, 4).astype(np.float32)}


def sigmoid(scores: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-scores)))


def costs(probabilities: np.ndarray, amounts: np.ndarray) -> np.ndarray:
    """Return the expected dollars of each of `ACTIONS` (rows, 3). A review finds every fraud."""
    passed = probabilities * (amounts + CHARGEBACK)
    return np.stack(
        [passed, np.full_like(passed, REVIEW), (1 - probabilities) * WRONG_BLOCK], axis=1
    )


def reasons(
    numbers: np.ndarray,
    scores: np.ndarray,
    likely: Callable[[np.ndarray], np.ndarray],
    usual: list[float],
) -> list[list[Reason]]:
    """Return for each row the fields whose usual value would lower its log odds most.

    `scores` are the log odds (rows,).
    """
    if not len(numbers):
        return []
    changed = np.repeat(numbers[:, None], len(FIELDS), axis=1)
    places = np.arange(len(FIELDS))
    changed[:, places, places] = np.array(usual, dtype=np.float32)
    falls = scores[:, None] - likely(changed.reshape(-1, len(FIELDS))).reshape(-1, len(FIELDS))
    by_row = []
    for row in falls:
        best = np.argsort(-row, kind="stable")[:SHOWN]
        by_row.append(
            [Reason(field=FIELDS[place], log_odds=row[place]) for place in best if row[place] > 0]
        )
    return by_row


def verdicts(
    payments: list[Payment], likely: Callable[[np.ndarray], np.ndarray], usual: list[float]
) -> list[Verdict]:
    """Return the predictions for payments.

    `likely` computes calibrated log odds (rows,) from features, and `usual` has a value per field.
    """
    numbers = features(payments)["numbers"]
    scores = likely(numbers)
    y_prob = sigmoid(scores)
    dollars = costs(y_prob, np.array([each.amount for each in payments]))
    best = dollars.argmin(axis=1)
    suspect = best > 0
    why = iter(reasons(numbers[suspect], scores[suspect], likely, usual))
    return [
        Verdict(
            action=ACTIONS[place],
            suspect=place > 0,
            probability=probability,
            cost_if_passed=passed,
            cost_if_reviewed=reviewed,
            cost_if_blocked=blocked,
            reasons=next(why) if place > 0 else [],
        )
        for place, probability, (passed, reviewed, blocked) in zip(
            best.tolist(), y_prob.tolist(), dollars.tolist(), strict=True
        )
    ]


class CardFraud(OnnxModel):
    explained = "probability"

    def load(self, weights: Path) -> None:
        super().load(weights)
        self._decision = json.loads((weights / "decision.json").read_text())

    def likely(self, numbers: np.ndarray) -> np.ndarray:
        """Return calibrated log odds of fraud (rows,)."""
        raw = self.run({"numbers": numbers})["probabilities"][:, 1]
        return np.asarray(self._decision["slope"] * log_odds(raw) + self._decision["intercept"])

    def predict(self, model_input: list[Payment]) -> list[Verdict]:
        return verdicts(model_input, self.likely, self._decision["usual"])


publish(CardFraud())
