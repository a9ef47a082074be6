"""Registered models of pictures and texts whose explanations are known."""

import base64

import numpy as np

from slipway.media import encode_png
from tests.services.fake_models import ModelRegistryFixture

HEAD = '''
"""{question}

Data: none.
Task: for tests of explanations.
Model: a few lines of code.
Limits: it knows nothing.
"""

from typing import Annotated

from slipway.contract import Model, Record, publish
from slipway.media import Box, Image, decode_image


class Picture(Record):
    """A picture, and the least brightness that counts."""

    image: Annotated[bytes, Image(max_side=512)]
    least: float = 0.5
'''

# Only the cell in row 3 and column 5 of 7 x 7 matters.
PATCH = """

class Light(Record):
    label: str
    probabilities: dict[str, float]


class Lamp(Model):
    def predict(self, model_input: list[Picture]) -> list[Light]:
        return [self._light(each) for each in model_input]

    def _light(self, picture: Picture) -> Light:
        on = float(decode_image(picture.image, "L", 28)[8:12, 16:20].mean() / 255)
        label = "on" if on > picture.least else "off"
        return Light(label=label, probabilities={"on": on, "off": 1 - on})

    def activation_maps(self, record: Picture) -> dict:
        grey = decode_image(record.image, "L", 28).reshape(7, 4, 7, 4).mean(axis=(1, 3)) / 255
        return {"on": grey, "off": -grey}


publish(Lamp())
"""

FINDER = """

class Found(Record):
    boxes: list[Box]


class Finder(Model):
    def predict(self, model_input: list[Picture]) -> list[Found]:
        return [Found(boxes=self._boxes(each)) for each in model_input]

    def _boxes(self, picture: Picture) -> list[Box]:
        score = float(decode_image(picture.image, "L", 28)[8:12, 16:20].mean() / 255)
        box = Box(x1=16, y1=8, x2=20, y2=12, label="lamp", score=score)
        return [box] if score >= picture.least else []


publish(Finder())
"""

MIRROR = """

class Mirrored(Record):
    image: Annotated[bytes, Image()]


class Mirror(Model):
    def predict(self, model_input: list[Picture]) -> list[Mirrored]:
        return [Mirrored(image=each.image) for each in model_input]


publish(Mirror())
"""

MAIL = """

class Mail(Record):
    subject: str
    body: str


class Mood(Record):
    probability: float


class Words(Model):
    explained = "probability"

    def predict(self, model_input: list[Mail]) -> list[Mood]:
        weights = {"free": 0.25, "money": 0.125, "sorry": -0.125}
        texts = [f"{each.subject} {each.body}".lower().split() for each in model_input]
        return [
            Mood(probability=0.25 + sum(weights.get(word, 0.0) for word in text)) for text in texts
        ]


publish(Words())
"""

# The names under which `add_explained_models` registers them; `mirror` has no number to explain.
EXPLAINED = ("finder", "lamp", "mail")
MODELS = (*EXPLAINED, "mirror", "slow_lamp")
# Longer calls than a second are made in a process of the model's own.
SLOW = '{"latency_seconds": 1.5}'


def lamp_picture() -> bytes:
    """Return a dark PNG of 28 by 28 pixels in which the cell that matters is white."""
    pixels = np.random.default_rng(0).integers(0, 60, (28, 28, 3), dtype=np.uint8)
    pixels[8:12, 16:20] = 255
    return encode_png(pixels)


def add_explained_models(registry: ModelRegistryFixture) -> None:
    """Register the models as champions, by the names that `MODELS` lists."""
    image = base64.b64encode(lamp_picture()).decode()
    record = {"image": image, "least": 0.5}
    lamp = {"label": "on", "probabilities": {"on": 1.0, "off": 0.0}}
    box = {"x1": 16.0, "y1": 8.0, "x2": 20.0, "y2": 12.0, "label": "lamp", "score": 1.0}
    mail = {"subject": "Free money", "body": "we are sorry"}
    models = {
        "lamp": ("Is the lamp on?", PATCH, record, lamp),
        "slow_lamp": ("Is the other lamp on?", PATCH, record, lamp),
        "finder": ("Where is the lamp?", FINDER, record, {"boxes": [box]}),
        "mirror": ("What is the same picture?", MIRROR, record, {"image": image}),
        "mail": ("Is this mail cheerful?", MAIL, mail, {"probability": 0.5}),
    }
    for name, (question, code, sent, prediction) in models.items():
        model = HEAD.format(question=question) + code
        serving = SLOW if name.startswith("slow") else ""
        example = {"input": sent, "output": prediction}
        registry.add(name, model, example=example, serving=serving)
