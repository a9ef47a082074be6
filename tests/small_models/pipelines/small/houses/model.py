"""What would this house sell for?

Data: 200 houses made up for the tests, with their prices.
Task: regression.
Model: least squares on area, rooms and whether the house stands alone, as an ONNX graph.
Limits: made up; it says nothing about houses.
"""

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, Record, publish

FEATURES = ("area", "rooms", "detached")


class House(Record):
    """A house for sale; every field is a number or a flag, and required."""

    area: float = Field(ge=10, le=1000, description="Square metres")
    rooms: int = Field(ge=1, le=50)
    detached: bool


class Price(Record):
    """The price that the house is likely to have."""

    price: float = Field(description="Thousands")


class Houses(OnnxModel):
    def predict(self, model_input: list[House]) -> list[Price]:
        rows = [[float(getattr(each, name)) for name in FEATURES] for each in model_input]
        columns = dict(zip(FEATURES, np.array(rows).reshape(-1, len(FEATURES)).T, strict=True))
        return Price.from_columns(**self.predict_columns(columns))

    def predict_columns(self, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        matrix = np.stack([columns[name] for name in FEATURES], axis=1).astype(np.float32)
        return {"price": self.run({"features": matrix})["price"][:, 0].astype(np.float64)}


publish(Houses())
