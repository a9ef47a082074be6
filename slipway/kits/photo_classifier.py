"""A served classifier of photographs by their middle square, with activation maps."""

from typing import Any, ClassVar

import numpy as np

from slipway.contract import OnnxModel
from slipway.kits.centered import square_feed
from slipway.kits.classes import ClassRecord
from slipway.media import decode_image


class PhotoClassifier(OnnxModel):
    """A classifier whose graph was exported by `PooledStudy`.

    A subclass names its output type and defines `predict`, whose types make the schema.
    """

    output: ClassVar[type[ClassRecord]]

    def probabilities(self, records: list[Any]) -> np.ndarray:
        """Return the probabilities of the labels (rows, labels)."""
        return self.run(square_feed(records))["probabilities"]

    def activation_maps(self, record: Any) -> dict[str, np.ndarray]:
        """Return each label's map (rows, columns), the mean of which is the label's logit."""
        [maps] = self.run(square_feed([record]))["activation_maps"]
        return dict(zip(self.output.labels, maps, strict=True))

    def monitoring_features(
        self, records: list[Any], predictions: list[Any]
    ) -> dict[str, np.ndarray]:
        """Return brightness, contrast, and width by height of each photograph, (rows,) each."""
        images = [decode_image(each.image) for each in records]
        return {
            "brightness": np.array([each.mean() / 255 for each in images]),
            "contrast": np.array([each.std() / 255 for each in images]),
            "proportions": np.array([each.shape[1] / each.shape[0] for each in images]),
        }
