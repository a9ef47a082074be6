"""Customers from the company's table, split so that both parts hold the same share of leavers."""

from collections.abc import Iterable

import pandas as pd
import pandera.pandas as pa
from sklearn.model_selection import train_test_split

from slipway.datasets import Dataset
from slipway.training.tabular import rows

from .model import Customer

FIELDS = {
    "gender": "gender",
    "SeniorCitizen": "senior_citizen",
    "Partner": "partner",
    "Dependents": "dependents",
    "tenure": "tenure",
    "PhoneService": "phone_service",
    "MultipleLines": "multiple_lines",
    "InternetService": "internet_service",
    "OnlineSecurity": "online_security",
    "OnlineBackup": "online_backup",
    "DeviceProtection": "device_protection",
    "TechSupport": "tech_support",
    "StreamingTV": "streaming_tv",
    "StreamingMovies": "streaming_movies",
    "Contract": "contract",
    "PaperlessBilling": "paperless_billing",
    "PaymentMethod": "payment_method",
    "MonthlyCharges": "monthly_charges",
    "TotalCharges": "total_charges",
}
CODES = {
    "InternetService": {"No": "none", "DSL": "dsl", "Fiber optic": "fiber_optic"},
    "Contract": {
        "Month-to-month": "month_to_month",
        "One year": "one_year",
        "Two year": "two_year",
    },
    "PaymentMethod": {
        "Electronic check": "electronic_check",
        "Mailed check": "mailed_check",
        "Bank transfer (automatic)": "bank_transfer",
        "Credit card (automatic)": "credit_card",
    },
    "gender": {"Female": "female", "Male": "male"},
}
# "No internet service" says no more than "No" does beside the column of the internet service.
SERVICES = {"Yes": True, "No": False, "No internet service": False, "No phone service": False}
FLAGS = (
    "Partner",
    "Dependents",
    "PhoneService",
    "MultipleLines",
    "OnlineSecurity",
    "OnlineBackup",
    "DeviceProtection",
    "TechSupport",
    "StreamingTV",
    "StreamingMovies",
    "PaperlessBilling",
)
SCHEMA = pa.DataFrameSchema(
    {
        "customerID": pa.Column(str, unique=True),
        "SeniorCitizen": pa.Column(int, pa.Check.isin([0, 1])),
        "tenure": pa.Column(int, pa.Check.in_range(0, 600)),
        "MonthlyCharges": pa.Column(float, pa.Check.in_range(0, 10_000)),
        "TotalCharges": pa.Column(float, pa.Check.ge(0), nullable=True),
        "Churn": pa.Column(str, pa.Check.isin(["Yes", "No"])),
        **{name: pa.Column(str, pa.Check.isin(list(codes))) for name, codes in CODES.items()},
        **{name: pa.Column(str, pa.Check.isin(list(SERVICES))) for name in FLAGS},
    },
    checks=[
        # The 11 without a sum are those in their first month.
        pa.Check(lambda frame: frame["TotalCharges"].isna() == (frame["tenure"] == 0)),
        pa.Check(lambda frame: frame.loc[frame["tenure"] == 0, "Churn"] == "No"),
    ],
)


def splits(
    dataset: Dataset, *, seed: int, test_share: float
) -> dict[str, Iterable[tuple[Customer, bool]]]:
    """Customers with whether they left."""
    raw = pd.read_csv(dataset.path("telco_customer_churn.csv.gz"), na_values={"TotalCharges": " "})
    frame = SCHEMA.validate(raw)
    train, test = train_test_split(
        frame, test_size=test_share, random_state=seed, stratify=frame["Churn"]
    )
    return {"train": customers(train), "test": customers(test)}


def customers(table: pd.DataFrame) -> list[tuple[Customer, bool]]:
    codes = {name: table[name].map(mapping) for name, mapping in CODES.items()}
    flags = {name: table[name].map(SERVICES) for name in FLAGS}
    senior = {"SeniorCitizen": table["SeniorCitizen"] == 1}
    frame = table.assign(**codes, **flags, **senior).rename(columns=FIELDS)
    left = table["Churn"] == "Yes"
    records = rows(frame[list(FIELDS.values())])
    return [(Customer(**row), bool(gone)) for row, gone in zip(records, left, strict=True)]
