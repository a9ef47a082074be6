"""Models that run in the visitor's browser, compared with the server's own predictions."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import PIL.Image
import pytest
from onnx import TensorProto, helper

from slipway.contract.modules import load_file
from slipway.datasets.sources import SourceFault
from slipway.programs import browser_runtime
from slipway.training.graph import write_model
from tests.browser import Tab
from tests.services.fake_models import ModelRegistryFixture, Server
from tests.services.predict.site.site_check import hold_the_page_rules, press, run_in_browser
from tests.waiting import until

HEIGHT, WIDTH = 12, 16
CODE = '''
"""Which color is it?

Data: none.
Task: for tests of graphs in browsers.
Model: random weights.
Limits: it knows nothing.
"""

from slipway.contract import OnnxModel, publish
from slipway.kits.classes import ClassRecord
from slipway.kits.images import ImageRecord, image_batch


class Photo(ImageRecord, size=(12, 16), mode="{mode}"):
    """A photo."""


class Color(ClassRecord, labels=("red", "green", "blue")):
    """The most probable color."""


class Colors(OnnxModel):
    def predict(self, model_input: list[Photo]) -> list[Color]:
        found = self.run(image_batch(model_input))["probabilities"]
        return Color.from_probabilities({change})


publish(Colors())
'''
MODELS = {
    "colors": ("RGB", "found"),
    "grays": ("L", "found"),
    "reversed": ("RGB", "found[:, ::-1]"),
}


def graph_bytes(folder: Path, channels: int) -> bytes:
    """Return a graph with random weights, in which every pixel matters."""
    rng = np.random.default_rng(channels)
    size = channels * HEIGHT * WIDTH
    weights = (rng.normal(size=(size, 3)) / np.sqrt(size) * 20).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    shape = ["rows", channels, HEIGHT, WIDTH]
    graph = helper.make_graph(
        nodes,
        "colors",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", 3])],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    write_model(model, folder / f"{channels}.onnx")
    return (folder / f"{channels}.onnx").read_bytes()


def photo(width: int, height: int, kind: str = "PNG", seed: int = 0) -> bytes:
    """Return a picture of smooth colors with noise, so that every step of resizing shows."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 200, width)[None, :, None] + rng.integers(0, 56, (height, width, 3))
    file = io.BytesIO()
    PIL.Image.fromarray(ramp.astype(np.uint8)).save(file, kind)
    return file.getvalue()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    try:
        browser_runtime.fetch()
    except (browser_runtime.RuntimeUnavailable, SourceFault) as fault:
        pytest.fail(f"the browser's runtime is part of what the website offers: {fault}")
    folder = tmp_path_factory.mktemp("browser")
    registry = ModelRegistryFixture(folder)
    for name, (mode, change) in MODELS.items():
        code = CODE.replace("{mode}", mode).replace("{change}", change)
        weights = {"model.onnx": graph_bytes(folder, 1 if mode == "L" else 3)}
        registry.add(name, code, weights=weights, example=predicted(folder, name, code, weights))
    with registry.serving() as running:
        until(lambda: len(running.client.get("/v1/models").json()["models"]) == len(MODELS))
        yield running


def predicted(folder: Path, name: str, code: str, weights: dict[str, bytes]) -> dict[str, object]:
    """Return an example with the prediction of the model itself."""
    place = folder / name
    place.mkdir()
    (place / "model.py").write_text(code)
    (place / "model.onnx").write_bytes(weights["model.onnx"])
    model = load_file(place / "model.py")
    model.load(place)
    record = model.input_type()(image=photo(40, 30))
    [prediction] = model.predict([record])
    image = base64.b64encode(record.image).decode()
    return {"input": {"image": image}, "output": prediction.model_dump(mode="json")}


def run_here(tab: Tab, address: str, name: str, content: bytes, kind: str) -> float:
    """Predict for a picture on the page, run the graph there; return the largest difference."""
    tab.open(f"{address}/try/{name}")
    tab.wait("document.querySelector('.workbench .headline')")
    press(tab, "JSON")
    text = base64.b64encode(content).decode()
    tab.run(f"document.querySelector('#record-json').value = JSON.stringify({{image: '{text}'}})")
    tab.click(".send .primary")
    tab.wait("document.querySelector('.meta .id')")
    return run_in_browser(tab)


@pytest.mark.parametrize("name", ["colors", "grays"])
@pytest.mark.parametrize("size", [(16, 12), (40, 30), (333, 97), (5, 4), (3, 200), (31, 60)])
def test_pixels_and_probabilities_are_the_servers(
    tab: Tab, served: Server, name: str, size: tuple[int, int]
) -> None:
    content = photo(*size, seed=sum(size))
    assert run_here(tab, served.address, name, content, "png") < 1e-6
    hold_the_page_rules(tab)


def test_a_jpeg_is_decoded_nearly_alike(tab: Tab, served: Server) -> None:
    """Decoders of JPEG may differ by a level or two; weights of this network make much of that."""
    assert run_here(tab, served.address, "colors", photo(120, 80, "JPEG"), "jpeg") < 0.05


def test_a_model_with_its_own_code_is_not_offered(served: Server) -> None:
    """Its labels are in another order than the graph's probabilities."""
    described = served.client.get("/v1/models/reversed/schema").json()
    assert described["browser"] is None
    policies = {
        name: served.client.get(f"/try/{name}").headers["content-security-policy"]
        for name in ("reversed", "colors")
    }
    assert "unsafe" not in policies["reversed"]
    assert policies["colors"].count("unsafe") == policies["colors"].count("'wasm-unsafe-eval'") == 1
    assert "graph" not in described["links"]
    response = served.client.get("/v1/models/reversed/graph")
    assert response.status_code == 404
    assert "its own code makes the predictions" in response.json()["detail"]


def test_the_graph_is_the_registered_one(served: Server) -> None:
    described = served.client.get("/v1/models/colors/schema").json()
    response = served.client.get(described["links"]["graph"])
    assert len(response.content) == described["browser"]["bytes"]
    tag = response.headers["etag"]
    assert tag.strip('"') == described["browser"]["sha256"]
    again = served.client.get(described["links"]["graph"], headers={"if-none-match": tag})
    assert again.status_code == 304
    for path in ("0.0.0/ort.wasm.min.mjs", f"{browser_runtime.VERSION}/secrets.txt"):
        assert served.client.get(f"/site/onnxruntime/{path}").status_code == 404
