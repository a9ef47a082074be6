"""Cardholders, labelled with whether they defaulted the month after, split at random."""

from collections.abc import Iterable

import pandas as pd
import pandera.pandas as pa
from sklearn.model_selection import train_test_split

from slipway.datasets import Dataset
from slipway.training.frames import to_dicts

from .model import MONTHS, Cardholder

DEFAULTED = "default.payment.next.month"
# The table calls the last month's delay PAY_0, and has no PAY_1.
# MARRIAGE is left out: it should not decide on credit, and 54 rows have the undocumented value 0.
FIELDS = {
    "LIMIT_BAL": "credit_limit",
    "SEX": "sex",
    "EDUCATION": "education",
    "AGE": "age",
    **{f"PAY_{0 if month == 1 else month}": f"delay_{month}" for month in MONTHS},
    **{f"BILL_AMT{month}": f"bill_{month}" for month in MONTHS},
    **{f"PAY_AMT{month}": f"paid_{month}" for month in MONTHS},
}
# The table also has the undocumented values 0, 5 and 6.
EDUCATION = {1: "graduate_school", 2: "university", 3: "high_school"}
SCHEMA = pa.DataFrameSchema(
    {
        DEFAULTED: pa.Column(int, pa.Check.isin([0, 1])),
        "SEX": pa.Column(int, pa.Check.isin([1, 2])),
        "EDUCATION": pa.Column(int, pa.Check.in_range(0, 6)),
        "AGE": pa.Column(float, pa.Check.in_range(18, 100), nullable=True),
        "ID": pa.Column(int, unique=True),
    }
)


def splits(
    dataset: Dataset, *, seed: int, test_share: float
) -> dict[str, Iterable[tuple[Cardholder, bool]]]:
    """Return labelled cardholders by split.

    Two rows without an age in this copy are left out, and 124 that equal another one in all
    features. Most of those are cards that nobody uses.
    """
    raw = SCHEMA.validate(pd.read_csv(dataset.path("uci_credit_card_default.csv.gz")))
    known = raw.dropna(subset=["AGE"])
    schools = known["EDUCATION"].where(known["EDUCATION"].isin(EDUCATION), 4)
    repeated = known.assign(EDUCATION=schools).duplicated([*set(FIELDS) - {"SEX"}])
    frame = known[~repeated]
    train, test = train_test_split(
        frame, test_size=test_share, random_state=seed, stratify=frame[DEFAULTED]
    )
    return {"train": cardholders(train), "test": cardholders(test)}


def cardholders(frame: pd.DataFrame) -> list[tuple[Cardholder, bool]]:
    """Return the rows of the raw table as labelled records."""
    named = frame[list(FIELDS)].assign(
        SEX=frame["SEX"].map({1: "male", 2: "female"}),
        EDUCATION=frame["EDUCATION"].map(EDUCATION).fillna("other"),
    )
    sent = to_dicts(named.rename(columns=FIELDS))
    return [
        (Cardholder(**row), bool(defaulted))
        for row, defaulted in zip(sent, frame[DEFAULTED] == 1, strict=True)
    ]
