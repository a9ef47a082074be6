"""The two models that are served, in their folders, and the pictures to send."""

import base64
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks import work
from benchmarks.media.sizes import SIDE
from slipway.contract.shipped import Shipped
from slipway.media import decode_image, encode_jpeg

PICTURES, WRITER = "pictures", "writer"
HERE = Path(__file__).parent
COUNT = 64
PROMPT = list(range(16))


@dataclass(frozen=True)
class MediaSubject:
    """`jpegs` are sent in turn; rows of numbers (1, 1) stand for them in calls."""

    pictures: Shipped
    writer: Shipped
    jpegs: list[bytes]

    @property
    def graph(self) -> Path:
        return self.pictures.weights / "model.onnx"

    @property
    def rows(self) -> np.ndarray:
        return np.arange(len(self.jpegs)).reshape(-1, 1)

    @cached_property
    def texts(self) -> list[str]:
        """Return the pictures in base64."""
        return [base64.b64encode(each).decode() for each in self.jpegs]

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Return what every server must return, (pictures,)."""
        from slipway.contract.graph import OnnxRuntimeGraph

        graph = OnnxRuntimeGraph(self.graph)
        found = [graph.run({"pixels": decode_image(each)[None]}) for each in self.jpegs]
        return np.concatenate([each["probabilities"].max(axis=1) for each in found])


def build() -> MediaSubject:
    """Make the networks and the pictures."""
    from benchmarks.media import networks

    jpegs = [jpeg(seed) for seed in range(COUNT)]
    return MediaSubject(
        _ship(PICTURES, networks.export_pictures, {"image": base64.b64encode(jpegs[0]).decode()}),
        _ship(WRITER, networks.export_writer, {"tokens": PROMPT, "more": 4}),
        jpegs,
    )


def jpeg(seed: int) -> bytes:
    """Return a picture of about 20 KB: blurred noise, as smooth as a photograph."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (SIDE // 8, SIDE // 8, 3)).astype(float)
    smooth = np.kron(coarse, np.ones((8, 8, 1)))
    noisy = smooth + random.normal(0, 12, smooth.shape)
    return encode_jpeg(np.clip(noisy, 0, 255).astype(np.uint8), quality=85)


def _ship(name: str, export: Callable[[Path], None], sent: dict[str, object]) -> Shipped:
    folder = work.folder() / "media" / name
    shutil.rmtree(folder, ignore_errors=True)
    shipped = Shipped(folder)
    for each in (shipped.weights, shipped.about):
        each.mkdir(parents=True)
    model_file = HERE / f"{'picture' if name == PICTURES else name}_model.py"
    shutil.copy(model_file, shipped.code)
    export(shipped.weights)
    model = shipped.load()
    record = model.input_type().model_validate_json(json.dumps(sent))
    output = model.predict([record])[0].model_dump(mode="json")
    (shipped.about / "card.md").write_text(f"# {name}\n\n**How fast is it?**\n")
    (shipped.about / "metrics.json").write_text('{"metrics": {"accuracy": 0.1}}')
    (shipped.about / "examples.json").write_text(json.dumps([{"input": sent, "output": output}]))
    return shipped
