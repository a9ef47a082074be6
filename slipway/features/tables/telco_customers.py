"""Telco customers, one row each: the file is a single count, so there is one moment to join at."""

from collections.abc import Iterator

import pandas as pd
import pyarrow as pa

from slipway.datasets import Dataset
from slipway.features.tables import TIME

DATASET = "telco_customer_churn"
KEY = "telco_customer_id"
FILE = "telco_customer_churn.csv.gz"
# The file bears no date; IBM published it in 2017.
COUNTED = pd.Timestamp("2017-01-01", tz="UTC")

YES_NO = {
    "Partner": "partner",
    "Dependents": "dependents",
    "PhoneService": "phone_service",
    "MultipleLines": "multiple_lines",
    "OnlineSecurity": "online_security",
    "OnlineBackup": "online_backup",
    "DeviceProtection": "device_protection",
    "TechSupport": "tech_support",
    "StreamingTV": "streaming_tv",
    "StreamingMovies": "streaming_movies",
    "PaperlessBilling": "paperless_billing",
}
WORDS = {
    "gender": {"Female": "female", "Male": "male"},
    "internet_service": {"DSL": "dsl", "Fiber optic": "fiber_optic", "No": "none"},
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
}
COLUMNS = {
    "gender": "gender",
    "internet_service": "InternetService",
    "contract": "Contract",
    "payment_method": "PaymentMethod",
}

SCHEMA = pa.schema(
    [
        (KEY, pa.string()),
        (TIME, pa.timestamp("us", tz="UTC")),
        *((name, pa.string()) for name in WORDS),
        ("senior_citizen", pa.bool_()),
        *((name, pa.bool_()) for name in YES_NO.values()),
        ("tenure", pa.int64()),
        ("monthly_charges", pa.float64()),
        ("total_charges", pa.float64()),
    ]
)


def rows(dataset: Dataset) -> Iterator[pa.Table]:
    """The whole table in one batch; whoever has not been billed yet has no total charges."""
    raw = pd.read_csv(dataset.path(FILE))
    made = {
        KEY: raw["customerID"],
        TIME: COUNTED,
        "senior_citizen": raw["SeniorCitizen"] == 1,
        "tenure": raw["tenure"],
        "monthly_charges": raw["MonthlyCharges"],
        "total_charges": pd.to_numeric(raw["TotalCharges"].replace(" ", None)),
        **{name: raw[column] == "Yes" for column, name in YES_NO.items()},
        **{name: raw[COLUMNS[name]].map(words) for name, words in WORDS.items()},
    }
    frame = pd.DataFrame(made).sort_values(KEY)
    yield pa.Table.from_pandas(frame, SCHEMA, preserve_index=False)
