"""Which digit do these rows of a picture show, read from the top?

Data: 1,797 handwritten digits of 8x8 pixels, each as a sequence of eight rows.
Task: classification into ten classes; every error costs the same.
Model: a recurrent network that reads row by row, as ONNX.
Limits: a starting point for sequences; pictures have a kit of their own, with better networks.
"""

from pydantic import Field, field_validator

from slipway.contract import OnnxModel, Record, publish
from slipway.kits.classes import ClassRecord
from slipway.kits.sequence.steps import step_batch

LABELS = tuple("0123456789")
STEPS, WIDTH = 8, 8


class Rows(Record):
    """The rows of a picture from the top, each with eight brightnesses from 0 to 1."""

    rows: list[list[float]] = Field(min_length=1, max_length=STEPS)

    @field_validator("rows")
    @classmethod
    def _of_equal_width(cls, rows: list[list[float]]) -> list[list[float]]:
        if any(len(row) != WIDTH for row in rows):
            raise ValueError(f"each row must have {WIDTH} numbers")
        return rows


class Digit(ClassRecord, labels=LABELS):
    """The most probable digit."""


class Skeleton(OnnxModel):
    def predict(self, model_input: list[Rows]) -> list[Digit]:
        feeds = step_batch([each.rows for each in model_input], STEPS)
        return Digit.from_probabilities(self.run({"steps": feeds["steps"]})["probabilities"])


publish(Skeleton())
