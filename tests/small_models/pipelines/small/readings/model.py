"""Are these four temperatures unusual together?

Data: 120 readings of four thermometers made up for the tests, one in six unusual.
Task: detection of outliers.
Model: two principal components, as two ONNX graphs: an encoder and a decoder.
Limits: made up; it says nothing about thermometers.
"""

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, Record, publish

from .scaling import scaled

PLACES = ("left", "right", "front", "back")
# In the units of the scaled readings.
LARGEST = 0.15


class Reading(Record):
    """The temperatures of four places, in degrees."""

    left: float = Field(ge=-50, le=100)
    right: float = Field(ge=-50, le=100)
    front: float = Field(ge=-50, le=100)
    back: float = Field(ge=-50, le=100)


class Finding(Record):
    """True if the reading is unusual."""

    unusual: bool
    distance: float = Field(description="Of the reading from what its two components say")


def readings(records: list[Reading]) -> np.ndarray:
    """Return (rows, 4) float32, scaled."""
    return scaled(np.array([[getattr(each, place) for place in PLACES] for each in records]))


def findings(rows: np.ndarray, decoded: np.ndarray) -> list[Finding]:
    """Return a finding for each reading (rows, 4) and what was decoded of it."""
    distances = np.sqrt(((rows - decoded) ** 2).mean(axis=1)).astype(float)
    return [Finding(unusual=each > LARGEST, distance=each) for each in distances.tolist()]


class Readings(OnnxModel):
    def predict(self, model_input: list[Reading]) -> list[Finding]:
        rows = readings(model_input)
        codes = self.run({"readings": rows}, graph="encoder")["codes"]
        return findings(rows, self.run({"codes": codes}, graph="decoder")["readings"])


publish(Readings())
