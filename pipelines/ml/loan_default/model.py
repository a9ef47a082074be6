"""Will this borrower fall 90 days behind within two years, and is lending worth the risk?

Data: 149,000 American borrowers as a credit bureau knew them, 6.7 % of whom fell behind.
Task: binary classification of a rare event, with a threshold set by what the two errors cost.
Model: late payments, use of credit, debt and income into the simplest candidate within one standard
error of the lowest cost on validation data, its probabilities calibrated; as ONNX.
Limits: the costs are assumed (10,000 dollars a default, 1,000 a good borrower refused). Only those
who had been granted credit are known, from before 2011. Age is a feature; where a law forbids
that, train without it.
"""

import json
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from slipway.contract import OnnxModel, Record, publish
from slipway.contract.calibration import calibrated

# Assumed dollars: of a loan that is not paid back, and of the interest on one that would be.
LOSS_OF_DEFAULT = 10_000.0
LOST_MARGIN = 1_000.0
# In place of counts the bureau gives codes: 269 of 150,000, of whom 55 % fell behind.
CODES = (96, 98)
CODED = "96 and 98, then in all three counts, are codes of the bureau"


class Borrower(Record):
    """What the bureau knows of a borrower."""

    utilization: float = Field(
        ge=0, le=1e6, description="Balance on cards and credit lines over their limits; 1 is all"
    )
    age: int = Field(ge=18, le=120, description="Years")
    late_30_days: int = Field(
        ge=0, le=98, description=f"Times 30 to 59 days late, in two years; {CODED}"
    )
    late_60_days: int = Field(
        ge=0, le=98, description=f"Times 60 to 89 days late, in two years; {CODED}"
    )
    late_90_days: int = Field(ge=0, le=98, description=f"Times 90 days late; {CODED}")
    monthly_debt: float = Field(ge=0, le=1e9, description="Payments and living costs, dollars")
    monthly_income: float | None = Field(default=None, ge=0, le=1e9, description="Dollars")
    open_lines: int = Field(ge=0, le=98, description="Open loans and lines of credit")
    real_estate_loans: int = Field(ge=0, le=98)
    dependents: int | None = Field(default=None, ge=0, le=30, description="Without the borrower")

    @model_validator(mode="after")
    def _coded_in_all_counts_or_none(self) -> Self:
        if len({count in CODES for count in self.late}) > 1:
            raise ValueError(f"late_30_days, late_60_days, late_90_days: {CODED}, not {self.late}")
        return self

    @property
    def late(self) -> list[int]:
        """Times 30, 60 and 90 days late."""
        return [self.late_30_days, self.late_60_days, self.late_90_days]


class LoanRisk(Record):
    """How likely a default is, and what either decision is expected to cost."""

    refuse: bool = Field(
        description="The probability reaches `threshold`, tuned in hundredths on past borrowers; "
        "near it the two expected costs may point the other way"
    )
    probability: float = Field(ge=0, le=1, description="Of 90 days behind within two years")
    threshold: float = Field(ge=0, le=1)
    cost_if_granted: float = Field(ge=0, description="Dollars expected")
    cost_if_refused: float = Field(ge=0, description="Dollars expected")


def numbers(borrower: Borrower) -> dict[str, float]:
    """What is told of a borrower, by name, not-a-number where unknown."""
    coded = any(each in CODES for each in borrower.late)
    counts = [np.nan] * 3 if coded else borrower.late
    debt, income = borrower.monthly_debt, borrower.monthly_income
    heads = 1 + (borrower.dependents or 0)
    return {
        "log_utilization": np.log1p(borrower.utilization),
        "age": borrower.age,
        "late_30_days": counts[0],
        "late_60_days": counts[1],
        "late_90_days": counts[2],
        "late_in_all": sum(counts),
        "coded": coded,
        "log_debt": np.log1p(debt),
        "log_income": np.nan if income is None else np.log1p(income),
        "income_unknown": income is None,
        # Above 5 no more is told: income is then nearly nought, or wrong.
        "debt_ratio": np.nan if income is None else min(debt / max(income, 1.0), 5.0),
        "open_lines": borrower.open_lines,
        "real_estate_loans": borrower.real_estate_loans,
        "dependents": np.nan if borrower.dependents is None else borrower.dependents,
        "income_a_head": np.nan if income is None else np.log1p(income / heads),
    }


# The names are the same whatever is told.
NUMBERS = tuple(numbers(Borrower(**dict.fromkeys(Borrower.model_fields, 18))))


def features(borrowers: list[Borrower]) -> dict[str, np.ndarray]:
    """Numbers (rows, 15) float32, a column each of `NUMBERS`.

    Of four digits: in float32 and float64 they fall on the same side of a tree's threshold.
    """
    rows = [[round(float(told), 4) for told in numbers(each).values()] for each in borrowers]
    return {"numbers": np.array(rows, dtype=np.float32).reshape(-1, len(NUMBERS))}


def risks(probabilities: np.ndarray, threshold: float) -> list[LoanRisk]:
    """From calibrated probabilities of default (rows,)."""
    return [
        LoanRisk(
            refuse=p >= threshold,
            probability=p,
            threshold=threshold,
            cost_if_granted=p * LOSS_OF_DEFAULT,
            cost_if_refused=(1 - p) * LOST_MARGIN,
        )
        for p in probabilities.tolist()
    ]


class LoanDefault(OnnxModel):
    explained = "probability"
    protected = ("age",)

    def load(self, weights: Path) -> None:
        super().load(weights)
        told = json.loads((weights / "decision.json").read_text())
        self._line = float(told["slope"]), float(told["intercept"])
        self._threshold = float(told["threshold"])

    def predict(self, model_input: list[Borrower]) -> list[LoanRisk]:
        raw = self.run(features(model_input))["probabilities"][:, 1]
        return risks(calibrated(raw, *self._line), self._threshold)


publish(LoanDefault())
