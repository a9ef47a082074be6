"""Will this holder of a credit card fail to pay next month's bill?

Data: 30,000 holders of a Taiwanese card, April to September 2005; 22 % defaulted in October.
Task: binary classification from half a year of bills, payments and delays.
Model: a pipeline (columns, preparation, learner and its settings), as ONNX. The candidates are no
search, manual tuning, random search, Optuna and FLAML under the same budget of fits; the model is
the simplest one within one standard error of the best.
Limits: the data are from one bank in a credit crisis. Age and education are features; remove them
if a law forbids their use. Sex is not a feature: the monitor uses it to compare the quality of the
predictions between groups. Marital status is in the data but is not used, so it is not an input.
"""

import json
from pathlib import Path

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, Record, publish

MONTHS = range(1, 7)
DELAY = "Months behind (9: nine or more); 0: minimum paid, -1: paid in full, -2: card not used"
DOLLARS = 1e8


class Cardholder(Record):
    """Half a year of a credit card: month 1 is the latest, 6 the oldest. New Taiwan dollars."""

    credit_limit: float = Field(ge=1, le=DOLLARS)
    sex: str = Field(pattern="^(female|male)$", description="For monitoring; not a feature")
    education: str = Field(pattern="^(graduate_school|university|high_school|other)$")
    age: int = Field(ge=18, le=120, description="Years")
    delay_1: int = Field(ge=-2, le=9, description=DELAY)
    delay_2: int = Field(ge=-2, le=9, description="A month earlier")
    delay_3: int = Field(ge=-2, le=9, description="Two months earlier")
    delay_4: int = Field(ge=-2, le=9, description="Three months earlier")
    delay_5: int = Field(ge=-2, le=9, description="Four months earlier")
    delay_6: int = Field(ge=-2, le=9, description="Five months earlier")
    bill_1: float = Field(ge=-DOLLARS, le=DOLLARS, description="Negative if too much was paid")
    bill_2: float = Field(ge=-DOLLARS, le=DOLLARS, description="A month earlier")
    bill_3: float = Field(ge=-DOLLARS, le=DOLLARS, description="Two months earlier")
    bill_4: float = Field(ge=-DOLLARS, le=DOLLARS, description="Three months earlier")
    bill_5: float = Field(ge=-DOLLARS, le=DOLLARS, description="Four months earlier")
    bill_6: float = Field(ge=-DOLLARS, le=DOLLARS, description="Five months earlier")
    paid_1: float = Field(ge=0, le=DOLLARS, description="Payment towards the bill before")
    paid_2: float = Field(ge=0, le=DOLLARS, description="A month earlier")
    paid_3: float = Field(ge=0, le=DOLLARS, description="Two months earlier")
    paid_4: float = Field(ge=0, le=DOLLARS, description="Three months earlier")
    paid_5: float = Field(ge=0, le=DOLLARS, description="Four months earlier")
    paid_6: float = Field(ge=0, le=DOLLARS, description="Five months earlier")


class Outlook(Record):
    """The prediction for next month's payment."""

    defaults: bool = Field(description="Whether the probability reaches the threshold")
    probability: float = Field(ge=0, le=1)
    threshold: float = Field(
        ge=0, le=1, description="The threshold with the best F1 on validation rows"
    )


SCHOOLS = ("graduate_school", "university", "high_school")
AS_GIVEN = (
    "credit_limit",
    *SCHOOLS,
    "age",
    *(f"{name}_{month}" for name in ("delay", "bill", "paid") for month in MONTHS),
)
RATIOS = (
    "months_behind",
    "worst_delay",
    "mean_delay",
    *(f"use_{month}" for month in MONTHS),
    *(f"share_paid_{month}" for month in range(1, 6)),
    "use_grew",
    "paid_of_limit",
)
NUMBERS = (*AS_GIVEN, *RATIOS)


def features(cardholders: list[Cardholder]) -> dict[str, np.ndarray]:
    """Return numbers (rows, 39) float32: `AS_GIVEN`, then `RATIOS` with four decimals.

    Rounded ratios fall on the same side of a tree's threshold in float32 and float64.
    """
    none = dict.fromkeys(SCHOOLS, 0)
    sent = [{**none, **vars(each), each.education: 1} for each in cardholders]
    given = np.array([[row[name] for name in AS_GIVEN] for row in sent], dtype=np.float64)
    given = given.reshape(-1, len(AS_GIVEN))
    limit = given[:, :1]
    delays, bills, paid = np.split(given[:, -3 * len(MONTHS) :], 3, axis=1)
    use = bills / limit
    # A month's payment is for the bill before it; without a bill the share counts as 1.
    due = bills[:, 1:]
    share = np.where(due > 0, np.minimum(paid[:, :-1] / np.maximum(due, 1.0), 1.5), 1.0)
    derived = [
        (delays > 0).sum(axis=1),
        delays.max(axis=1),
        delays.mean(axis=1),
        *use.T,
        *share.T,
        use[:, 0] - use[:, -1],
        paid.sum(axis=1) / limit[:, 0],
    ]
    ratios = np.round(np.clip(np.stack(derived, axis=1), -100, 100), 4)
    return {"numbers": np.concatenate([given, ratios], axis=1).astype(np.float32)}


def outlooks(probabilities: np.ndarray, threshold: float) -> list[Outlook]:
    """Return predictions, given the probabilities of default (rows,)."""
    return [
        Outlook(defaults=p >= threshold, probability=p, threshold=threshold)
        for p in probabilities.astype(np.float64).clip(0, 1).tolist()
    ]


class Automl(OnnxModel):
    explained = "probability"
    protected = ("sex",)

    def load(self, weights: Path) -> None:
        super().load(weights)
        self._threshold = float(json.loads((weights / "decision.json").read_text())["threshold"])

    def predict(self, model_input: list[Cardholder]) -> list[Outlook]:
        y_prob = self.run(features(model_input))["probabilities"][:, 1]
        return outlooks(y_prob, self._threshold)


publish(Automl())
