"""What is the median house of this Californian block group worth, and how sure is that?

Data: 20,640 block groups of the census of 1990, some 1,400 people each, with the median value of
their houses; eight numbers describe each.
Task: regression in dollars, with an interval that should hold nine values in ten.
Model: a network in torch with one output for the value and two for the ends of the interval, as
ONNX: the simplest recipe within one standard error of the best RMSE on held-out rows. The ends are
moved outwards by as much as rows aside from training need (conformalized quantile regression,
Romano, Patterson and Candes 2019). Linear regression answers beside it.
Limits: one state in 1990. The census cut values off at 500,001 dollars, so no prediction is higher.
Test blocks lie between training blocks, so the test says nothing about other states or years; and
neighbors are alike, which the interval of the metrics does not count. The interval holds nine in
ten of all blocks, not of every kind of block. Not for decisions about people or loans.
"""

import json
from pathlib import Path

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, Record, publish

HIGHEST, LOWEST = 500_001.0, 1_000.0
# The unit of the network's outputs, in which float32 is exact to 1e-7.
UNIT = 100_000.0
INTERVAL = "interval.json"
FIELDS = (
    *("income", "house_age", "rooms_per_household", "bedrooms_per_household"),
    *("population", "people_per_household", "latitude", "longitude"),
)


class BlockGroup(Record):
    """A block group of the census of 1990."""

    income: float = Field(
        ge=0, le=20, description="Median of the households, in 10,000 dollars; 15 means 15 or more"
    )
    house_age: float = Field(ge=0, le=100, description="Median age in years; 52 means 52 or more")
    rooms_per_household: float = Field(ge=0.1, le=200, description="5.2 is typical")
    bedrooms_per_household: float = Field(
        default=1.05, ge=0.1, le=50, description="Unknown for 1 % of the blocks: 1.05, the median"
    )
    population: float = Field(ge=1, le=50_000)
    people_per_household: float = Field(ge=0.1, le=2_000, description="2.8 is typical")
    latitude: float = Field(ge=32, le=42.5, description="Degrees north")
    longitude: float = Field(ge=-125, le=-114, description="Degrees east, below 0")


class BlockValue(Record):
    """The predicted value of the median house, in dollars of 1990."""

    value: float = Field(ge=LOWEST, le=HIGHEST)
    low: float = Field(ge=LOWEST, le=HIGHEST, description="One value in twenty is lower")
    high: float = Field(ge=LOWEST, le=HIGHEST, description="One value in twenty is higher")
    linear_value: float = Field(
        ge=LOWEST, le=HIGHEST, description="The prediction of linear regression, the baseline"
    )


def numbers(blocks: list[BlockGroup]) -> dict[str, np.ndarray]:
    """Return the fields (rows, 8) float32."""
    rows = [[getattr(each, name) for name in FIELDS] for each in blocks]
    return {"numbers": np.array(rows, dtype=np.float32).reshape(-1, len(FIELDS))}


def block_values(outputs: np.ndarray, linear: np.ndarray, widening: float) -> list[BlockValue]:
    """Return predictions, given value, low and high (rows, 3) and the linear value (rows,).

    All are in 100,000 dollars. `widening` moves both ends of the interval outwards; the value is
    always between them.
    """
    value, low, high = outputs.astype(np.float64).T
    low, high = np.minimum(low - widening, value), np.maximum(high + widening, value)
    columns = {"value": value, "low": low, "high": high, "linear_value": linear.astype(np.float64)}
    return BlockValue.from_columns(
        **{name: np.clip(each * UNIT, LOWEST, HIGHEST) for name, each in columns.items()}
    )


class BlockValues(OnnxModel):
    explained = "value"

    def load(self, weights: Path) -> None:
        """Open the graphs, and read by how much the interval is widened."""
        super().load(weights)
        self._widening = float(json.loads((weights / INTERVAL).read_text())["widening"])

    def predict(self, model_input: list[BlockGroup]) -> list[BlockValue]:
        feeds = numbers(model_input)
        outputs, linear = (self.run(feeds, name)["values"] for name in ("model", "linear"))
        return block_values(outputs, linear[:, 0], self._widening)


publish(BlockValues())
