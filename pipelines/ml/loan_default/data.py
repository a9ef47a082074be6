"""Borrowers as a credit bureau knew them, with whether they fell 90 days behind in two years."""

from collections.abc import Iterable

import pandas as pd
import pandera.pandas as pa
from sklearn.model_selection import train_test_split

from slipway.datasets import Dataset
from slipway.training.frames import rows

from .model import Borrower

FIELDS = {
    "RevolvingUtilizationOfUnsecuredLines": "utilization",
    "age": "age",
    "NumberOfTime30-59DaysPastDueNotWorse": "late_30_days",
    "NumberOfTime60-89DaysPastDueNotWorse": "late_60_days",
    "NumberOfTimes90DaysLate": "late_90_days",
    "MonthlyDebt": "monthly_debt",
    "MonthlyIncome": "monthly_income",
    "NumberOfOpenCreditLinesAndLoans": "open_lines",
    "NumberRealEstateLoansOrLines": "real_estate_loans",
    "NumberOfDependents": "dependents",
}
DEFAULTED = "SeriousDlqin2yrs"
SCHEMA = pa.DataFrameSchema(
    {
        DEFAULTED: pa.Column(int, pa.Check.isin([0, 1])),
        "age": pa.Column(int, pa.Check.in_range(0, 120)),
        "DebtRatio": pa.Column(float, pa.Check.ge(0)),
        "MonthlyIncome": pa.Column(float, pa.Check.ge(0), nullable=True),
        **{
            name: pa.Column(int, pa.Check.in_range(0, 98))
            for name in FIELDS
            if name.startswith("Number")
        },
        # The one of the counts that may be missing.
        "NumberOfDependents": pa.Column(float, pa.Check.in_range(0, 30), nullable=True),
    }
)


def splits(
    dataset: Dataset, *, seed: int, test_share: float, one_in: int
) -> dict[str, Iterable[tuple[Borrower, bool]]]:
    """Borrowers with whether they defaulted; `one_in` keeps one in so many."""
    raw = SCHEMA.validate(pd.read_csv(dataset.path("creditscoring1.csv.gz")))
    frame = cleaned(raw).iloc[::one_in]
    train, test = train_test_split(
        frame, test_size=test_share, random_state=seed, stratify=frame[DEFAULTED]
    )
    return {"train": borrowers(train), "test": borrowers(test)}


def cleaned(frame: pd.DataFrame) -> pd.DataFrame:
    """Debt in dollars, adults only (one is 0 years old), and nobody twice.

    Where no income is known `DebtRatio` holds the debt itself: its median is 1,159, against 0.29
    where there is one. As it stands the column tells whether the income is missing.
    """
    income = frame["MonthlyIncome"].fillna(1.0).clip(lower=1.0)
    made = frame.assign(MonthlyDebt=(frame["DebtRatio"] * income).round(2))
    # Equal in all that is known: 0.4 % of rows, whose copies would be on both sides of the split.
    return made[made["age"] >= 18].drop_duplicates(list(FIELDS))


def borrowers(frame: pd.DataFrame) -> list[tuple[Borrower, bool]]:
    named = frame.rename(columns=FIELDS)[list(FIELDS.values())]
    named["dependents"] = named["dependents"].astype("Int64")
    return [
        (Borrower(**row), bool(defaulted))
        for row, defaulted in zip(rows(named), frame[DEFAULTED] == 1, strict=True)
    ]
