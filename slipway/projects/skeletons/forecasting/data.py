"""Windows of Seattle's temperatures; the last year is the test."""

import pandas as pd
import pandera.pandas as pa

from slipway.datasets import Dataset
from slipway.kits.forecasting.windows import windows

from .model import AHEAD, PAST, Weeks

SCHEMA = pa.DataFrameSchema(
    {"date": pa.Column(pa.DateTime, unique=True), "temp_max": pa.Column(float)}, coerce=True
)
Rows = list[tuple[Weeks, list[float]]]


def splits(dataset: Dataset, *, test_days: int) -> dict[str, Rows]:
    """Return windows in the order of time, with the temperatures of the days ahead as labels."""
    frame = SCHEMA.validate(pd.read_csv(dataset.path("seattle-weather.csv")))
    rows = [
        (Weeks(temperatures=past.tolist(), day_of_year=frame["date"][place].dayofyear), ahead)
        for place, past, ahead in windows(frame["temp_max"].to_numpy(), PAST, AHEAD)
    ]
    labelled = [(record, ahead.tolist()) for record, ahead in rows]
    # A gap, so that no day ahead of a training row is in a test row.
    return {"train": labelled[: -test_days - AHEAD], "test": labelled[-test_days:]}
