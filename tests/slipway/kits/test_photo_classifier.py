"""The served classifier of photographs: what is monitored, and its maps by label."""

from typing import Any

import numpy as np
import pytest

from slipway.kits.classes import ClassRecord
from slipway.kits.images import ImageRecord
from slipway.kits.photo_classifier import PhotoClassifier
from slipway.media import encode_png


class Shot(ImageRecord, size=(16, 16), max_side=4096):
    """A picture whose middle square counts."""


class Side(ClassRecord, labels=("left", "right")):
    """The brighter side."""


class Sides(PhotoClassifier):
    output = Side

    def predict(self, model_input: list[Shot]) -> list[Side]:
        return Side.from_probabilities(self.probabilities(model_input))

    def run(self, feeds: dict[str, np.ndarray], graph: str = "model") -> dict[str, np.ndarray]:
        """Compute in NumPy what a graph would: the map of a label is bright where its side is."""
        gray = feeds["images"].mean(axis=1)
        maps = np.stack([gray[:, :, :8], gray[:, :, 8:]], axis=1)
        means = maps.mean(axis=(2, 3))
        return {"probabilities": means / means.sum(axis=1, keepdims=True), "activation_maps": maps}


def shot(pixels: Any) -> Shot:
    return Shot(image=encode_png(np.asarray(pixels, dtype=np.uint8)))


def test_each_label_has_its_own_map() -> None:
    pixels = np.full((16, 16, 3), 51)
    pixels[:, 8:] = 255
    maps = Sides().activation_maps(shot(pixels))
    means = {name: float(each.mean()) for name, each in maps.items()}
    assert means == pytest.approx({"left": 0.2, "right": 1.0})
    assert Sides().predict([shot(pixels)])[0].label == "right"


def test_the_whole_photograph_is_monitored_not_its_middle() -> None:
    pixels = np.zeros((20, 40, 3))
    pixels[:, :10] = 255
    found = Sides().monitoring_features([shot(pixels)], [])
    values = {name: float(value) for name, [value] in found.items()}
    contrast = float(np.std([1, 0, 0, 0]))
    assert values == pytest.approx({"brightness": 0.25, "contrast": contrast, "proportions": 2})
