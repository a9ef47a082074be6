"""The stream of the electricity market, shared by the tests of its project."""

import pandas as pd

from pipelines.ml.electricity_online import data
from pipelines.ml.electricity_online.model import DAY, Market
from pipelines.ml.electricity_online.window import HalfHour
from slipway.datasets import fetch

ROWS = 1_500


def published_table() -> pd.DataFrame:
    return data.SCHEMA.validate(pd.read_csv(fetch("elec2").path("elec2.csv.gz")))


def labelled_markets(table: pd.DataFrame) -> list[tuple[Market, bool]]:
    """Return the labelled markets of the first rows of the published table."""
    return list(data.markets(data.stream_rows(table.head(ROWS))))


def half_hours_of(table: pd.DataFrame) -> list[HalfHour]:
    """Return the half hours of `labelled_markets`, beginning a day before."""
    return [
        HalfHour(
            half_hour=place % DAY,
            weekday=(place // DAY + data.FIRST_WEEKDAY) % 7,
            price=row["nswprice"],
            demand=row["nswdemand"],
            vic_price=row["vicprice"],
            vic_demand=row["vicdemand"],
            transfer=row["transfer"],
            up=row["class"] == 1,
        )
        for place, row in enumerate(table.head(ROWS).to_dict("records"))
    ][1:]
