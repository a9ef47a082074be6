"""How warm will the next seven days in Seattle be?

Data: the highest temperature of each day in Seattle, 2012 to 2015.
Task: forecast of seven days; an error costs its size.
Model: a small network of the last 28 days and the time of the year, as ONNX.
Limits: a starting point; it knows nothing of the weather but these temperatures.
"""

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, Record, publish

PAST, AHEAD = 28, 7


class Weeks(Record):
    """The last four weeks, the oldest day first."""

    temperatures: list[float] = Field(min_length=PAST, max_length=PAST, description="Celsius")
    day_of_year: int = Field(ge=1, le=366, description="Of the first day of the forecast")


class Week(Record):
    """The forecast of the next seven days."""

    temperatures: list[float] = Field(description="Celsius, the next day first")


def features(records: list[Weeks]) -> dict[str, np.ndarray]:
    """Return numbers (rows, 30) float32: temperatures in 10 degrees, sine and cosine of the day."""
    past = np.array([each.temperatures for each in records], dtype=np.float32) / 10
    turn = 2 * np.pi * np.array([[each.day_of_year] for each in records]) / 365.25
    return {"numbers": np.hstack([past, np.sin(turn), np.cos(turn)]).astype(np.float32)}


def weeks(records: list[Weeks], outputs: dict[str, np.ndarray]) -> list[Week]:
    """Return predictions, given forecasts (rows, 7) in Celsius."""
    return [Week(temperatures=row) for row in outputs["forecast"].tolist()]


class Skeleton(OnnxModel):
    def predict(self, model_input: list[Weeks]) -> list[Week]:
        return weeks(model_input, self.run(features(model_input)))


publish(Skeleton())
