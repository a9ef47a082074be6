"""Which of ten kinds of clothing does this picture show?

Data: Fashion-MNIST, 70,000 grey 28x28 pictures, 10,000 of them for the test; ten balanced classes.
Task: classification into ten classes; every error costs the same.
Model: a convolutional network, as ONNX: the simplest recipe within one standard error of the best
accuracy on rows held out of training.
Limits: it was trained on single light garments on a black background, upright, as in a shop's
catalogue. It was not trained on photographs with a white background or of people.
"""

from io import BytesIO

import numpy as np
from PIL import Image, UnidentifiedImageError
from pydantic import Field, field_validator

from slipway.contract import OnnxModel, Record, publish

# In the order of the data set's label numbers.
LABELS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
SIDE = 28
# At most 4 MB when decoded; a few kB of PNG can claim to hold gigabytes.
LARGEST = 1024
FORMATS = ("PNG", "JPEG")


def pixels(image: bytes) -> np.ndarray:
    """Decode a picture to grey values (28, 28) from 0 to 255.

    Transparent parts become black, the background of the training pictures.

    Raises:
        ValueError: it is not a picture, is damaged or is too large.
    """
    try:
        picture: Image.Image = Image.open(BytesIO(image), formats=FORMATS)
    except UnidentifiedImageError as error:  # Pillow's own message holds a memory address
        raise ValueError("is not a PNG or JPEG") from error
    # Pillow has read only the header so far.
    if max(picture.size) > LARGEST:
        wide, high = picture.size
        raise ValueError(f"must be at most {LARGEST}x{LARGEST} pixels, got {wide}x{high}")
    if picture.has_transparency_data:
        black = Image.new("RGBA", picture.size, "black")
        picture = Image.alpha_composite(black, picture.convert("RGBA"))
    if picture.mode.startswith("I"):  # 16 bits: Pillow would clip them to 8, not scale them
        picture = Image.fromarray((np.asarray(picture) // 257).astype(np.uint8))
    picture = picture.convert("L")
    if picture.size != (SIDE, SIDE):
        picture = picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(picture)


class Garment(Record):
    """A picture of one garment, light on a black background."""

    image: bytes = Field(
        min_length=1,
        max_length=1_000_000,
        description="PNG or JPEG, at most 1024x1024; converted to grey and 28x28 if necessary",
    )

    @field_validator("image")
    @classmethod
    def _decodes(cls, image: bytes) -> bytes:
        """Refuse a picture that would fail or fill the memory during the prediction."""
        try:
            pixels(image)
        except ValueError:
            raise
        # Damaged bytes make Pillow raise OSError, SyntaxError, struct.error and others.
        except Exception as error:
            raise ValueError(f"cannot be decoded: {error}") from error
        return image


class Category(Record):
    """The most probable kind of clothing."""

    label: str = Field(pattern=f"^({'|'.join(LABELS)})$")
    probability: float = Field(ge=0, le=1, description="Probability of `label`")
    probabilities: dict[str, float] = Field(description="Probability of every label; they sum to 1")


def features(garments: list[Garment]) -> dict[str, np.ndarray]:
    """Return the brightness (rows, 1, 28, 28) float32 of each pixel, from 0 (black) to 1."""
    images = np.empty((len(garments), 1, SIDE, SIDE), dtype=np.float32)
    for row, each in enumerate(garments):
        images[row, 0] = pixels(each.image)
    images /= 255
    return {"images": images}


def categories(probabilities: np.ndarray) -> list[Category]:
    """Return predictions, given the probabilities of the labels (rows, 10)."""
    return [
        Category(
            label=LABELS[best],
            probability=row[best],
            probabilities=dict(zip(LABELS, row, strict=True)),
        )
        for row, best in zip(
            probabilities.tolist(), probabilities.argmax(axis=1).tolist(), strict=True
        )
    ]


class FashionMnist(OnnxModel):
    def predict(self, model_input: list[Garment]) -> list[Category]:
        return categories(self.run(features(model_input))["probabilities"])


publish(FashionMnist())
