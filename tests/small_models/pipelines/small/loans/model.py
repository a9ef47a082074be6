"""Would this applicant be granted a loan?

Data: 300 applications made up for the tests, half of them granted.
Task: binary classification; both errors weigh alike.
Model: logistic regression over numbers and one-hot categories, as an ONNX graph.
Limits: made up; it says nothing about people.
"""

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, Record, publish

REGIONS = ("north", "south", "west")
PURPOSES = ("car", "home", "study")
NUMBERS = ("income", "debt", "age")
CATEGORIES = ("region", "purpose")


class Applicant(Record):
    """An applicant for a loan."""

    purpose: str = Field(min_length=1, max_length=200, description="Such as car, home or study")
    region: str = Field(pattern="^(north|south|west)$")
    income: float = Field(ge=0, le=1000, description="Thousands a year")
    debt: float = Field(ge=0, le=1000, description="Thousands")
    age: int | None = Field(default=None, ge=18, le=110, description="Years; 45 when unknown")


class Decision(Record):
    """True if the loan is granted."""

    granted: bool
    probability: float = Field(ge=0, le=1, description="Of being granted")


def features(applicants: list[Applicant]) -> dict[str, np.ndarray]:
    """Numbers (rows, 3) float32, NaN where unknown, and categories (rows, 2) text."""
    numbers = np.empty((len(applicants), len(NUMBERS)), dtype=np.float32)
    categories = np.empty((len(applicants), len(CATEGORIES)), dtype=object)
    for row, each in enumerate(applicants):
        numbers[row] = (each.income, each.debt, np.nan if each.age is None else each.age)
        categories[row] = (each.region, each.purpose)
    return {"numbers": numbers, "categories": categories}


def decisions(probabilities: np.ndarray) -> list[Decision]:
    """Return a decision for each probability of being granted (rows,)."""
    return [Decision(granted=p >= 0.5, probability=p) for p in probabilities.tolist()]


class Loans(OnnxModel):
    explained = "probability"
    protected = ("region",)

    def predict(self, model_input: list[Applicant]) -> list[Decision]:
        return decisions(self.run(features(model_input))["probabilities"][:, 0])


publish(Loans())
