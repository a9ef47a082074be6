"""Streaming features: markets from the half hours of the past day, with lags and a mean."""

from collections import deque

from pydantic import Field, StrictBool

from slipway.contract import Record

from .model import DAY, Market

WEEK = 7 * DAY


class HalfHour(Record):
    """The measurements of one half hour; fields as in `Market`."""

    half_hour: int = Field(ge=0, lt=DAY)
    weekday: int = Field(ge=0, le=6)
    price: float = Field(ge=0, le=1)
    demand: float = Field(ge=0, le=1)
    vic_price: float = Field(ge=0, le=1)
    vic_demand: float = Field(ge=0, le=1)
    transfer: float = Field(ge=0, le=1)
    up: StrictBool = Field(description="Whether its price was above the mean of the past day")

    @property
    def place(self) -> int:
        """Return its number in the week, 0 to 335."""
        return self.weekday * DAY + self.half_hour


class Window:
    """The half hours of the past day.

    If a half hour is missing, the window starts again, since lags would be wrong. A gap of whole
    weeks is not detected.
    """

    def __init__(self, past: list[HalfHour]) -> None:
        self.past = deque(past, DAY)

    def append(self, now: HalfHour) -> bool:
        """Add a half hour; return whether it directly follows the last one."""
        follows = bool(self.past) and (self.past[-1].place + 1) % WEEK == now.place
        if not follows:
            self.past.clear()
        self.past.append(now)
        return follows

    def market(self) -> Market | None:
        """Return the market at the end of the last half hour; None before a whole day."""
        if len(self.past) < DAY:
            return None
        now, before, yesterday = self.past[-1], self.past[-2], self.past[0]
        mean = sum(each.price for each in self.past) / DAY
        return Market(
            **now.model_dump(exclude={"up"}),
            price_before=before.price,
            price_yesterday=yesterday.price,
            price_day=min(mean, 1.0),
            demand_before=before.demand,
            demand_yesterday=yesterday.demand,
            is_up=now.up,
        )
