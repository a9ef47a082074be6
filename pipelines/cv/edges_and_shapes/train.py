"""Choose smoothing, thresholds and the way of naming by the training drawings.

There are no weights to learn.
"""

from pathlib import Path

import cv2
import numpy as np

from slipway.media import decode_image
from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.selection import bootstrap_error, simplest_within_error

from . import hed
from .canny import RULES
from .metrics import edge_counts, edge_f1, f1, shape_counts
from .model import Drawing, Outlines, Scene, Settings, detect, named_boxes, outlined
from .shapes import NAMERS, find_outlines

# Pixels of smoothing.
SIGMAS = (1.0, 1.5)


def recipes() -> dict[str, Settings]:
    """Return the settings to compare, from the simplest to the most complex."""
    found = {
        f"{rule}_{sigma:g}_{namer}": Settings(rule=rule, sigma=sigma, namer=namer)
        for namer in NAMERS
        for rule in RULES
        for sigma in SIGMAS
    }
    return {"baseline": found.pop("fixed_1_corners"), **found}


def opencv_edges(gray: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return the edges that OpenCV finds, bool (height, width)."""
    return np.asarray(cv2.Canny(gray, low, high, L2gradient=True) > 0)


def fit(*, train: LabelledRows[Scene, Drawing], weights: Path, seed: int) -> Fitted:
    """Choose the simplest settings within one standard error of the best, and write them."""
    tried = []
    for name, settings in recipes().items():
        edges = [detect(each, settings)[0] for each in train.records]
        metrics = validate(edges, settings.namer, train, seed)
        tried.append(Candidate(name, metrics, settings.model_dump()))
    chosen = simplest_within_error(tried, "shape_f1", best="highest").name
    settings = recipes()[chosen]
    (weights / "settings.json").write_text(settings.model_dump_json() + "\n")
    # Compared, not chosen: it needs 59 MB of weights and a hundred times as long.
    network = hed.load_network()
    images = [decode_image(each.image) for each in train.records]
    edges = [hed.thin(hed.edge_probabilities(network, each), hed.THRESHOLD) for each in images]
    tried.append(Candidate("network_edges", validate(edges, settings.namer, train, seed)))

    def opencv_predict(scenes: list[Scene]) -> list[Outlines]:
        return [outlined(each, settings, opencv_edges) for each in scenes]

    return Fitted(tried, chosen, opencv_predict)


def validate(
    edges: list[np.ndarray], namer: str, rows: LabelledRows[Scene, Drawing], seed: int
) -> dict[str, float]:
    """Return the scores of edges, and of the shapes that are found from them."""
    counts, pixels = [], []
    for one, scene, label in zip(edges, rows.records, rows.labels, strict=True):
        found = named_boxes(find_outlines(one, namer, scene.min_area), one.shape)
        counts.append(shape_counts(found, label.shapes))
        pixels.append(edge_counts(one, decode_image(label.edges, "L") > 0))
    shapes = np.array(counts)
    error = bootstrap_error(lambda rows: f1(shapes[rows]), len(shapes), seed=seed)
    return {"shape_f1": f1(shapes), "shape_f1_se": error, "edge_f1": edge_f1(np.array(pixels))}
