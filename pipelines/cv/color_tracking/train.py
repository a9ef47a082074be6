"""Choose thresholds, morphology and normalization by training clips; nothing else is learned.

Parity is measured against OpenCV's thresholds and morphology.
"""

from pathlib import Path

import cv2
import numpy as np

from slipway.kits.tracking.metrics import TrackingTotals, count_tracks
from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.selection import bootstrap_error, simplest_within_error

from .model import ColoredObjects, ColorView, KnownTracks, follow_colors
from .scenes import LIGHTS
from .thresholds import TURN, ColorRecipe, HueRange, normalize

# From the simplest to the most complex.
RECIPES = {
    "baseline": ColorRecipe(space="rgb", tolerance=80),
    "rgb_opened_2": ColorRecipe(space="rgb", tolerance=80, radius=2),
    "hsv_narrow": ColorRecipe(tolerance=14),
    "hsv": ColorRecipe(),
    "hsv_dark": ColorRecipe(min_value=0.12),
    "hsv_opened_1": ColorRecipe(min_value=0.12, radius=1),
    "hsv_opened_2": ColorRecipe(min_value=0.12, radius=2),
    "hsv_opened_3": ColorRecipe(min_value=0.12, radius=3),
    "normalized": ColorRecipe(normalized=True),
    "normalized_1": ColorRecipe(radius=1, normalized=True),
    "normalized_2": ColorRecipe(radius=2, normalized=True),
    "normalized_3": ColorRecipe(radius=3, normalized=True),
}


def fit(*, train: LabelledRows[ColorView, KnownTracks], weights: Path, seed: int) -> Fitted:
    """Choose the recipe by the identity score of the training clips, and write it."""
    tried = []
    for name, recipe in RECIPES.items():
        totals = [
            count_tracks(label.tracks, follow_colors(view, recipe).tracks) for view, label in train
        ]
        tried.append(Candidate(name, scores(totals, train.labels, seed), recipe.model_dump()))
        print(f"{name}: idf1 {tried[-1].metrics['idf1']:.3f}", flush=True)
    chosen = simplest_within_error(tried, "idf1", best="highest").name
    (weights / "recipe.json").write_text(RECIPES[chosen].model_dump_json() + "\n")

    def opencv_predict(views: list[ColorView]) -> list[ColoredObjects]:
        return [follow_colors(each, RECIPES[chosen], opencv_masks) for each in views]

    return Fitted(tried, chosen, opencv_predict)


def scores(totals: list[TrackingTotals], labels: list[KnownTracks], seed: int) -> dict[str, float]:
    """Return the metrics over all clips, the error of IDF1 over clips, and IDF1 by light."""

    def idf1(rows: np.ndarray) -> float:
        return summed([totals[row] for row in rows]).metrics()["idf1"]

    lights = np.array([each.light for each in labels])
    by_light = {f"idf1_{each}": np.flatnonzero(lights == each) for each in LIGHTS}
    return {
        **summed(totals).metrics(),
        "idf1_se": bootstrap_error(idf1, len(totals), seed=seed),
        **{name: idf1(rows) for name, rows in by_light.items() if len(rows)},
    }


def summed(totals: list[TrackingTotals]) -> TrackingTotals:
    """Return the totals of all clips."""
    return sum(totals, TrackingTotals())


def opencv_masks(
    picture: np.ndarray, ranges: list[HueRange], recipe: ColorRecipe
) -> list[np.ndarray]:
    """Return the masks that OpenCV's own functions make."""
    picture = normalize(picture) if recipe.normalized else picture
    hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
    return [opencv_clean(opencv_in_range(hsv, each), recipe.radius) for each in ranges]


def opencv_in_range(hsv: np.ndarray, limits: HueRange) -> np.ndarray:
    """Return the mask of uint8 of one range; a range across 0 needs two of OpenCV's."""
    first, last = limits.hue
    parts = [(first, last)] if first <= last else [(first, TURN - 1), (0, last)]
    (low, high), (dark, bright) = limits.saturation, limits.value
    masks = [cv2.inRange(hsv, (one, low, dark), (two, high, bright)) for one, two in parts]
    return np.asarray(np.bitwise_or.reduce(masks))


def opencv_clean(mask: np.ndarray, radius: int) -> np.ndarray:
    """Return the mask after OpenCV's closing and opening."""
    square = np.ones((2 * radius + 1,) * 2, np.uint8)
    for operation in (cv2.MORPH_CLOSE, cv2.MORPH_OPEN):
        mask = cv2.morphologyEx(mask, operation, square)
    return np.asarray(mask > 0)
