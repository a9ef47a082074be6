"""What does this noisy picture look like without its noise?

Data: pictures of 64x64 pixels with two to four handwritten digits, put together from 1,797 digits,
with noise added.
Task: a picture for a picture; the error of every pixel counts alike.
Model: a few convolutions that find the noise, as ONNX.
Limits: a starting point; it knows light digits of about 16 pixels, and noise of one strength.
"""

from slipway.contract import OnnxModel, publish
from slipway.kits.generative.record import MadePicture
from slipway.kits.images import ImageRecord, image_batch


class Noisy(ImageRecord, size=(64, 64), mode="L", max_side=2048):
    """A picture with noise; it is made grey, and 64x64 pixels large."""


class Clean(MadePicture):
    """The picture without its noise, 64x64 pixels."""


class Skeleton(OnnxModel):
    def predict(self, model_input: list[Noisy]) -> list[Clean]:
        return Clean.from_brightness(self.run(image_batch(model_input))["pictures"])


publish(Skeleton())
