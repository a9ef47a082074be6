"""Models that answer at once, one for each kind of field that the page to try a model knows."""

import base64
import io
import struct
import wave

import av
import numpy as np
from PIL import Image, ImageDraw

from tests.services.fake_models import ModelRegistryFixture

HEAD = '''
"""{question}

Data: none.
Task: for tests of the page.
Model: a few lines of code.
Limits: it knows nothing.
"""

from typing import Annotated

from pydantic import Field

from slipway.contract import Model, Record, publish
from slipway.media import Audio, Blob, Box, Image, Point, State, Track, Video
'''

PICTURE = '''
class Photograph(Record):
    """A photograph, and where to look."""

    image: Annotated[bytes, Image(capture=True, draw=True, max_bytes=100_000)]
    min_score: float = Field(default=0.3, ge=0.05, le=1, description="Boxes below are left out")
    focus: Point | None = Field(default=None, description="Where to look first")
    memory: Annotated[bytes | None, State()] = None


class Found(Record):
    """The objects on the photograph."""

    boxes: list[Box]
    mirrored: Annotated[bytes, Image()]
    seen: int = Field(description="Photographs so far")
    memory: Annotated[bytes, State()]


class Detector(Model):
    def predict(self, model_input: list[Photograph]) -> list[Found]:
        found = []
        for each in model_input:
            seen = int(each.memory or b"0") + 1
            boxes = [
                Box(x1=12, y1=10, x2=60, y2=64, label="red cell", score=0.91),
                Box(x1=70, y1=40, x2=110, y2=84, label="platelet", score=0.42),
            ]
            found.append(Found(
                boxes=[box for box in boxes if box.score >= each.min_score],
                mirrored=each.image, seen=seen, memory=str(seen).encode(),
            ))
        return found


publish(Detector())
'''

FORM = '''
class Stop(Record):
    city: str = Field(min_length=1, max_length=40)
    nights: int = Field(default=1, ge=1, le=30)


class Journey(Record):
    """A journey, with every kind of plain field."""

    start: str = Field(pattern=r"^\\d{4}-\\d{2}-\\d{2}$", description="The first day")
    season: str = Field(pattern="^(dry|rainy)$")
    travelers: int = Field(ge=1, le=9)
    budget: float = Field(gt=0, description="Euros")
    by_train: bool
    discount: float | None = Field(default=None, ge=0, le=1)
    stops: list[Stop] = Field(default=[], max_length=20)
    temperatures: list[float] = Field(min_length=3, max_length=100)
    tags: list[str] = []
    notes: str = Field(default="", max_length=500)
    weights: dict[str, float] = {}


class Cost(Record):
    """The price of the journey."""

    cost: float = Field(description="Euros")
    cost_low: float
    cost_high: float
    by_day: list[float] = Field(description="Euros a day")
    days: list[Stop]
    shares: dict[str, float]


class Costs(Model):
    def predict(self, model_input: list[Journey]) -> list[Cost]:
        return [Cost(
            cost=each.budget, cost_low=each.budget * 0.8, cost_high=each.budget * 1.3,
            by_day=each.temperatures, days=each.stops, shares={"food": 0.25, "travel": 0.75},
        ) for each in model_input]


publish(Costs())
'''

SOUND = '''
class Recording(Record):
    """A recording, and how loud the echo is."""

    sound: Annotated[bytes, Audio(capture=True, max_seconds=10)]
    loudness: float = Field(default=0.5, ge=0, le=1)


class Echo(Record):
    """The same sound again, and a page about it."""

    sound: Annotated[bytes, Audio()]
    page: Annotated[bytes, Blob()]
    heard: str


class Echoes(Model):
    def predict(self, model_input: list[Recording]) -> list[Echo]:
        return [Echo(sound=each.sound, page=b"%PDF-1.4 a page" * 9, heard="hello")
                for each in model_input]


publish(Echoes())
'''


VIDEO = '''
class Clip(Record):
    """A short video."""

    clip: Annotated[bytes, Video(max_seconds=5)]


class Followed(Record):
    """The objects that move through the video."""

    tracks: list[Track]


class Follower(Model):
    def predict(self, model_input: list[Clip]) -> list[Followed]:
        tracks = [
            Track(
                id=7, label="ball", frame=frame, trail=[Point(x=15, y=30)] if frame else [],
                box=Box(x1=6 * frame, y1=20, x2=20 + 6 * frame, y2=40),
            )
            for frame in range(10)
        ]
        return [Followed(tracks=tracks) for _ in model_input]


publish(Follower())
'''


STREAM = '''
import time
from collections.abc import Iterator
from pathlib import Path

from slipway.contract import StreamingModel


class Prompt(Record):
    """The beginning of a count, and how far it goes."""

    until: int = Field(default=5, ge=1, le=1000)
    pause: float = Field(default=0, ge=0, le=1, description="Seconds before each number")


class Word(Record):
    text: str


class Count(Record):
    """The whole count."""

    text: str


class Counter(StreamingModel):
    def load(self, weights: Path) -> None:
        """It counts without a graph."""

    def stream(self, record: Prompt) -> Iterator[Word]:
        for number in range(1, record.until + 1):
            time.sleep(record.pause)
            yield Word(text=f"{number} ")

    def join(self, record: Prompt, chunks: list[Word]) -> Count:
        return Count(text="".join(each.text for each in chunks))


publish(Counter())
'''


def picture() -> bytes:
    """Return a PNG of 128 by 96 pixels with two discs."""
    image = Image.new("RGB", (128, 96), (242, 226, 222))
    draw = ImageDraw.Draw(image)
    draw.ellipse((12, 10, 60, 64), fill=(206, 96, 110))
    draw.ellipse((70, 40, 110, 84), fill=(132, 88, 160))
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def video() -> bytes:
    """Return a second of a white square that moves to the right, as WebM."""
    content = io.BytesIO()
    with av.open(content, "w", format="webm") as file:
        stream = file.add_stream("libvpx", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for place in range(10):
            frame = np.zeros((64, 96, 3), dtype=np.uint8)
            frame[20:40, 6 * place : 20 + 6 * place] = 255
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    return content.getvalue()


def sound() -> bytes:
    """Return half a second of a square wave, as WAV."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        samples = [8000 if at // 20 % 2 else -8000 for at in range(4000)]
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples))
    return content.getvalue()


# The names under which `add_models` registers them.
TOYS = ("counts", "detector", "echoes", "followers", "journeys")


def as_text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def add_models(registry: ModelRegistryFixture) -> None:
    """Register the models as champions, by the names that `TOYS` lists."""
    journey = {
        "start": "2024-05-17",
        "season": "dry",
        "travelers": 2,
        "budget": 1250.0,
        "by_train": True,
        "discount": None,
        "stops": [{"city": "Ghent", "nights": 2}, {"city": "Lille", "nights": 1}],
        "temperatures": [14.5, 17.0, 15.5, 19.0],
        "tags": ["museums", "canals"],
        "notes": "window seats",
        "weights": {"comfort": 0.7},
    }
    cost = {
        "cost": 1250.0,
        "cost_low": 1000.0,
        "cost_high": 1625.0,
        "by_day": journey["temperatures"],
        "days": journey["stops"],
        "shares": {"food": 0.25, "travel": 0.75},
    }
    red = {"x1": 12.0, "y1": 10.0, "x2": 60.0, "y2": 64.0, "label": "red cell", "score": 0.91}
    other = {"x1": 70.0, "y1": 40.0, "x2": 110.0, "y2": 84.0, "label": "platelet", "score": 0.42}
    image, tone = as_text(picture()), as_text(sound())
    found = {"boxes": [red, other], "mirrored": image, "seen": 1, "memory": as_text(b"1")}
    echo = {"sound": tone, "page": as_text(b"%PDF-1.4 a page" * 9), "heard": "hello"}
    tracks = [
        {
            "id": 7,
            "box": {
                "x1": 6.0 * at,
                "y1": 20,
                "x2": 20.0 + 6 * at,
                "y2": 40,
                "label": "",
                "score": 1,
            },
            "label": "ball",
            "frame": at,
            "trail": [{"x": 15, "y": 30}] if at else [],
        }
        for at in range(10)
    ]
    clip, followed = as_text(video()), {"tracks": tracks}
    count = {"text": "1 2 3 4 5 "}
    models = {
        "counts": ("How does this count go on?", STREAM, {"until": 5}, count),
        "followers": ("What moves through this video?", VIDEO, {"clip": clip}, followed),
        "detector": ("Which cells are on this picture?", PICTURE, {"image": image}, found),
        "journeys": ("What will this journey cost?", FORM, journey, cost),
        "echoes": ("What does this recording say?", SOUND, {"sound": tone}, echo),
    }
    for name, (question, code, record, prediction) in models.items():
        model = HEAD.format(question=question) + code
        registry.add(name, model, example={"input": record, "output": prediction})
