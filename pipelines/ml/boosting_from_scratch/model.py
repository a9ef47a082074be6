"""What is the median house of this Californian block worth, by boosting written from scratch?

Data: 20,640 blocks of the census of 1990, some 1,400 people each, with the median value of houses.
Task: regression in dollars.
Model: gradient boosting of decision trees in NumPy (`boosting.py`), the simplest candidate within
one standard error of the best RMSE, as an ONNX tree ensemble.
Limits: the data are from one state in 1990. The census cut values off at 500,001 dollars, so the
model predicts nothing above that. Test blocks lie between training blocks, so the test says nothing
about other states or years.
"""

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, Record, publish

HIGHEST = 500_001.0
# The unit of the graph's output, in which float32 is exact to 1e-7.
UNIT = 100_000.0
# Ordered by typical house value, the lowest first.
OCEAN = ("INLAND", "<1H OCEAN", "NEAR OCEAN", "NEAR BAY", "ISLAND")


class Block(Record):
    """A block group of the census of 1990."""

    longitude: float = Field(ge=-125, le=-114)
    latitude: float = Field(ge=32, le=42.5)
    house_age: float = Field(ge=0, le=100, description="Median age in years; 52 means 52 or more")
    rooms: float = Field(ge=1, le=50_000, description="Total of all houses")
    bedrooms: float | None = Field(
        default=None, ge=1, le=10_000, description="Total of all houses; unknown for 1 %"
    )
    population: float = Field(ge=1, le=50_000)
    households: float = Field(ge=1, le=10_000)
    income: float = Field(
        ge=0, le=20, description="Median of the households, in 10,000 dollars; 15 means 15 or more"
    )
    ocean: str = Field(
        pattern="^(INLAND|<1H OCEAN|NEAR OCEAN|NEAR BAY|ISLAND)$",
        description="Position relative to the sea; <1H OCEAN is within an hour of it",
    )


class Worth(Record):
    """The predicted value in dollars of 1990."""

    value: float = Field(gt=0, le=HIGHEST, description="Value of the median house")


NUMBERS = (
    "longitude",
    "latitude",
    "longitude_plus_latitude",
    "longitude_minus_latitude",
    "house_age",
    "rooms",
    "bedrooms",
    "population",
    "households",
    "income",
    "rooms_per_household",
    "bedrooms_per_room",
    "people_per_household",
    "ocean",
)


def features(blocks: list[Block]) -> dict[str, np.ndarray]:
    """Return numbers (rows, 14) float32, NaN where unknown."""
    numbers = np.empty((len(blocks), len(NUMBERS)), dtype=np.float32)
    for row, each in enumerate(blocks):
        bedrooms = np.nan if each.bedrooms is None else each.bedrooms
        numbers[row] = (
            each.longitude,
            each.latitude,
            # The coast runs diagonally, and a tree splits only along its features.
            each.longitude + each.latitude,
            each.longitude - each.latitude,
            each.house_age,
            each.rooms,
            bedrooms,
            each.population,
            each.households,
            each.income,
            each.rooms / each.households,
            bedrooms / each.rooms,
            each.population / each.households,
            OCEAN.index(each.ocean),
        )
    return {"numbers": numbers}


def worths(scores: np.ndarray) -> list[Worth]:
    """Return predictions, given values in 100,000 dollars (rows,).

    They are clipped below at 1,000 dollars; the lowest value in the data is 14,999 dollars.
    """
    dollars = np.clip(scores.astype(np.float64) * UNIT, 1000.0, HIGHEST)
    return [Worth(value=value) for value in dollars.tolist()]


class BoostingFromScratch(OnnxModel):
    explained = "value"

    def predict(self, model_input: list[Block]) -> list[Worth]:
        return worths(self.run(features(model_input))["scores"][:, 0])


publish(BoostingFromScratch())
