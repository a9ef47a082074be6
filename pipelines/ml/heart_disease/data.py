"""Split patients of four hospitals, stratified by hospital and disease."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import pandera.pandas as pa
from sklearn.model_selection import train_test_split

from slipway.datasets import Dataset
from slipway.training.frames import to_dicts

from .model import Patient

FIELDS = {
    "cp": "chest_pain",
    "trestbps": "blood_pressure",
    "chol": "cholesterol",
    "fbs": "high_sugar",
    "restecg": "resting_ecg",
    "thalch": "top_heart_rate",
    "exang": "exercise_angina",
    "oldpeak": "st_depression",
    "slope": "st_slope",
    "ca": "vessels",
    "thal": "thallium",
    "dataset": "hospital",
}
CODES = {
    "sex": {"Male": "male", "Female": "female"},
    "cp": {
        "typical angina": "typical",
        "atypical angina": "atypical",
        "non-anginal": "other",
        "asymptomatic": "none",
    },
    "restecg": {
        "normal": "normal",
        "lv hypertrophy": "hypertrophy",
        "st-t abnormality": "st_abnormal",
    },
    "slope": {"upsloping": "up", "flat": "flat", "downsloping": "down"},
    "thal": {"normal": "normal", "fixed defect": "fixed", "reversable defect": "reversible"},
    "dataset": {
        "Cleveland": "cleveland",
        "Hungary": "hungary",
        "Switzerland": "switzerland",
        "VA Long Beach": "long_beach",
    },
}
SCHEMA = pa.DataFrameSchema(
    {
        "id": pa.Column(int, unique=True),
        "age": pa.Column(int, pa.Check.in_range(18, 110)),
        "chol": pa.Column(float, pa.Check.in_range(0, 700), nullable=True),
        "trestbps": pa.Column(float, pa.Check.in_range(0, 250), nullable=True),
        "num": pa.Column(int, pa.Check.in_range(0, 4)),
        **{
            name: pa.Column(str, pa.Check.isin(list(codes)), nullable=name not in ("sex", "cp"))
            for name, codes in CODES.items()
        },
    }
)
# The package puts Hungary's first patient (28 years) at the end of Cleveland's 303.
MISPLACED = 304


def splits(
    dataset: Dataset, *, seed: int, test_share: float
) -> dict[str, Iterable[tuple[Patient, bool]]]:
    """Return patients, each with whether a vessel was narrowed by half or more (`num` above 0)."""
    frame = clean(SCHEMA.validate(pd.read_csv(dataset.path("heart_disease_uci.csv"))))
    strata = frame["dataset"] + (frame["num"] > 0).astype(str)
    train, test = train_test_split(frame, test_size=test_share, random_state=seed, stratify=strata)
    return {"train": patients(train), "test": patients(test)}


def clean(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows without duplicates, with zeros that mean "not measured" set to NaN.

    All 123 patients of Switzerland have cholesterol 0, and 93 % of them are sick: used as a number,
    it would reveal the hospital.
    """
    frame = frame.copy()
    frame.loc[frame["id"] == MISPLACED, "dataset"] = "Hungary"
    unmeasured = {name: frame[name].replace(0, np.nan) for name in ("chol", "trestbps")}
    return frame.assign(**unmeasured).drop_duplicates(frame.columns.drop("id"))


def patients(frame: pd.DataFrame) -> list[tuple[Patient, bool]]:
    coded = frame.assign(**{name: frame[name].map(codes) for name, codes in CODES.items()})
    records = to_dicts(coded.rename(columns=FIELDS)[list(Patient.model_fields)])
    pairs = zip(records, frame["num"] > 0, strict=True)
    return [(Patient(**row), bool(sick)) for row, sick in pairs]
