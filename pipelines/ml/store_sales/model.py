"""What will this store sell on each open day of the next six weeks and more?

Data: 1,115 drug stores of Rossmann in Germany, their open days from January 2013 to July 2015.
Task: forecasts for up to 48 days from half a year of sales and the plan for the days ahead, each
with an interval that is meant to contain the sales 8 times in 10.
Model: gradient boosting, one for all stores, on logarithms relative to the store's level; as ONNX.
The intervals are conformal, with widths proportional to the store's volatility (Papadopoulos et al.
2002).
Limits: one chain in one country, in years without a crisis. The plan does not include a
refurbishment, a new competitor or the weather. A store needs two weeks of its own sales.
"""

import json
from datetime import date
from pathlib import Path

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from slipway.contract import OnnxModel, Record, publish

BACK, AHEAD, WEEKS = 182, 48, 7
LEAST_OPEN = 12
INTERVALS = "intervals.json"
# State holidays: none, public, Easter, Christmas.
HOLIDAYS = "0abc"


class Plan(Record):
    """A store's recent sales and its plan. Texts have one letter per day, the oldest first."""

    store: int = Field(ge=1, description="Its number, which forecasts do not use")
    kind: str = Field(pattern=r"^[abcd]$", description="The chain's type of store")
    assortment: str = Field(pattern=r"^[abc]$", description="Basic, extra or extended")
    competitor_km: float | None = Field(
        default=None, gt=0, le=100, description="To the nearest; null if unknown or not open yet"
    )
    competitor_months: float | None = Field(
        default=None, ge=0, le=1200, description="Since it opened; null if unknown"
    )
    sales_before: list[int] = Field(
        min_length=BACK,
        max_length=BACK,
        description="Turnover on each of the 182 days before, 0 where closed, the oldest first",
    )
    promo_before: str = Field(
        pattern=r"^[01]{182}$", description="1 where the store had a promotion, for the same days"
    )
    first_day: str = Field(
        pattern=r"^\d{4}-\d{2}-\d{2}$", description="The first day to forecast, like 2015-06-14"
    )
    is_open: str = Field(
        pattern=r"^[01]{1,48}$", description="1 where it will be open: 1 to 48 days from the first"
    )
    promo: str = Field(pattern=r"^[01]{1,48}$", description="1 where a promotion is planned")
    school_holiday: str = Field(pattern=r"^[01]{1,48}$", description="1 where schools are closed")
    state_holiday: str = Field(
        pattern=r"^[0abc]{1,48}$", description="a: public, b: Easter, c: Christmas, 0: none"
    )

    @field_validator("first_day")
    @classmethod
    def is_in_the_calendar(cls, value: str) -> str:
        date.fromisoformat(value)
        return value

    # A validator, because MLflow's signature has no constraints on the items of a list.
    @field_validator("sales_before")
    @classmethod
    def has_enough_open_days(cls, value: list[int]) -> list[int]:
        if not all(0 <= each <= 100_000 for each in value):
            raise ValueError("sales_before must be 0 to 100000 each, and 0 where it was closed")
        if (known := sum(each > 0 for each in value)) < LEAST_OPEN:
            raise ValueError(f"sales_before must hold {LEAST_OPEN} open days or more, got {known}")
        return value

    @field_validator("promo", "school_holiday", "state_holiday")
    @classmethod
    def is_as_long_as_the_plan(cls, value: str, info: ValidationInfo) -> str:
        planned = len(info.data.get("is_open", value))
        if len(value) != planned:
            raise ValueError(
                f"{info.field_name} must have a letter for each of the {planned} days of is_open, "
                f"got {len(value)}"
            )
        return value


class Forecast(Record):
    """The forecast for each planned day, 0 where closed."""

    sales: list[float] = Field(description="Turnover")
    low: list[float] = Field(description="1 day in 10 should lie below; more did in testing")
    high: list[float] = Field(description="1 day in 10 should lie above")


NUMBERS = (
    "days_ahead",
    "weekday",
    "day_of_month",
    "days_to_month_end",
    "day_of_year",
    "promo",
    "promo_a_week_before",
    "promo_yesterday",
    "school_holiday",
    "state_holiday",
    "closed_before",
    "closed_after",
    "kind",
    "assortment",
    "log_competitor_km",
    "competitor_months",
    "level",
    "moved_two_weeks",
    "moved_half_year",
    "spread",
    "promo_effect",
    "alike_lately",
    "alike_half_year",
    "weekday_half_year",
)
LEVEL, SPREAD, ALIKE = (NUMBERS.index(each) for each in ("level", "spread", "alike_lately"))
# Half-life of a sale in recent means, in days.
HALF = 28
# Weight, in days, of the store's general sales in means of few similar days.
PRIOR = 0.5


def letters(texts: list[str], width: int) -> np.ndarray:
    """Return codes (rows, width) int of the texts, 1 for 1 or a; missing letters become 0."""
    codes = {"0": 0, "1": 1, "a": 1, "b": 2, "c": 3}
    return np.array([[codes[each] for each in text.ljust(width, "0")] for text in texts]).reshape(
        -1, width
    )


def shrunk_mean(logs: np.ndarray, weights: np.ndarray, instead: np.ndarray) -> np.ndarray:
    """Return weighted means (rows,), shrunk to `instead` where the weights are small."""
    total = (np.nan_to_num(logs) * weights).sum(axis=1) + PRIOR * instead
    return np.asarray(total / (weights.sum(axis=1) + PRIOR))


def run_before(closed: np.ndarray) -> np.ndarray:
    """Return how many days in a row were closed just before each day (rows, days)."""
    runs = np.zeros(closed.shape, dtype=np.int64)
    for day in range(1, closed.shape[1]):
        runs[:, day] = np.where(closed[:, day - 1], runs[:, day - 1] + 1, 0)
    return runs


def history(plans: list[Plan], first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return features of the half year, per store (rows, 5) and per weekday (rows, 7, 2, 3).

    The former go from `level` to `promo_effect`; the latter are without and with promotion,
    relative to the level.
    """
    sales = np.array([each.sales_before for each in plans], dtype=np.float64)
    logs = np.log(np.where(sales > 0, sales, np.nan))
    known = np.isfinite(logs).astype(float)
    promo = letters([each.promo_before for each in plans], BACK)
    weekday = (first[:, None] + np.arange(-BACK, 0) - 1) % 7
    lately = known * 0.5 ** (np.arange(BACK, 0, -1) / HALF)
    flat = np.nanmean(logs, axis=1)
    level = shrunk_mean(logs, lately, flat)
    logs = logs - level[:, None]
    none = np.zeros(len(plans))
    with_promo, without = (shrunk_mean(logs, known * (promo == each), none) for each in (1, 0))
    cells = np.empty((len(plans), 7, 2, 3))
    for each in range(7):
        same = weekday == each
        cells[:, each, :, 2] = shrunk_mean(logs, known * same, none)[:, None]
        for on, instead in ((0, without), (1, with_promo)):
            alike = same & (promo == on)
            cells[:, each, on, 1] = shrunk_mean(logs, known * alike, instead)
            cells[:, each, on, 0] = shrunk_mean(logs, lately * alike, cells[:, each, on, 1])
    rows = np.arange(len(plans))[:, None]
    rest = logs - cells[rows, weekday, promo, 1]
    spread = np.sqrt(shrunk_mean(rest**2, known, np.full(len(plans), 0.02)))
    fresh = known * (np.arange(BACK) >= BACK - 14)
    moved = shrunk_mean(rest, fresh, none)
    return np.stack([level, moved, flat - level, spread, with_promo - without], axis=1), cells


def features(plans: list[Plan]) -> dict[str, np.ndarray]:
    """Return numbers (days, 24) float32, a row for each day planned open, plan by plan.

    They are rounded, so that float32 and float64 agree at a tree's threshold.
    """
    if not plans:
        return {"numbers": np.empty((0, len(NUMBERS)), dtype=np.float32)}
    first = np.array([date.fromisoformat(each.first_day).toordinal() for each in plans])
    opened, promo, school, holiday = (
        letters([getattr(each, name) for each in plans], AHEAD)
        for name in ("is_open", "promo", "school_holiday", "state_holiday")
    )
    store, cells = history(plans, first)
    row, ahead = np.nonzero(opened)
    day = first[row] + ahead
    calendar = np.array(day - 1, dtype="timedelta64[D]") + np.datetime64("0001-01-01")
    month, year = calendar.astype("datetime64[M]"), calendar.astype("datetime64[Y]")
    weekday, on = (day - 1) % 7, promo[row, ahead]
    before = np.array([[each > 0 for each in plan.sales_before] for plan in plans])
    # The days after the plan are unknown and count as open.
    length = np.array([len(each.is_open) for each in plans])
    closed = np.hstack([~before, (opened == 0) & (np.arange(AHEAD) < length[:, None])])
    promos = np.hstack([letters([each.promo_before for each in plans], BACK), promo])
    about = np.array(
        [
            (
                "abcd".index(each.kind),
                "abc".index(each.assortment),
                np.log(each.competitor_km or 100),
                60 if each.competitor_months is None else min(each.competitor_months, 60),
            )
            for each in plans
        ]
    )
    columns = [
        ahead,
        weekday,
        (calendar - month).astype(int),
        ((month + 1).astype("datetime64[D]") - calendar).astype(int),
        (calendar - year).astype(int),
        on,
        promos[row, BACK + ahead - 7],
        promos[row, BACK + ahead - 1],
        school[row, ahead],
        holiday[row, ahead],
        np.minimum(run_before(closed)[row, BACK + ahead], 30),
        np.minimum(run_before(closed[:, ::-1])[:, ::-1][row, BACK + ahead], 30),
        about[row],
        store[row],
        cells[row, weekday, on],
    ]
    return {"numbers": np.column_stack(columns).round(4).astype(np.float32)}


def forecasts(
    plans: list[Plan], numbers: np.ndarray, relative: np.ndarray, bounds: dict[str, list[float]]
) -> list[Forecast]:
    """Return forecasts from `features` (days, 24) and logarithms relative to the level (days,).

    `bounds` says how many spreads below and above them an interval ends, by the week ahead (7).
    """
    week = (numbers[:, 0] // 7).astype(int)
    logs = relative.astype(np.float64) + numbers[:, LEVEL]
    ends = [np.array(bounds[side])[week] * numbers[:, SPREAD] for side in ("low", "high")]
    days = np.exp(np.stack([logs, *(logs + each for each in ends)], axis=1))
    result, place = [], 0
    for plan in plans:
        opened = np.array([each == "1" for each in plan.is_open])
        whole = np.zeros((len(opened), 3))
        whole[opened] = days[place : place + opened.sum()]
        place += opened.sum()
        sales, low, high = whole.T.tolist()
        result.append(Forecast(sales=sales, low=low, high=high))
    return result


class StoreSales(OnnxModel):
    def load(self, weights: Path) -> None:
        super().load(weights)
        self._bounds = json.loads((weights / INTERVALS).read_text())

    def predict(self, model_input: list[Plan]) -> list[Forecast]:
        blocks = features(model_input)
        relative = self.run(blocks)["variable"].ravel()
        return forecasts(model_input, blocks["numbers"], relative, self._bounds)


publish(StoreSales())
