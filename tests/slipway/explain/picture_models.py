"""Models of pictures and texts whose explanations are known exactly."""

from collections.abc import Generator
from typing import Annotated, Any

import numpy as np

from slipway.contract import Model, Record
from slipway.media import Box, Image, decode_image

SIDE, CELL = 28, 4
# The cell that matters, in rows and columns of cells.
MATTERS = (2, 4)


class Picture(Record):
    image: Annotated[bytes | None, Image()] = None
    threshold: float = 0.5


class Light(Record):
    label: str
    probabilities: dict[str, float]


def by_cell(record: Picture) -> np.ndarray:
    """Return the mean brightness of each of 7 x 7 cells, from 0 to 1."""
    grey = decode_image(record.image, "L", SIDE).astype(float) / 255
    return np.asarray(grey.reshape(7, CELL, 7, CELL).mean(axis=(1, 3)))


class OnePatch(Model):
    """Looks at one cell only; beyond the threshold it is `on`."""

    def predict(self, model_input: list[Picture]) -> list[Light]:
        return [self._light(each) for each in model_input]

    def _light(self, record: Picture) -> Light:
        on = by_cell(record)[MATTERS]
        label = "on" if on > record.threshold else "off"
        return Light(label=label, probabilities={"on": on, "off": 1 - on})


class Sum(Record):
    total: float


WEIGHTS = np.random.default_rng(4).normal(size=(7, 7))


class Additive(Model):
    """Adds the cells with weights, so that each cell's value is its own change."""

    explained = "total"
    calls = 0
    largest_call = 0

    def predict(self, model_input: list[Picture]) -> list[Sum]:
        self.calls += 1
        self.largest_call = max(self.largest_call, len(model_input))
        return [Sum(total=float((WEIGHTS * by_cell(each)).sum())) for each in model_input]


TANGLED = 1000.0


class Tangled(Additive):
    """Multiplies neighbours, so that the order in which cells join matters."""

    def predict(self, model_input: list[Picture]) -> list[Sum]:
        self.calls += 1
        cells = [by_cell(each) * WEIGHTS for each in model_input]
        # Of three: what cells add in pairs has no error in an order and its reverse together.
        return [Sum(total=float((x[2:] * x[1:-1] * x[:-2]).sum() * TANGLED)) for x in cells]


class Found(Record):
    boxes: list[Box]


class Finder(Model):
    """Finds what is bright in the left and in the right half."""

    def predict(self, model_input: list[Picture]) -> list[Found]:
        return [Found(boxes=list(self._boxes(each))) for each in model_input]

    def _boxes(self, record: Picture) -> Generator[Box, None, None]:
        cells = by_cell(record)
        for left in (0, 4):
            score = float(cells[:, left : left + 3].max())
            if score > record.threshold:
                yield Box(x1=left, y1=0, x2=left + 3, y2=7, score=score)


class Mirrored(Record):
    image: Annotated[bytes, Image()]


class Mirror(Model):
    """Predicts a picture, and no number."""

    def predict(self, model_input: list[Picture]) -> list[Mirrored]:
        return [Mirrored(image=each.image or b"") for each in model_input]


class Mail(Record):
    subject: str
    body: str


class Mood(Record):
    probability: float


class Words(Model):
    """Adds a weight for each known word; the two words of a bargain count only together."""

    explained = "probability"
    weights = {"free": 0.25, "money": 0.125, "sorry": -0.25}  # noqa: RUF012

    def predict(self, model_input: list[Mail]) -> list[Mood]:
        return [Mood(probability=self._add(f"{each.subject} {each.body}")) for each in model_input]

    def _add(self, text: str) -> float:
        words = text.lower().replace(",", " ").split()
        both = 0.5 if {"big", "bargain"} <= set(words) else 0.0
        return both + sum(self.weights.get(word, 0.0) for word in words)


def finish(steps: Generator[None, None, Any]) -> Any:
    """Return what the steps return at their end."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
