"""Will this holder of a credit card fail to pay next month's bill?

Data: 30,000 holders of a Taiwanese card, April to September 2005; 22 % defaulted in October.
Task: binary classification from half a year of bills, payments and delays.
Model: a pipeline (columns, preparation, learner and its settings), as ONNX: the simplest candidate
within one standard error of the best, of no search, manual tuning, random search, Optuna and FLAML
under the same budget of fits.
Limits: one bank in a credit crisis. Age and education are features; where a law forbids that, take
them out. Sex is asked for only so that the monitor can watch who is served well. Whether somebody
is married is in the data too, decides nothing here, and so is not asked for.
"""

import json
from pathlib import Path

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, Record, publish

MONTHS = range(1, 7)
DELAY = "Months behind, 9: nine or more; 0 the least was paid, -1 all was, -2 card not used"
DOLLARS = 1e8


class Cardholder(Record):
    """Half a year of a card: month 1 is the last one, 6 the oldest. New Taiwan dollars."""

    credit_limit: float = Field(ge=1, le=DOLLARS)
    sex: str = Field(pattern="^(female|male)$", description="Watched, and no feature")
    education: str = Field(pattern="^(graduate_school|university|high_school|other)$")
    age: int = Field(ge=18, le=120, description="Years")
    delay_1: int = Field(ge=-2, le=9, description=DELAY)
    delay_2: int = Field(ge=-2, le=9, description="A month earlier")
    delay_3: int = Field(ge=-2, le=9, description="Two months earlier")
    delay_4: int = Field(ge=-2, le=9, description="Three months earlier")
    delay_5: int = Field(ge=-2, le=9, description="Four months earlier")
    delay_6: int = Field(ge=-2, le=9, description="Five months earlier")
    bill_1: float = Field(ge=-DOLLARS, le=DOLLARS, description="Below 0: too much was paid")
    bill_2: float = Field(ge=-DOLLARS, le=DOLLARS, description="A month earlier")
    bill_3: float = Field(ge=-DOLLARS, le=DOLLARS, description="Two months earlier")
    bill_4: float = Field(ge=-DOLLARS, le=DOLLARS, description="Three months earlier")
    bill_5: float = Field(ge=-DOLLARS, le=DOLLARS, description="Four months earlier")
    bill_6: float = Field(ge=-DOLLARS, le=DOLLARS, description="Five months earlier")
    paid_1: float = Field(ge=0, le=DOLLARS, description="In the month, of the bill before")
    paid_2: float = Field(ge=0, le=DOLLARS, description="A month earlier")
    paid_3: float = Field(ge=0, le=DOLLARS, description="Two months earlier")
    paid_4: float = Field(ge=0, le=DOLLARS, description="Three months earlier")
    paid_5: float = Field(ge=0, le=DOLLARS, description="Four months earlier")
    paid_6: float = Field(ge=0, le=DOLLARS, description="Five months earlier")


class Outlook(Record):
    """Of next month's payment."""

    defaults: bool = Field(description="The probability reaches the threshold")
    probability: float = Field(ge=0, le=1)
    threshold: float = Field(ge=0, le=1, description="Of the best F1 on validation rows")


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
    """Numbers (rows, 39) float32: `AS_GIVEN`, then `RATIOS` of four digits.

    Rounded they fall on the same side of a tree's threshold in float32 and float64.
    """
    none = dict.fromkeys(SCHOOLS, 0)
    sent = [{**none, **vars(each), each.education: 1} for each in cardholders]
    given = np.array([[row[name] for name in AS_GIVEN] for row in sent], dtype=np.float64)
    given = given.reshape(-1, len(AS_GIVEN))
    limit = given[:, :1]
    delays, bills, paid = np.split(given[:, -3 * len(MONTHS) :], 3, axis=1)
    use = bills / limit
    # A month's payment is of the bill before it; no bill is paid in full.
    due = bills[:, 1:]
    share = np.where(due > 0, np.minimum(paid[:, :-1] / np.maximum(due, 1.0), 1.5), 1.0)
    told = [
        (delays > 0).sum(axis=1),
        delays.max(axis=1),
        delays.mean(axis=1),
        *use.T,
        *share.T,
        use[:, 0] - use[:, -1],
        paid.sum(axis=1) / limit[:, 0],
    ]
    ratios = np.round(np.clip(np.stack(told, axis=1), -100, 100), 4)
    return {"numbers": np.concatenate([given, ratios], axis=1).astype(np.float32)}


def outlooks(probabilities: np.ndarray, threshold: float) -> list[Outlook]:
    """From the probabilities of default (rows,)."""
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
        told = self.run(features(model_input))["probabilities"][:, 1]
        return outlooks(told, self._threshold)


publish(Automl())
