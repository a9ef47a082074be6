"""What do the codes in this picture say, and what does this text look like as a code?

Data: 190 photographs and pictures of codes from the tests of ZXing-C++ (Apache-2.0), and pictures
made by the project itself: QR codes and EAN-13 that are turned, blurred, small, tilted or noisy,
with known payloads.
Task: read the payload, kind and corners of each code; write a QR code or an EAN-13.
Model: no learned weights. ZXing-C++ or OpenCV reads, alone or behind a search for a better picture;
training pictures choose. Own NumPy code writes EAN-13 and reads it back.
Limits: a code of which a module is less than one pixel wide cannot be read. Bars have weak
checksums, so a wrong payload is possible, though rare. Never open a link only because a code says
so.
"""

import json
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from slipway.contract import Model, Record, publish
from slipway.media import Box, Image, Point, decode_image, encode_png

from . import ean13
from .readers import QUICK, READERS, SeenCode
from .writing import code_modules

# A module of a written code is so many pixels wide.
PIXELS = 8
# Payloads are longer than a caption may be.
CAPTION = 60


class CodeRequest(Record):
    """A picture with codes to read, a text to write as a code, or both."""

    image: Annotated[bytes | None, Image(max_side=4096, capture=True)] = Field(
        default=None, description="A picture with QR codes or bars"
    )
    effort: str = Field(
        default="thorough",
        pattern="^(quick|thorough)$",
        description="quick looks once, for a camera; thorough also looks at improved pictures",
    )
    text: str | None = Field(
        default=None, min_length=1, max_length=1000, description="What a new code is to say"
    )
    kind: str = Field(
        default="qr_code",
        pattern="^(qr_code|ean_13)$",
        description="The kind of the new code; an EAN-13 has 12 digits, or 13 with the checksum",
    )
    correction: str = Field(
        default="M",
        pattern="^[LMQH]$",
        description="How much of a new QR code may be damaged: L 7 %, M 15 %, Q 25 %, H 30 %",
    )

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if self.image is None and self.text is None:
            raise ValueError("send an image to read, or a text to write")
        if self.text is not None:
            code_modules(self.kind, self.text, self.correction)
        return self


class Payload(Record):
    """The true payload of a picture, and how the picture was made; `none`: there is no code."""

    kind: str
    text: str
    condition: str = Field(description="photograph, or the property that varies")
    level: float = Field(description="The property's level")
    baseline: str = Field(description="The payload that the baseline read, or nothing")


class ReadCode(Record):
    """A code that was read."""

    text: str
    kind: str


class Codes(Record):
    """The codes that were read, and the code that was written."""

    boxes: list[Box] | None = Field(description="Around each code; its label is the payload")
    corners: list[Point] | None = Field(description="The corners of each code, four at a time")
    codes: list[ReadCode] | None = Field(description="Payload and kind of each code")
    picture: Annotated[bytes | None, Image()] = Field(default=None, description="The new code")
    read_back: bool | None = Field(
        default=None, description="True if the new code was read back with the same payload"
    )


def box(seen: SeenCode, shape: tuple[int, ...]) -> Box:
    """Return the box around a code, within a picture of this shape."""
    edge = [shape[1] - 1, shape[0] - 1]
    x1, y1 = np.clip(seen.corners.min(axis=0), 0, edge).round(1).tolist()
    x2, y2 = np.clip(seen.corners.max(axis=0), 0, edge).round(1).tolist()
    caption = seen.text if len(seen.text) <= CAPTION else f"{seen.text[: CAPTION - 3]}..."
    return Box(x1=x1, y1=y1, x2=x2, y2=y2, label=caption)


def written(request: CodeRequest) -> tuple[np.ndarray, bool] | None:
    """Return the picture of the code that was asked for, and whether it reads back."""
    if request.text is None:
        return None
    modules = code_modules(request.kind, request.text, request.correction)
    picture = np.kron(modules, np.ones((PIXELS, PIXELS), dtype=np.uint8))
    wanted = ean13.with_check_digit(request.text) if request.kind == "ean_13" else request.text
    return picture, any(seen.text == wanted for seen in READERS["zxing"](picture))


class CodeReader(Model):
    def load(self, weights: Path) -> None:
        """Read the chosen reader's name."""
        self._reader = json.loads((weights / "reader.json").read_text())["reader"]

    def read(self, image: bytes, effort: str) -> list[SeenCode]:
        """Return the codes in a picture."""
        reader = READERS[
            QUICK.get(self._reader, self._reader) if effort == "quick" else self._reader
        ]
        return reader(decode_image(image, "L"))

    def predict(self, model_input: list[CodeRequest]) -> list[Codes]:
        return [self._codes(request) for request in model_input]

    def _codes(self, request: CodeRequest) -> Codes:
        made = written(request)
        picture, read_back = (encode_png(made[0]), made[1]) if made else (None, None)
        if request.image is None:
            return Codes(boxes=None, corners=None, codes=None, picture=picture, read_back=read_back)
        shape = decode_image(request.image, "L").shape
        seen = self.read(request.image, request.effort)
        return Codes(
            boxes=[box(each, shape) for each in seen],
            corners=[Point(x=x, y=y) for each in seen for x, y in each.corners.round(1).tolist()],
            codes=[ReadCode(text=each.text, kind=each.kind) for each in seen],
            picture=picture,
            read_back=read_back,
        )

    def monitoring_features(
        self, records: list[CodeRequest], predictions: list[Codes]
    ) -> dict[str, np.ndarray]:
        """Return brightness and contrast of pictures, codes read, and lengths of texts to write.

        Without a picture, the first three are 0, and without a text the last one.
        """
        pictures = [
            np.zeros((1, 1)) if each.image is None else decode_image(each.image, "L")
            for each in records
        ]
        return {
            "brightness": np.array([each.mean() / 255 for each in pictures]),
            "contrast": np.array([each.std() / 255 for each in pictures]),
            "codes": np.array([len(each.codes or []) for each in predictions], dtype=np.float64),
            "text_length": np.array([len(each.text or "") for each in records], dtype=np.float64),
        }


publish(CodeReader())
