"""Where are the dots on this plate?

Data: 60 grey plates of 16x16 pixels made up for the tests, with up to two dots.
Task: detection of small objects; each half of a plate has at most one.
Model: a threshold on the brightness of each pixel, as an ONNX graph.
Limits: made up; it knows light dots on dark plates.
"""

from typing import Annotated

import numpy as np

from slipway.contract import OnnxModel, Record, publish
from slipway.media import Box, Image, decode_image

SIDE = 16


class Plate(Record):
    """A grey picture of a plate."""

    image: Annotated[bytes, Image(max_side=64)]


class Dots(Record):
    """The dots of a plate."""

    dots: list[Box]


def pixels(plates: list[Plate]) -> np.ndarray:
    """Return brightness (rows, 256) float32, from 0 to 1."""
    images = [decode_image(each.image, "L", SIDE).reshape(-1) for each in plates]
    return np.stack(images).astype(np.float32) / 255


def dots(light: np.ndarray) -> list[Dots]:
    """Return the dots of plates (rows, 256) that are above 0 where there is light."""
    return [Dots(dots=list(_boxes(each.reshape(SIDE, SIDE)))) for each in light]


def _boxes(light: np.ndarray) -> list[Box]:
    found = []
    for left in (0, SIDE // 2):
        rows, columns = np.nonzero(light[:, left : left + SIDE // 2] > 0)
        if rows.size:
            x, y = columns + left, rows
            corners = {"x1": x.min(), "y1": y.min(), "x2": x.max() + 1, "y2": y.max() + 1}
            found.append(Box(**{name: float(each) for name, each in corners.items()}, label="dot"))
    return found


class DotModel(OnnxModel):
    def predict(self, model_input: list[Plate]) -> list[Dots]:
        return dots(self.run({"pixels": pixels(model_input)})["light"])

    def monitoring_features(
        self, records: list[Plate], predictions: list[Dots]
    ) -> dict[str, np.ndarray]:
        return {
            "brightness": pixels(records).mean(axis=1),
            "dots": np.array([len(each.dots) for each in predictions]),
        }


publish(DotModel())
