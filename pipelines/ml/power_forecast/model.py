"""How much power will this household draw in each of the next 24 hours?

Data: one house near Paris, its mean power of every hour from December 2006 to November 2010.
Task: forecasts for 24 hours from the week before, each with an interval meant to contain the power
8 times in 10.
Model: gradient boosting on lags and the calendar, one graph for all hours ahead; as ONNX. The
intervals are conformal, by the hour of the day (Vovk, Gammerman and Shafer 2005, 4.6).
Limits: one household; others differ. Holidays and guests are not known in advance, so the model
notices an empty or a full house only from the last hours.
"""

import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from pydantic import Field, field_validator

from slipway.contract import OnnxModel, Record, publish

BACK, AHEAD, DAYS = 168, 24, 7
HOUR = "%Y-%m-%dT%H:00"
INTERVALS = "intervals.json"
MISSED = 0.1  # the intended share of hours on either side of an interval
# Lower values are raised to this before the logarithm. The house always draws 0.1 or more.
LEAST = 0.05
# In no minute of four years did the house draw more than 11.2.
MOST = 20


class History(Record):
    """The week before the request, hour by hour."""

    first_hour: str = Field(
        # Not \d, which matches digits of all scripts; years after 9999 cannot be parsed.
        pattern="^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:00$",
        description="The first hour to forecast, in local time, like 2010-05-01T18:00",
    )
    kilowatts: list[float] = Field(
        min_length=BACK,
        max_length=BACK,
        description="Mean power in each of the 168 hours before, 0 to 20, the oldest first",
    )

    @field_validator("first_hour")
    @classmethod
    def is_in_the_calendar(cls, value: str) -> str:
        datetime.strptime(value, HOUR)
        return value

    # A validator, because MLflow's signature has no constraints on the items of a list.
    @field_validator("kilowatts")
    @classmethod
    def is_a_possible_power(cls, value: list[float]) -> list[float]:
        for place, each in enumerate(value):
            if not 0 <= each <= MOST:
                raise ValueError(f"hour {place} must be 0 to {MOST} kilowatts, got {each:g}")
        return value


class Forecast(Record):
    """The next 24 hours, the nearest first."""

    kilowatts: list[float] = Field(description="Median")
    low: list[float] = Field(description="The power is below this 1 time in 10")
    high: list[float] = Field(description="The power is above this 1 time in 10")


NUMBERS = (
    "hours_ahead",
    "hour",
    "hour_sine",
    "hour_cosine",
    "weekday",
    "is_weekend",
    "season_sine",
    "season_cosine",
    *(f"days_back_{day}" for day in range(1, DAYS + 1)),
    "days_mean",
    "days_spread",
    "beside_yesterday",
    "beside_last_week",
    "hours_back_1",
    "hours_back_2",
    "hours_back_3",
    "mean_6",
    "mean_24",
    "mean_168",
)


def logged(kilowatts: np.ndarray) -> np.ndarray:
    """Return logarithms of kilowatts, on whose scale errors do not grow with the power."""
    return np.asarray(np.log(np.maximum(kilowatts, LEAST)))


def forecast_calendar(histories: list[History]) -> np.ndarray:
    """Return hour of day, weekday and day of year of each forecast hour: (rows, 24, 3) int."""
    calendar = np.empty((len(histories), AHEAD, 3), dtype=np.int64)
    for row, each in enumerate(histories):
        first = datetime.strptime(each.first_hour, HOUR)
        for ahead in range(AHEAD):
            time = first + timedelta(hours=ahead)
            calendar[row, ahead] = time.hour, time.weekday(), time.timetuple().tm_yday
    return calendar


def features(histories: list[History]) -> dict[str, np.ndarray]:
    """Return numbers (24 * rows, 24) float32, a row per hour to forecast, the nearest first."""
    past = logged(np.array([each.kilowatts for each in histories]).reshape(-1, BACK))
    calendar, rows = forecast_calendar(histories), len(histories)
    hour, weekday, day = (calendar[:, :, place] for place in range(3))
    # For each forecast hour, the same hour of the last seven days, yesterday first.
    days = past.reshape(rows, DAYS, AHEAD)[:, ::-1].transpose(0, 2, 1)
    padded = np.pad(past, ((0, 0), (1, 1)), mode="edge")
    beside = (padded[:, :-2] + past + padded[:, 2:]).reshape(rows, DAYS, AHEAD) / 3

    def repeated(value: np.ndarray) -> np.ndarray:
        return np.repeat(value[:, None], AHEAD, axis=1)

    columns = [
        np.broadcast_to(np.arange(1, AHEAD + 1), (rows, AHEAD)),
        hour,
        np.sin(2 * np.pi * hour / 24),
        np.cos(2 * np.pi * hour / 24),
        weekday,
        weekday >= 5,
        np.sin(2 * np.pi * day / 365.25),
        np.cos(2 * np.pi * day / 365.25),
        *(days[:, :, back] for back in range(DAYS)),
        days.mean(axis=2),
        days.std(axis=2),
        beside[:, -1],
        beside[:, 0],
        *(repeated(past[:, -back]) for back in (1, 2, 3)),
        *(repeated(past[:, -back:].mean(axis=1)) for back in (6, 24, BACK)),
    ]
    numbers = np.stack(columns, axis=2).astype(np.float32)
    return {"numbers": numbers.reshape(-1, len(NUMBERS))}


def forecasts(
    histories: list[History], logs: np.ndarray, bounds: dict[str, list[float]]
) -> list[Forecast]:
    """Return forecasts from logarithms (rows, 24) and the distances of `bounds` by hour of day."""
    hour = forecast_calendar(histories)[:, :, 0]
    kilowatts = np.exp(logs)
    low = np.exp(logs + np.array(bounds["low"])[hour])
    high = np.exp(logs + np.array(bounds["high"])[hour])
    return Forecast.from_columns(kilowatts=kilowatts, low=low, high=high)


class PowerForecast(OnnxModel):
    def load(self, weights: Path) -> None:
        super().load(weights)
        self._bounds = json.loads((weights / INTERVALS).read_text())

    def predict(self, model_input: list[History]) -> list[Forecast]:
        logs = self.run(features(model_input))["variable"].reshape(-1, AHEAD)
        return forecasts(model_input, logs.astype(np.float64), self._bounds)


publish(PowerForecast())
