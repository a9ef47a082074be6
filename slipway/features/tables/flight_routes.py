"""Flights of 2001, a row a route and day: the delays that were known on the morning of the day.

A route has a row for each day on which it has flights, and one for the morning after the last day,
which is the newest. Both are computed from flights of earlier days alone.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from slipway.datasets import Dataset
from slipway.features.tables import TIME

DATASET = "us_flights_3m"
KEY = "route"
FILE = "flights-3m.parquet"
FIRST = pd.Timestamp("2001-01-01")  # a Monday
# Of this day the file has six flights, at midnight; it has those of all days before.
END = pd.Timestamp("2001-07-01")
LATE_FROM = 15
DAYS = {"yesterday": 1, "week": 7, "month": 28}
KEYS = {
    "origin": ["origin"],
    "destination": ["destination"],
    "route": ["origin", "destination"],
    "network": [],
}
# Added to the counts of a share, so that no share is 0 or 1, or extreme for few flights.
FLIGHTS, LATE = 5, 1
COUNTS = tuple(f"{group}_flights" for group, keys in KEYS.items() if keys)
SHARES = tuple(f"{group}_{span}" for group in KEYS for span in DAYS)

SCHEMA = pa.schema(
    [
        (KEY, pa.string()),
        (TIME, pa.timestamp("us", tz="UTC")),
        ("origin", pa.string()),
        ("destination", pa.string()),
        ("distance", pa.int64()),
        ("weekday", pa.int64()),
        *((name, pa.float64()) for name in (*COUNTS, *SHARES)),
    ]
)


def rows(dataset: Dataset) -> Iterator[pa.Table]:
    """Yield the whole table in one batch."""
    names = ["origin", "destination"]
    raw = pq.read_table(dataset.path(FILE), read_dictionary=names).to_pandas()
    day = (raw["date"].dt.normalize() - FIRST).dt.days.astype("int32")
    flown = raw[[*names, "distance"]].assign(day=day, late=raw["delay"] > LATE_FROM)
    yield pa.Table.from_pandas(mornings(flown[raw["date"] < END]), SCHEMA, preserve_index=False)


def mornings(flown: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the table, given a row a flight.

    The flights have `origin`, `destination`, `distance`, `day` since `FIRST`, and `late`.
    """
    # The distance is the newest one of the route; the flights are in the order of their time.
    routes = flown.drop_duplicates(KEYS["route"], keep="last")
    after = routes.assign(day=int(flown["day"].max()) + 1, late=False)
    every = pd.concat([flown, after], ignore_index=True)
    # The flights of a day do not count in its own row, so those of `after` count nowhere.
    table = with_history(every).drop_duplicates([*KEYS["route"], "day"], keep="last")
    origin, destination = (table[name].astype(str) for name in KEYS["route"])
    moment = FIRST + pd.to_timedelta(table["day"], unit="D")
    made = table.assign(route=origin + "-" + destination, weekday=table["day"] % 7)
    made[TIME] = moment.dt.tz_localize("UTC")
    rows: pd.DataFrame = made[SCHEMA.names].sort_values([KEY, TIME], ignore_index=True)
    return rows


def with_history(every: pd.DataFrame) -> pd.DataFrame:
    """Return the flights with `COUNTS` and `SHARES` of the days before each, by whole columns."""
    day, late = every["day"].to_numpy(), every["late"].to_numpy()
    days, by_name = int(day.max()) + 1, {}
    for group, keys in KEYS.items():
        places = np.zeros(len(every), dtype=np.int64)
        for key in keys:
            codes, names = pd.factorize(every[key])
            places = places * len(names) + codes
        places, _ = pd.factorize(places)
        cells = places * (days + 1) + day + 1
        size = (int(places.max()) + 1) * (days + 1)
        count, of_late = (
            np.bincount(cells, weights=weights, minlength=size).reshape(-1, days + 1).cumsum(axis=1)
            for weights in (None, late)
        )
        for span, width in DAYS.items():
            since = np.maximum(day - width, 0)
            flown = count[places, day] - count[places, since]
            were = of_late[places, day] - of_late[places, since]
            by_name[f"{group}_{span}"] = (were + LATE) / (flown + FLIGHTS)
            if keys:
                by_name[f"{group}_flights"] = flown / width
    return every.assign(**by_name)
