"""Which species is this iris?

Data: 150 flowers of three species, measured by Anderson in 1935.
Task: classification.
Model: logistic regression on the measured lengths, as ONNX.
Limits: the starting point that `slipway new` wrote.
"""

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, Record, publish

SPECIES = ("setosa", "versicolor", "virginica")


class Flower(Record):
    """The four measured lengths of a flower, in centimetres."""

    sepal_length: float = Field(gt=0, le=20)
    sepal_width: float = Field(gt=0, le=20)
    petal_length: float = Field(gt=0, le=20)
    petal_width: float = Field(gt=0, le=20)


class Species(Record):
    """The likeliest species."""

    species: str = Field(pattern="^(setosa|versicolor|virginica)$")
    probability: float = Field(ge=0, le=1)


def features(flowers: list[Flower]) -> dict[str, np.ndarray]:
    """Return the lengths (rows, 4) as float32, in centimetres."""
    lengths = [list(flower.model_dump().values()) for flower in flowers]
    return {"numbers": np.array(lengths, dtype=np.float32).reshape(-1, 4)}


def species(probabilities: np.ndarray) -> list[Species]:
    """Return the most probable species from probabilities (rows, 3)."""
    best = probabilities.argmax(axis=1)
    return [
        Species(species=SPECIES[place], probability=float(row[place]))
        for place, row in zip(best, probabilities, strict=True)
    ]


class Skeleton(OnnxModel):
    def predict(self, model_input: list[Flower]) -> list[Species]:
        return species(self.run(features(model_input))["probabilities"])


publish(Skeleton())
