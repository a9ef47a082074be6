"""Which capital letter is this, given 16 numbers about its picture?

Data: 18,668 different letters of 20 fonts, distorted, 26 classes (Frey and Slate 1991).
Task: classification; an AutoML written here searches for the learner and its settings.
Model: a pipeline, as ONNX, found by random search, by Bayesian optimization with a Gaussian process
or by the same with a warm start from earlier tasks: the simplest search within one standard error
of the best.
Limits: the 16 numbers come from Frey and Slate's own program, whose pictures are not published.
"""

from string import ascii_uppercase

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, Record, publish


class Glyph(Record):
    """The picture of a letter as 16 numbers, each scaled to the range 0 to 15."""

    x_box: int = Field(ge=0, le=15, description="Horizontal position of its box")
    y_box: int = Field(ge=0, le=15, description="Vertical position of its box")
    width: int = Field(ge=0, le=15)
    height: int = Field(ge=0, le=15)
    ink: int = Field(ge=0, le=15, description="Pixels that are on")
    x_mean: int = Field(ge=0, le=15, description="Mean of the pixels that are on, in the box")
    y_mean: int = Field(ge=0, le=15)
    x_variance: int = Field(ge=0, le=15)
    y_variance: int = Field(ge=0, le=15)
    xy_correlation: int = Field(ge=0, le=15)
    x2y_mean: int = Field(ge=0, le=15, description="Mean of x squared times y")
    xy2_mean: int = Field(ge=0, le=15, description="Mean of x times y squared")
    x_edges: int = Field(ge=0, le=15, description="Mean edges from left to right")
    x_edges_by_y: int = Field(ge=0, le=15, description="Their correlation with y")
    y_edges: int = Field(ge=0, le=15, description="Mean edges from bottom to top")
    y_edges_by_x: int = Field(ge=0, le=15, description="Their correlation with x")


class Letter(Record):
    """The most probable letter, and the second most probable."""

    letter: str
    probability: float = Field(ge=0, le=1)
    runner_up: str
    runner_up_probability: float = Field(ge=0, le=1)


LETTERS = tuple(ascii_uppercase)
NUMBERS = tuple(Glyph.model_fields)


def features(glyphs: list[Glyph]) -> dict[str, np.ndarray]:
    """Return the numbers (rows, 16) float32."""
    rows = [[getattr(each, name) for name in NUMBERS] for each in glyphs]
    return {"numbers": np.array(rows, dtype=np.float32).reshape(-1, len(NUMBERS))}


def letters(probabilities: np.ndarray) -> list[Letter]:
    """Return predictions, given probabilities (rows, 26)."""
    predictions = []
    for row in probabilities.astype(np.float64).clip(0, 1):
        first, second = np.argsort(-row, kind="stable")[:2]
        predictions.append(
            Letter(
                letter=LETTERS[first],
                probability=row[first],
                runner_up=LETTERS[second],
                runner_up_probability=row[second],
            )
        )
    return predictions


class AutomlFromScratch(OnnxModel):
    explained = "probability"

    def predict(self, model_input: list[Glyph]) -> list[Letter]:
        # The ONNX graph of a network rejects an empty batch.
        return letters(self.run(features(model_input))["probabilities"]) if model_input else []


publish(AutomlFromScratch())
