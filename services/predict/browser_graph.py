"""Graphs that a visitor's browser can run, because their inputs are made by the library alone.

A classifier of pictures on the kit resizes a picture, divides by 255 and runs one graph. The
website does the same in the browser. Which versions do nothing else is not declared but tried: the
graph's own probabilities are compared with the model's predictions for its examples.
"""

import hashlib

import numpy as np
from pydantic import BaseModel, ConfigDict

from slipway.contract import Model, OnnxModel, Record
from slipway.contract.shipped import Shipped
from slipway.kits.classes import ClassRecord
from slipway.kits.images import ImageRecord, image_batch

FILE = "model.onnx"
INPUT, OUTPUT = "images", "probabilities"
# Predictions are the graph's own numbers; a model that changes them does not run in a browser.
TOLERANCE = 1e-9


class BrowserGraph(BaseModel):
    """The facts that a page needs to run a version's graph."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    bytes: int
    field: str = "image"
    """The record's field with the picture."""
    height: int
    width: int
    mode: str
    """`RGB`, or `L` for grey."""
    input: str = INPUT
    output: str = OUTPUT
    labels: list[str]


def find_browser_graph(
    model: Model, shipped: Shipped, records: list[Record]
) -> BrowserGraph | None:
    """Return how a browser runs the model; None if it needs the model's own code.

    `records` are the shipped examples, for which the two are compared.
    """
    kind, output = model.input_type(), model.output_type()
    if not (isinstance(model, OnnxModel) and issubclass(kind, ImageRecord)):
        return None
    if set(kind.model_fields) != {"image"} or not issubclass(output, ClassRecord):
        return None
    if not _predicts_what_the_graph_does(model, output, records):
        return None
    content = (shipped.weights / FILE).read_bytes()
    return BrowserGraph(
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        height=kind.size[0],
        width=kind.size[1],
        mode=kind.mode,
        labels=list(output.labels),
    )


def _predicts_what_the_graph_does(
    model: OnnxModel, output: type[ClassRecord], records: list[Record]
) -> bool:
    try:
        found = model.run(image_batch(records))[OUTPUT]
        expected = output.to_probabilities(model.predict(records))
    # A graph with other inputs or outputs refuses these, each runtime in its own way.
    except Exception:
        return False
    return found.shape == expected.shape and bool(np.abs(found - expected).max() <= TOLERANCE)
