"""What is the median house of this Californian block worth, by boosting written from scratch?

Data: 20,640 blocks of the census of 1990, some 1,400 people each, with the median value of houses.
Task: regression in dollars.
Model: gradient boosting of decision trees in NumPy (`boosting.py`), the simplest candidate within
one standard error of the best RMSE, as an ONNX tree ensemble.
Limits: one state in 1990. The census cut values off at 500,001 dollars, so the model cannot tell
how much dearer the dearest are. Test blocks lie between training blocks: another state is another
matter, and so is another year.
"""

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, Record, publish

HIGHEST = 500_001.0
# The graph answers in this unit: near 1 float32 is exact to 1e-7.
UNIT = 100_000.0
# By how much the sea is worth, inland least.
OCEAN = ("INLAND", "<1H OCEAN", "NEAR OCEAN", "NEAR BAY", "ISLAND")


class Block(Record):
    """A block group as the census of 1990 counted it."""

    longitude: float = Field(ge=-125, le=-114)
    latitude: float = Field(ge=32, le=42.5)
    house_age: float = Field(ge=0, le=100, description="Median, in years; 52 stands for more")
    rooms: float = Field(ge=1, le=50_000, description="Of all houses together")
    bedrooms: float | None = Field(
        default=None, ge=1, le=10_000, description="Of all houses together; unknown for 1 %"
    )
    population: float = Field(ge=1, le=50_000)
    households: float = Field(ge=1, le=10_000)
    income: float = Field(
        ge=0, le=20, description="Median of the households, in 10,000 dollars; 15 stands for more"
    )
    ocean: str = Field(
        pattern="^(INLAND|<1H OCEAN|NEAR OCEAN|NEAR BAY|ISLAND)$",
        description="Where the sea is; <1H OCEAN is within an hour of it",
    )


class Worth(Record):
    """Dollars of 1990."""

    value: float = Field(gt=0, le=HIGHEST, description="Of the median house")


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
    """Numbers (rows, 14) float32, not-a-number where unknown."""
    numbers = np.empty((len(blocks), len(NUMBERS)), dtype=np.float32)
    for row, each in enumerate(blocks):
        bedrooms = np.nan if each.bedrooms is None else each.bedrooms
        numbers[row] = (
            each.longitude,
            each.latitude,
            # The coast runs from north-west to south-east, where a tree cuts east to west.
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
    """From values in 100,000 dollars (rows,); the lowest in the data is 14,999 dollars."""
    dollars = np.clip(scores.astype(np.float64) * UNIT, 1000.0, HIGHEST)
    return [Worth(value=value) for value in dollars.tolist()]


class BoostingFromScratch(OnnxModel):
    explained = "value"

    def predict(self, model_input: list[Block]) -> list[Worth]:
        return worths(self.run(features(model_input))["scores"][:, 0])


publish(BoostingFromScratch())
