"""Each store with its last half year and its plan for 48 days, from one origin after another."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pandera.pandas as pa

from slipway.datasets import Dataset

from .model import AHEAD, BACK, HOLIDAYS, LEAST_OPEN, Plan

FIRST = date(2013, 1, 1)
# Customers stands in the file too, and is not read: nobody knows it ahead.
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
    """Plans with what was sold, 0 where closed. The test's begin on `test_from`; training's begin
    48 days before that and so on, `origins` of them, so that no day is in two plans of a store."""
    frame = pd.read_parquet(
        dataset.path("rossmann_store_sales.parquet"), columns=list(SCHEMA.columns)
    )
    checked = SCHEMA.validate(frame)
    holiday = checked["StateHoliday"].map(HOLIDAYS.index)
    chain = Chain.of(checked.assign(holiday=holiday))
    border = (date.fromisoformat(test_from) - FIRST).days
    before = [border - AHEAD * back for back in range(origins, 0, -1)]
    return {"train": chain.plans(before), "test": chain.plans([border])}


@dataclass(frozen=True)
class Chain:
    """All stores (stores, ...), by their days since `FIRST`."""

    about: pd.DataFrame
    sales: np.ndarray
    """(stores, days), 0 where closed; so the next two."""
    school: np.ndarray
    holiday: np.ndarray
    promo: np.ndarray
    """(days,): stores have their promotions on the same days, also those that are closed."""

    @classmethod
    def of(cls, frame: pd.DataFrame) -> "Chain":
        about = frame.drop_duplicates("Store").sort_values("Store")
        day = (frame["Date"] - pd.Timestamp(FIRST)).dt.days.to_numpy()
        at = np.searchsorted(about["Store"], frame["Store"]), day

        def laid_out(column: str) -> np.ndarray:
            found = np.zeros((len(about), day.max() + 1), dtype=frame[column].to_numpy().dtype)
            found[at] = frame[column]
            return found

        promo = laid_out("Promo").max(axis=0)
        return cls(about, laid_out("Sales"), laid_out("SchoolHoliday"), laid_out("holiday"), promo)

    def plans(self, origins: list[int]) -> Iterator[tuple[Plan, list[int]]]:
        """Store by store, from `origins` at which enough was sold and something is planned."""
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
                        promo_before=written(self.promo[past]),
                        first_day=str(first),
                        is_open=written(sold > 0),
                        promo=written(self.promo[ahead]),
                        school_holiday=written(self.school[row, ahead]),
                        state_holiday=written(self.holiday[row, ahead], HOLIDAYS),
                    ),
                    sold.tolist(),
                )


def competitor(about: pd.Series, today: date) -> dict[str, float | None]:
    """Kilometres and months; one that opens later is not known yet."""
    year, month = about["CompetitionOpenSinceYear"], about["CompetitionOpenSinceMonth"]
    months = (today.year - year) * 12 + today.month - month
    if months < 0 or np.isnan(about["CompetitionDistance"]):
        return {"competitor_km": None, "competitor_months": None}
    return {
        "competitor_km": float(about["CompetitionDistance"]) / 1000,
        "competitor_months": None if np.isnan(months) else min(float(months), 1200.0),
    }


def written(days: np.ndarray, letters: str = "01") -> str:
    """A letter a day, by their places in `letters`."""
    return "".join(letters[each] for each in days.tolist())
