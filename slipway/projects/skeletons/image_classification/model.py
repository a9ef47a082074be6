"""Which digit does this picture show?

Data: 1,797 grey 8x8 pictures of handwritten digits, from 43 people.
Task: classification into ten classes; every error costs the same.
Model: a convolutional network, as ONNX.
Limits: a starting point; it knows single digits, light on black, that fill the picture.
"""

from slipway.contract import OnnxModel, publish
from slipway.kits.classes import ClassRecord
from slipway.kits.images import ImageRecord, image_batch

LABELS = tuple("0123456789")


class Picture(ImageRecord, size=(8, 8), mode="L", max_side=1024, draw=True):
    """A picture of one digit, light on black."""


class Digit(ClassRecord, labels=LABELS):
    """The most probable digit."""


class Skeleton(OnnxModel):
    def predict(self, model_input: list[Picture]) -> list[Digit]:
        return Digit.from_probabilities(self.run(image_batch(model_input))["probabilities"])


publish(Skeleton())
