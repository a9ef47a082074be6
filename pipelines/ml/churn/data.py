"""Customers from the feature store, split with the same share of leavers in both parts."""

from collections.abc import Iterable

import pandas as pd
import pandera.pandas as pa
from sklearn.model_selection import train_test_split

from slipway.datasets import Dataset
from slipway.features import offline
from slipway.features.history import training_set
from slipway.features.tables import TIME, telco_customers
from slipway.training.frames import to_dicts

from .model import Customer

SERVICE, TABLE, KEY = "churn", "telco_customers", "telco_customer_id"
# "No internet service" means "No"; another column has the internet service.
ANSWERS = ["Yes", "No", "No internet service", "No phone service"]
# Checks the raw table, since the store takes every answer but "Yes" for a "No".
SCHEMA = pa.DataFrameSchema(
    {
        "customerID": pa.Column(str, unique=True),
        "SeniorCitizen": pa.Column(int, pa.Check.isin([0, 1])),
        "tenure": pa.Column(int, pa.Check.in_range(0, 600)),
        "MonthlyCharges": pa.Column(float, pa.Check.in_range(0, 10_000)),
        "TotalCharges": pa.Column(float, pa.Check.ge(0), nullable=True),
        "Churn": pa.Column(str, pa.Check.isin(["Yes", "No"])),
        **{
            telco_customers.COLUMNS[name]: pa.Column(str, pa.Check.isin(list(words)))
            for name, words in telco_customers.WORDS.items()
        },
        **{name: pa.Column(str, pa.Check.isin(ANSWERS)) for name in telco_customers.YES_NO},
    },
    checks=[
        # The 11 customers without a total are in their first month.
        pa.Check(lambda frame: frame["TotalCharges"].isna() == (frame["tenure"] == 0)),
        pa.Check(lambda frame: frame.loc[frame["tenure"] == 0, "Churn"] == "No"),
    ],
)


def splits(
    dataset: Dataset, *, seed: int, test_share: float
) -> dict[str, Iterable[tuple[Customer, bool]]]:
    """Return customers by split, labelled with whether they left."""
    raw = pd.read_csv(dataset.path(telco_customers.FILE), na_values={"TotalCharges": " "})
    frame = SCHEMA.validate(raw)
    offline.build(TABLE, dataset=dataset)
    # The file has one moment, at which all its customers are known.
    entities = pd.DataFrame(
        {KEY: frame["customerID"], TIME: telco_customers.COUNTED, "left": frame["Churn"] == "Yes"}
    )
    joined = training_set(SERVICE, entities)
    train, test = train_test_split(
        joined, test_size=test_share, random_state=seed, stratify=joined["left"]
    )
    return {"train": customers(train), "test": customers(test)}


def customers(joined: pd.DataFrame) -> list[tuple[Customer, bool]]:
    """Return the rows of the joined table as labelled records."""
    fields = list(Customer.model_fields)
    return [
        (Customer(**{name: row[name] for name in fields}), bool(row["left"]))
        for row in to_dicts(joined)
    ]
