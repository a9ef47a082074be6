"""Customers from the company's table, split with the same share of leavers in both parts."""

from collections.abc import Iterable

import pandas as pd
import pandera.pandas as pa
from pydantic.alias_generators import to_snake
from sklearn.model_selection import train_test_split

from slipway.datasets import Dataset
from slipway.training.frames import to_dicts

from .model import Customer

CODES = {
    "internet_service": {"No": "none", "DSL": "dsl", "Fiber optic": "fiber_optic"},
    "contract": {
        "Month-to-month": "month_to_month",
        "One year": "one_year",
        "Two year": "two_year",
    },
    "payment_method": {
        "Electronic check": "electronic_check",
        "Mailed check": "mailed_check",
        "Bank transfer (automatic)": "bank_transfer",
        "Credit card (automatic)": "credit_card",
    },
    "gender": {"Female": "female", "Male": "male"},
}
# "No internet service" means "No"; another column has the internet service.
FLAG = {"Yes": True, "No": False, "No internet service": False, "No phone service": False}
FLAGS = [name for name, field in Customer.model_fields.items() if field.annotation is bool]
FLAGS.remove("senior_citizen")  # a number in the table
SCHEMA = pa.DataFrameSchema(
    {
        "customer_id": pa.Column(str, unique=True),
        "senior_citizen": pa.Column(int, pa.Check.isin([0, 1])),
        "tenure": pa.Column(int, pa.Check.in_range(0, 600)),
        "monthly_charges": pa.Column(float, pa.Check.in_range(0, 10_000)),
        "total_charges": pa.Column(float, pa.Check.ge(0), nullable=True),
        "churn": pa.Column(str, pa.Check.isin(["Yes", "No"])),
        **{name: pa.Column(str, pa.Check.isin(list(codes))) for name, codes in CODES.items()},
        **{name: pa.Column(str, pa.Check.isin(list(FLAG))) for name in FLAGS},
    },
    # The table has PaperlessBilling for paperless_billing.
    parsers=pa.Parser(lambda frame: frame.rename(columns=to_snake)),
    checks=[
        # The 11 customers without a total are in their first month.
        pa.Check(lambda frame: frame["total_charges"].isna() == (frame["tenure"] == 0)),
        pa.Check(lambda frame: frame.loc[frame["tenure"] == 0, "churn"] == "No"),
    ],
)


def splits(
    dataset: Dataset, *, seed: int, test_share: float
) -> dict[str, Iterable[tuple[Customer, bool]]]:
    """Return customers by split, labelled with whether they left."""
    raw = pd.read_csv(dataset.path("telco_customer_churn.csv.gz"), na_values={"TotalCharges": " "})
    frame = SCHEMA.validate(raw)
    train, test = train_test_split(
        frame, test_size=test_share, random_state=seed, stratify=frame["churn"]
    )
    return {"train": customers(train), "test": customers(test)}


def customers(table: pd.DataFrame) -> list[tuple[Customer, bool]]:
    """Return the rows of the raw table as labelled records."""
    frame = table.assign(
        **{name: table[name].map(codes) for name, codes in CODES.items()},
        **{name: table[name].map(FLAG) for name in FLAGS},
        senior_citizen=table["senior_citizen"] == 1,
    )
    rows = zip(to_dicts(frame[list(Customer.model_fields)]), table["churn"] == "Yes", strict=True)
    return [(Customer(**row), bool(left)) for row, left in rows]
