"""Which handwritten digit does this picture show, and what do simpler networks make of it?

Data: MNIST, 70,000 grey 28x28 pictures of digits, 10,000 of them for the test, written by other
people than the training pictures.
Task: classification into ten classes; every error costs the same.
Model: a small convolutional network in torch, as ONNX: the simplest recipe within one standard
error of the best accuracy on held-out rows. Beside it a logistic regression, a network without
convolutions, and a convolutional network that was trained against attacks.
Limits: one digit a picture, upright, without a frame or lines. The picture is cropped and centered
first, so size, place and colors do not matter; a letter, a scribble or an empty sheet also gets a
digit. A change of each pixel that people hardly notice can change the answer: compare
`defended_label`. The pictures are from the United States around 1990. MNIST's file does not say who
wrote what, so the interval counts each picture as independent. The report's study of letters uses
synthetic ones, drawn with fonts; the served model reads digits alone.
"""

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, publish
from slipway.kits.classes import ClassRecord
from slipway.kits.drawings import digit_batch, digit_pixels, drawing_features
from slipway.kits.images import ImageRecord

LABELS = tuple("0123456789")
ONE_DIGIT = "^[0-9]$"
# The graphs beside `model.onnx`, each with the field of its answer.
OTHERS = {"linear": "linear_label", "mlp": "mlp_label", "defended": "defended_label"}


class Handwriting(ImageRecord, size=(28, 28), mode="L", max_side=4096, draw=True, capture=True):
    """A picture of one digit: drawn, photographed or scanned, light on dark or dark on light."""


class WrittenDigit(ClassRecord, labels=LABELS):
    """The most probable digit."""

    mlp_label: str = Field(pattern=ONE_DIGIT, description="By a network without convolutions")
    linear_label: str = Field(pattern=ONE_DIGIT, description="By logistic regression, the baseline")
    defended_label: str = Field(
        pattern=ONE_DIGIT, description="By a network that was trained against attacks"
    )


def written_digits(probabilities: np.ndarray, others: dict[str, np.ndarray]) -> list[WrittenDigit]:
    """Return predictions, given the probabilities (rows, 10) of each network."""
    places = {OTHERS[name]: each.argmax(axis=1).tolist() for name, each in others.items()}
    return [
        WrittenDigit(
            label=LABELS[int(np.argmax(row))],
            probability=max(row),
            probabilities=dict(zip(LABELS, row, strict=True)),
            **{name: LABELS[each[number]] for name, each in places.items()},
        )
        for number, row in enumerate(probabilities.tolist())
    ]


class DigitReader(OnnxModel):
    def predict(self, model_input: list[Handwriting]) -> list[WrittenDigit]:
        feeds = digit_batch(model_input)
        found = {name: self.run(feeds, name)["probabilities"] for name in ("model", *OTHERS)}
        return written_digits(found.pop("model"), found)

    def monitoring_features(
        self, records: list[Handwriting], predictions: list[WrittenDigit]
    ) -> dict[str, np.ndarray]:
        """Return the ink and the width of each digit, (rows,) each."""
        return drawing_features(digit_pixels(records))


publish(DigitReader())
