"""Which 192 numbers describe this small picture, and what does the picture of them look like?

Data: photographs of CIFAR-10, 32x32 pixels in color, re-encoded as JPEG; training pictures that
nearly equal a test picture were left out. **The noise is synthetic**: normal, added to each value.
Task: find a code of 192 numbers for the 3,072 values of a picture, from which the picture is made
again, without the noise if it has some.
Model: a convolutional autoencoder that begins as a principal component analysis (PCA) of equal
size and learns what to add, as two ONNX graphs: picture to code and picture, and code to picture.
Limits: it sees the middle square of a photograph, reduced to 32x32. Fine detail is lost, as in any
code that is so short. As compression it is not better than JPEG: see the comparison.
"""

from typing import Annotated

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, publish
from slipway.kits.centered import square_feed
from slipway.kits.generative.record import MadePicture
from slipway.kits.images import ImageRecord
from slipway.media import Image, decode_image

SIDE = 32
NUMBERS = 192


class SmallPicture(ImageRecord, size=(SIDE, SIDE), max_side=4096, capture=True):
    """A photograph, the middle square of which is coded; perhaps a second one to mix."""

    other: Annotated[bytes | None, Image(max_side=4096)] = Field(
        default=None, description="A second picture, to mix its code with that of the first"
    )
    mix: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="The share of the second picture's code, if there is one",
    )


class CleanPicture(MadePicture):
    """The picture without noise, and how near other methods come to it, in decibels."""

    noise: float = Field(ge=0, description="Standard deviation of the noise, in levels of 255")
    input_psnr: float
    pca_psnr: float
    gaussian_psnr: float
    bilateral_psnr: float


class Decoded(MadePicture):
    """The picture that the code describes, 32x32 pixels, and the code."""

    code: list[float] = Field(description="192 numbers; 1 is the usual deviation of each from 0")
    psnr: float = Field(
        description="Likeness to the picture that was sent in decibels; 30 is hard to tell apart"
    )


class PictureCodes(OnnxModel):
    def predict(self, model_input: list[SmallPicture]) -> list[Decoded]:
        sent = square_feed(model_input)
        outputs = self.run(sent)
        codes, pictures = outputs["codes"], outputs["pictures"]
        mixed = [row for row, each in enumerate(model_input) if each.other is not None]
        if mixed:
            codes, pictures = codes.copy(), pictures.copy()
            chosen = [model_input[row] for row in mixed]
            others = [SmallPicture(image=each.other or b"") for each in chosen]
            share = np.array([each.mix for each in chosen], dtype=np.float32)[:, None]
            second = self.run(square_feed(others))["codes"]
            codes[mixed] = (1 - share) * codes[mixed] + share * second
            pictures[mixed] = self.decode(codes[mixed])
        return decoded(sent["images"], pictures, codes)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Return the pictures of codes (rows, numbers): brightness (rows, 3, height, width)."""
        return self.run({"codes": codes}, graph="decoder")["pictures"]

    def monitoring_features(
        self, records: list[SmallPicture], predictions: list[Decoded]
    ) -> dict[str, np.ndarray]:
        """Return brightness, the code's length, and the likeness of the picture, (rows,) each."""
        return {
            "brightness": np.array([decode_image(each.image).mean() / 255 for each in records]),
            "code_length": np.array([float(np.linalg.norm(each.code)) for each in predictions]),
            "likeness": np.array([each.psnr for each in predictions]),
        }


def decoded(sent: np.ndarray, pictures: np.ndarray, codes: np.ndarray) -> list[Decoded]:
    """Return the predictions for pictures that were sent, all (rows, 3, height, width)."""
    errors = ((sent - pictures.clip(0, 1)) ** 2).mean(axis=(1, 2, 3))
    ratios = -10 * np.log10(np.maximum(errors, 1e-10))
    made = MadePicture.from_brightness(pictures)
    rows = zip(made, codes.tolist(), ratios.tolist(), strict=True)
    return [Decoded(picture=each.picture, code=code, psnr=ratio) for each, code, ratio in rows]


publish(PictureCodes())
