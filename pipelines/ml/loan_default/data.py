"""Split a credit bureau's borrowers, labelled by 90 days of delinquency within two years."""

from collections.abc import Iterable

import pandas as pd
import pandera.pandas as pa
from sklearn.model_selection import train_test_split

from slipway.datasets import Dataset
from slipway.training.frames import to_dicts

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
        # The only count that may be missing.
        "NumberOfDependents": pa.Column(float, pa.Check.in_range(0, 30), nullable=True),
    }
)


def splits(
    dataset: Dataset, *, seed: int, test_share: float, one_in: int
) -> dict[str, Iterable[tuple[Borrower, bool]]]:
    """Return borrowers, each with whether they defaulted; keep every `one_in`th row."""
    raw = SCHEMA.validate(pd.read_csv(dataset.path("creditscoring1.csv.gz")))
    frame = clean(raw).iloc[::one_in]
    train, test = train_test_split(
        frame, test_size=test_share, random_state=seed, stratify=frame[DEFAULTED]
    )
    return {"train": borrowers(train), "test": borrowers(test)}


def clean(frame: pd.DataFrame) -> pd.DataFrame:
    """Return adults only (one row has age 0), without duplicates, and with debt in dollars.

    Where no income is known, `DebtRatio` holds the debt itself: its median is 1,159, against 0.29
    with an income. Unchanged, the column would reveal whether the income is missing.
    """
    income = frame["MonthlyIncome"].fillna(1.0).clip(lower=1.0)
    with_debt = frame.assign(MonthlyDebt=(frame["DebtRatio"] * income).round(2))
    # 0.4 % of the rows are duplicates, which would otherwise be in both splits.
    return with_debt[with_debt["age"] >= 18].drop_duplicates(list(FIELDS))


def borrowers(frame: pd.DataFrame) -> list[tuple[Borrower, bool]]:
    named = frame.rename(columns=FIELDS)[list(FIELDS.values())]
    named["dependents"] = named["dependents"].astype("Int64")
    return [
        (Borrower(**row), bool(defaulted))
        for row, defaulted in zip(to_dicts(named), frame[DEFAULTED] == 1, strict=True)
    ]
