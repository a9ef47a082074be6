"""Which digit is drawn here, by a network written from scratch in NumPy?

Data: MNIST, 70,000 grey 28x28 pictures of digits, 10,000 of them for the test, written by other
people than the training pictures.
Task: classification into ten classes; every error costs the same.
Model: a network with one hidden layer. Forward pass, backpropagation and optimizers are NumPy code
of this folder; the served graph holds their weights. The simplest recipe within one standard error
of the best accuracy on held-out rows is trained on all pictures. A linear model beside it says what
the hidden layer gains.
Limits: one digit a picture, upright, without a frame or lines. The picture is cropped and centered
first, so size, place and colors do not matter; a letter, a scribble or an empty sheet also gets a
digit. The pictures are from the United States around 1990: a 7 with a bar or a 1 with a long
upstroke is rarer there than elsewhere. MNIST's file does not say who wrote what, so the interval
counts each picture as independent.
"""

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, publish
from slipway.kits.classes import ClassRecord
from slipway.kits.drawings import digit_pixels, drawing_features
from slipway.kits.images import ImageRecord

LABELS = tuple("0123456789")
PIXELS = 28 * 28


class Drawing(ImageRecord, size=(28, 28), mode="L", max_side=4096, draw=True, capture=True):
    """A picture of one digit: drawn, photographed or scanned, light on dark or dark on light."""


class DrawnDigit(ClassRecord, labels=LABELS):
    """The most probable digit."""

    linear_label: str = Field(
        pattern="^[0-9]$", description="The digit that the linear baseline predicts"
    )


def brightness(drawings: list[Drawing]) -> np.ndarray:
    """Return the centered digits (rows, 784) float32, from 0 (black) to 1."""
    return digit_pixels(drawings).reshape(len(drawings), PIXELS).astype(np.float32) / 255


def drawn_digits(probabilities: np.ndarray, linear: np.ndarray) -> list[DrawnDigit]:
    """Return predictions, given the probabilities (rows, 10) of the network and the baseline."""
    return [
        DrawnDigit(
            label=LABELS[int(np.argmax(row))],
            probability=max(row),
            probabilities=dict(zip(LABELS, row, strict=True)),
            linear_label=LABELS[place],
        )
        for row, place in zip(probabilities.tolist(), linear.argmax(axis=1).tolist(), strict=True)
    ]


class DigitsFromScratch(OnnxModel):
    def predict(self, model_input: list[Drawing]) -> list[DrawnDigit]:
        feeds = {"pixels": brightness(model_input)}
        network, linear = (self.run(feeds, name)["probabilities"] for name in ("model", "linear"))
        return drawn_digits(network, linear)

    def monitoring_features(
        self, records: list[Drawing], predictions: list[DrawnDigit]
    ) -> dict[str, np.ndarray]:
        """Return the ink and the width of each digit, (rows,) each."""
        return drawing_features(digit_pixels(records))


publish(DigitsFromScratch())
