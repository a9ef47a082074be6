"""Will this borrower fall 90 days behind within two years, and is lending worth the risk?

Data: 149,000 American borrowers as a credit bureau knew them, 6.7 % of whom fell behind.
Task: binary classification of a rare event, with a threshold set by the costs of the two errors.
Model: the simplest candidate within one standard error of the lowest cost on validation data, over
late payments, use of credit, debt and income, with calibrated probabilities; as ONNX.
Limits: the costs are assumed (10,000 dollars per default granted, 1,000 per good borrower refused).
The data contain only borrowers who had been granted credit, before 2011. Age is a feature; where a
law forbids that, train without it.
"""

import json
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from slipway.contract import OnnxModel, Record, publish
from slipway.contract.calibration import calibrated

# Assumed, in dollars: the loss on a loan not paid back, and the interest lost on a good one.
LOSS_OF_DEFAULT = 10_000.0
LOST_MARGIN = 1_000.0
# Codes of the bureau in place of counts: 269 of 150,000 borrowers, of whom 55 % fell behind.
CODES = (96, 98)
CODED = "96 and 98 are codes of the bureau and then stand in all three counts"


class Borrower(Record):
    """The bureau's data about a borrower."""

    utilization: float = Field(
        ge=0, le=1e6, description="Balance on cards and credit lines, divided by their limits"
    )
    age: int = Field(ge=18, le=120, description="Years")
    late_30_days: int = Field(
        ge=0, le=98, description=f"Times 30 to 59 days late, in two years; {CODED}"
    )
    late_60_days: int = Field(
        ge=0, le=98, description=f"Times 60 to 89 days late, in two years; {CODED}"
    )
    late_90_days: int = Field(ge=0, le=98, description=f"Times 90 days late; {CODED}")
    monthly_debt: float = Field(ge=0, le=1e9, description="Payments and living costs in dollars")
    monthly_income: float | None = Field(default=None, ge=0, le=1e9, description="Dollars")
    open_lines: int = Field(ge=0, le=98, description="Open loans and lines of credit")
    real_estate_loans: int = Field(ge=0, le=98)
    dependents: int | None = Field(default=None, ge=0, le=30, description="Excluding the borrower")

    @model_validator(mode="after")
    def _coded_in_all_counts_or_none(self) -> Self:
        if len({count in CODES for count in self.late}) > 1:
            raise ValueError(f"late_30_days, late_60_days, late_90_days: {CODED}, not {self.late}")
        return self

    @property
    def late(self) -> list[int]:
        """How often the borrower was 30, 60 and 90 days late."""
        return [self.late_30_days, self.late_60_days, self.late_90_days]


class LoanRisk(Record):
    """The probability of default, and the expected cost of either decision."""

    refuse: bool = Field(
        description="The probability reaches `threshold`, tuned in hundredths on past borrowers; "
        "near it the expected costs may favour the other decision"
    )
    probability: float = Field(
        ge=0, le=1, description="Probability of 90 days behind within two years"
    )
    threshold: float = Field(ge=0, le=1)
    cost_if_granted: float = Field(ge=0, description="Expected dollars")
    cost_if_refused: float = Field(ge=0, description="Expected dollars")


def numbers(borrower: Borrower) -> dict[str, float]:
    """Return the features of a borrower by name, NaN where unknown."""
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
        # Capped at 5: beyond that the income is nearly zero, or wrong.
        "debt_ratio": np.nan if income is None else min(debt / max(income, 1.0), 5.0),
        "open_lines": borrower.open_lines,
        "real_estate_loans": borrower.real_estate_loans,
        "dependents": np.nan if borrower.dependents is None else borrower.dependents,
        "income_a_head": np.nan if income is None else np.log1p(income / heads),
    }


# The names do not depend on the values.
NUMBERS = tuple(numbers(Borrower(**dict.fromkeys(Borrower.model_fields, 18))))


def features(borrowers: list[Borrower]) -> dict[str, np.ndarray]:
    """Return numbers (rows, 15) float32, one column for each of `NUMBERS`.

    Rounded to four digits, so that float32 and float64 agree at a tree's threshold.
    """
    rows = [[round(float(value), 4) for value in numbers(each).values()] for each in borrowers]
    return {"numbers": np.array(rows, dtype=np.float32).reshape(-1, len(NUMBERS))}


def risks(probabilities: np.ndarray, threshold: float) -> list[LoanRisk]:
    """Return predictions from calibrated probabilities of default (rows,)."""
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
        decision = json.loads((weights / "decision.json").read_text())
        self._line = float(decision["slope"]), float(decision["intercept"])
        self._threshold = float(decision["threshold"])

    def predict(self, model_input: list[Borrower]) -> list[LoanRisk]:
        raw = self.run(features(model_input))["probabilities"][:, 1]
        return risks(calibrated(raw, *self._line), self._threshold)


publish(LoanDefault())
