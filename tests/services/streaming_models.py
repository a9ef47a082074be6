"""Models that stream, that take long and that make pictures, for tests of the transport."""

import base64
import io

HEAD = '''
"""A model that a test defines."""

import time
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from slipway.contract import Model, Record, StreamingModel, publish


class Question(Record):
    number: int = Field(ge=0, le=100_000)
    """The number of chunks to make."""
    seconds: float = 0.0
    """Time for each."""
    action: str = ""
    """Code to run before the last chunk; or `note:FILE`, written when the stream is closed."""


class Chunk(Record):
    place: int
    text: str


class Answer(Record):
    count: int
    text: str
    model: str
'''

STREAM = """

class Counting(StreamingModel):
    def load(self, weights: Path) -> None:
        pass

    def stream(self, record: Question) -> Iterator[Chunk]:
        noted = record.action.startswith("note:")
        try:
            for place in range(record.number):
                if record.action and not noted and place == record.number - 1:
                    exec(record.action)
                time.sleep(record.seconds)
                {before}
                yield Chunk(place=place, text={text})
        finally:
            if noted:
                Path(record.action[5:]).write_text(f"closed after {{place}}")

    def join(self, record: Question, chunks: list[Chunk]) -> Answer:
        text = "".join(each.text for each in chunks)
        return Answer(count=len(chunks), text=text[:100], model={name!r})


publish(Counting())
"""

SLOW = """

class Slow(Model):
    def predict(self, model_input: list[Question]) -> list[Answer]:
        for each in model_input:
            time.sleep(each.seconds)
            if each.action.startswith("note:"):
                Path(each.action[5:]).write_text("ended")
            else:
                exec(each.action)
        return [Answer(count=each.number, text="", model={name!r}) for each in model_input]


publish(Slow())
"""

PICTURE = '''
"""Repaints a picture: darker, and as a list of its parts if wanted."""

import io
from typing import Annotated

import numpy as np
from pydantic import Field

from slipway.contract import Model, Record, publish
from slipway.media import Image, decode_image, encode_jpeg, encode_png


class Corner(Record):
    x: int
    y: int


class Picture(Record):
    image: Annotated[bytes, Image(max_side=512)]
    factor: float = Field(default=0.5, ge=0, le=1)
    corners: list[Corner] = []
    origin: Corner | None = None
    names: list[str] = []
    others: Annotated[list[bytes], Image(max_side=512)] = []
    jpeg: bool = False
    empty: bool = False


class Painted(Record):
    image: Annotated[bytes | None, Image(formats=("PNG", "JPEG"))]
    mean: float
    corners: int
    origin: int
    names: list[str]
    others: int


class Painter(Model):
    def predict(self, model_input: list[Picture]) -> list[Painted]:
        return [self.paint(each) for each in model_input]

    def paint(self, picture: Picture) -> Painted:
        dark = (decode_image(picture.image) * picture.factor).astype(np.uint8)
        encode = encode_jpeg if picture.jpeg else encode_png
        return Painted(
            image=None if picture.empty else encode(dark),
            mean=float(dark.mean()),
            corners=len(picture.corners),
            origin=picture.origin.x if picture.origin else -1,
            names=picture.names,
            others=len(picture.others),
        )


publish(Painter())
'''
EXAMPLE = {
    "input": {"number": 2},
    "output": {"count": 2, "text": "00000001", "model": "any"},
}


def streaming(name: str, *, before: str = "pass", text: str = 'f"{place:04d}"') -> str:
    """Return a model.py that streams numbers; `before` is a statement before each chunk."""
    return HEAD + STREAM.format(name=name, before=before, text=text)


def slow(name: str) -> str:
    """Return a model.py that sleeps for the record's seconds."""
    return HEAD + SLOW.format(name=name)


def picture_bytes(kind: str = "PNG", size: tuple[int, int] = (8, 6), level: int = 200) -> bytes:
    """Return a picture of one grey."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", size, (level, level, level)).save(file, kind)
    return file.getvalue()


def picture_example() -> dict:
    """Return an example of the model that paints."""
    image = base64.b64encode(picture_bytes()).decode()
    output = {"image": image, "mean": 100.0, "corners": 0, "origin": -1, "names": [], "others": 0}
    return {"input": {"image": image}, "output": output}
