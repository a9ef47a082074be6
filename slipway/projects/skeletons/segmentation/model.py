"""Which pixels of this picture are ink?

Data: pictures of 64x64 pixels with two to four handwritten digits, put together from 1,797 digits.
Task: segmentation into ink and background.
Model: a small network of convolutions, half of them on a picture of half the size, as ONNX.
Limits: a starting point; it knows light digits of about 16 pixels on a dark, noisy background.
"""

from slipway.contract import OnnxModel, publish
from slipway.kits.images import ImageRecord, image_batch
from slipway.kits.segmentation.record import Segmentation, segment

LABELS = ("ink",)


class Picture(ImageRecord, size=(64, 64), mode="L", max_side=2048):
    """A picture with digits, light on black."""


class Ink(Segmentation):
    """The pixels of each kind, in the picture's own size."""


class Skeleton(OnnxModel):
    def predict(self, model_input: list[Picture]) -> list[Ink]:
        probabilities = self.run(image_batch(model_input))["probabilities"]
        return segment(model_input, probabilities, Ink, LABELS)


publish(Skeleton())
