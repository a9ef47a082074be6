"""Is this breast tumour malignant?

Data: 569 tumours of the Wisconsin diagnostic study (1995), 37 % malignant.
Task: binary classification; what matters here is its cost, 30 numbers in and 100 trees.
Model: gradient boosting of 100 trees.
Limits: a load for measuring servers, not a medical device.
"""

from operator import attrgetter
from typing import Annotated

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, Record, publish

Measure = Annotated[float, Field(ge=0)]


class Tumour(Record):
    """Cell nuclei in a needle biopsy: mean, standard error and worst of ten measures each."""

    mean_radius: Measure
    mean_texture: Measure
    mean_perimeter: Measure
    mean_area: Measure
    mean_smoothness: Measure
    mean_compactness: Measure
    mean_concavity: Measure
    mean_concave_points: Measure
    mean_symmetry: Measure
    mean_fractal_dimension: Measure
    radius_error: Measure
    texture_error: Measure
    perimeter_error: Measure
    area_error: Measure
    smoothness_error: Measure
    compactness_error: Measure
    concavity_error: Measure
    concave_points_error: Measure
    symmetry_error: Measure
    fractal_dimension_error: Measure
    worst_radius: Measure
    worst_texture: Measure
    worst_perimeter: Measure
    worst_area: Measure
    worst_smoothness: Measure
    worst_compactness: Measure
    worst_concavity: Measure
    worst_concave_points: Measure
    worst_symmetry: Measure
    worst_fractal_dimension: Measure


class Diagnosis(Record):
    malignant: bool
    probability: float = Field(ge=0, le=1, description="Probability of malignancy")


FIELDS = tuple(Tumour.model_fields)
_numbers = attrgetter(*FIELDS)


def features(tumours: list[Tumour]) -> np.ndarray:
    """Return (rows, 30) float32, in the order of the fields."""
    return np.array([_numbers(each) for each in tumours], dtype=np.float32)


def diagnoses(probabilities: np.ndarray) -> list[Diagnosis]:
    """Return diagnoses for the probabilities of malignancy (rows,)."""
    return [Diagnosis(malignant=p >= 0.5, probability=p) for p in probabilities.tolist()]


class Cancer(OnnxModel):
    def predict(self, model_input: list[Tumour]) -> list[Diagnosis]:
        return diagnoses(self._probabilities(features(model_input)))

    def predict_columns(self, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        numbers = np.empty((len(columns[FIELDS[0]]), len(FIELDS)), dtype=np.float32)
        for place, name in enumerate(FIELDS):
            numbers[:, place] = columns[name]
        probabilities = self._probabilities(numbers)
        return {"malignant": probabilities >= 0.5, "probability": probabilities}

    def _probabilities(self, numbers: np.ndarray) -> np.ndarray:
        return self.run({"numbers": numbers})["probabilities"][:, 1]


publish(Cancer())
