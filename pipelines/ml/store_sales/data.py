"""Split stores into plans from successive origins: half a year of sales and 48 planned days."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pandera.pandas as pa

from slipway.datasets import Dataset

from .model import AHEAD, BACK, HOLIDAYS, LEAST_OPEN, Plan

FIRST = date(2013, 1, 1)
# The file's column Customers is not read, since it is not known in advance.
SCHEMA = pa.DataFrameSchema(
    {
        "Store": pa.Column(int, pa.Check.in_range(1, 1115)),
        "Date": pa.Column("datetime64[ns]"),
        "Sales": pa.Column(int, pa.Check.in_range(1, 100_000)),
        "Promo": pa.Column(int, pa.Check.isin([0, 1])),
        "SchoolHoliday": pa.Column(int, pa.Check.isin([0, 1])),
        "StateHoliday": pa.Column(str, pa.Check.isin(["0", "a", "b", "c"])),
        "StoreType": pa.Column(str, pa.Check.isin(list("abcd"))),
        "Assortment": pa.Column(str, pa.Check.isin(list("abc"))),
        "CompetitionDistance": pa.Column(float, pa.Check.gt(0), nullable=True),
        "CompetitionOpenSinceYear": pa.Column(float, nullable=True),
        "CompetitionOpenSinceMonth": pa.Column(float, nullable=True),
    },
    unique=["Store", "Date"],
)


def splits(
    dataset: Dataset, *, test_from: str, origins: int
) -> dict[str, Iterable[tuple[Plan, list[int]]]]:
    """Return plans, each with the sales of its days, 0 where closed.

    Test plans begin on `test_from`. Training plans begin 48 days before that, 96 days, and so on,
    from `origins` origins, so that no day is in two plans of a store.
    """
    frame = pd.read_parquet(
        dataset.path("rossmann_store_sales.parquet"), columns=list(SCHEMA.columns)
    )
    checked = SCHEMA.validate(frame)
    holiday = checked["StateHoliday"].map(HOLIDAYS.index)
    chain = Chain.from_table(checked.assign(holiday=holiday))
    border = (date.fromisoformat(test_from) - FIRST).days
    before = [border - AHEAD * back for back in range(origins, 0, -1)]
    return {"train": chain.plans(before), "test": chain.plans([border])}


@dataclass(frozen=True)
class Chain:
    """The sales and calendars of all stores, by days since `FIRST`."""

    about: pd.DataFrame
    sales: np.ndarray
    """(stores, days), 0 where closed; the next two have the same shape."""
    school: np.ndarray
    holiday: np.ndarray
    promo: np.ndarray
    """(days,): all stores have their promotions on the same days, even while closed."""

    @classmethod
    def from_table(cls, frame: pd.DataFrame) -> "Chain":
        about = frame.drop_duplicates("Store").sort_values("Store")
        day = (frame["Date"] - pd.Timestamp(FIRST)).dt.days.to_numpy()
        at = np.searchsorted(about["Store"], frame["Store"]), day

        def by_day(column: str) -> np.ndarray:
            values = np.zeros((len(about), day.max() + 1), dtype=frame[column].to_numpy().dtype)
            values[at] = frame[column]
            return values

        promo = by_day("Promo").max(axis=0)
        return cls(about, by_day("Sales"), by_day("SchoolHoliday"), by_day("holiday"), promo)

    def plans(self, origins: list[int]) -> Iterator[tuple[Plan, list[int]]]:
        """Yield plans store by store, from `origins` with enough sales before and some after."""
        for row, (_, about) in enumerate(self.about.iterrows()):
            for origin in origins:
                past, ahead = slice(origin - BACK, origin), slice(origin, origin + AHEAD)
                known, sold = self.sales[row, past], self.sales[row, ahead]
                if (known > 0).sum() < LEAST_OPEN or not sold.any():
                    continue
                first = FIRST + timedelta(days=origin)
                yield (
                    Plan(
                        store=int(about["Store"]),
                        kind=about["StoreType"],
                        assortment=about["Assortment"],
                        **competitor(about, first),
                        sales_before=known.tolist(),
                        promo_before=as_letters(self.promo[past]),
                        first_day=str(first),
                        is_open=as_letters(sold > 0),
                        promo=as_letters(self.promo[ahead]),
                        school_holiday=as_letters(self.school[row, ahead]),
                        state_holiday=as_letters(self.holiday[row, ahead], HOLIDAYS),
                    ),
                    sold.tolist(),
                )


def competitor(about: pd.Series, today: date) -> dict[str, float | None]:
    """Return the competitor's kilometres and months, None if it opens after `today`."""
    year, month = about["CompetitionOpenSinceYear"], about["CompetitionOpenSinceMonth"]
    months = (today.year - year) * 12 + today.month - month
    if months < 0 or np.isnan(about["CompetitionDistance"]):
        return {"competitor_km": None, "competitor_months": None}
    return {
        "competitor_km": float(about["CompetitionDistance"]) / 1000,
        "competitor_months": None if np.isnan(months) else min(float(months), 1200.0),
    }


def as_letters(days: np.ndarray, letters: str = "01") -> str:
    """Return the values of the days as text, each as its letter in `letters`."""
    return "".join(letters[each] for each in days.tolist())
