"""A toy project with pictures: its model, photographs, and reference rows."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np

from services.predict.engine import Engine
from slipway.contract.shipped import Shipped
from slipway.media import encode_png

NAME = "photos"
CODE = '''
"""Where is it light in this photograph?"""

from typing import Annotated

import numpy as np

from slipway.contract import Model, Record, publish
from slipway.media import Box, Image, State, decode_image, encode_png


class Photo(Record):
    image: Annotated[bytes, Image(max_side=4096)]
    chat: Annotated[bytes | None, State()] = None
    note: str = ""


class Light(Record):
    boxes: list[Box]
    small: Annotated[bytes, Image()]


class Lights(Model):
    def predict(self, model_input: list[Photo]) -> list[Light]:
        return [self.light(decode_image(each.image, "L")) for each in model_input]

    def light(self, grey: np.ndarray) -> Light:
        rows, columns = np.nonzero(grey > 200)
        corners = {"x1": columns, "y1": rows, "x2": columns + 1, "y2": rows + 1}
        boxes = [
            Box(**{name: float(each[n]) for name, each in corners.items()}, label="light")
            for n in range(min(rows.size, 500))
        ]
        return Light(boxes=boxes, small=encode_png(grey[:8, :8]))

    def monitoring_features(self, records: list[Photo], predictions: list[Light]) -> dict:
        steps = [np.abs(np.diff(decode_image(each.image, "L").astype(float))) for each in records]
        return {"sharpness": np.array([each.mean() for each in steps])}


publish(Lights())
'''


def photos(rows: int, *, seed: int, lighter: float = 0.0, side: int = 24) -> list[dict[str, Any]]:
    """Return records with photographs; all are lighter by as many of 255 levels."""
    rng = np.random.default_rng(seed)
    found = []
    for level in rng.normal(100 + lighter, 12, rows):
        grey = np.clip(rng.normal(level, 30, (side, side, 3)), 0, 255).astype(np.uint8)
        found.append({"image": base64.b64encode(encode_png(grey)).decode()})
    return found


def engine(folder: Path) -> Engine:
    """Return the model, loaded from a folder that is created."""
    shipped = Shipped(folder)
    shipped.weights.mkdir(parents=True)
    shipped.code.write_text(CODE)
    return Engine(shipped.load(), batch_rows=10_000)


def reference_rows(model: Engine, rows: int, *, seed: int = 1) -> list[dict[str, Any]]:
    """Return test rows with predictions and features, as `slipway.registry.reference` does."""
    summary = model.predict(json.dumps(photos(rows, seed=seed)).encode()).summary
    assert summary is not None
    kept = [json.loads(part or b"") for part in (summary.inputs, summary.outputs)]
    sharpness = json.loads(summary.features or b"")["sharpness"]
    return [
        {"record": sent, "prediction": found, "label": None, "features": {"sharpness": value}}
        for sent, found, value in zip(*kept, sharpness, strict=True)
    ]


def example(model: Engine) -> dict[str, Any]:
    """Return an example of the model's documentation."""
    [sent] = photos(1, seed=0)
    found = json.loads(model.predict(json.dumps(sent).encode()).predictions)[0]
    return {"input": sent, "output": found}
