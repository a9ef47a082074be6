"""Choose the method by how well it counts crossings of earlier windows; nothing else is learned."""

from pathlib import Path

import numpy as np

from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.selection import simplest_within_error

from .background import MotionRecipe
from .counting import Counts, count_metrics
from .model import CountedCrossings, MotionView, follow_motion

# From the simplest to the most complex.
RECIPES = {
    "baseline": MotionRecipe(method="differencing", threshold=12),
    "differencing_steadied": MotionRecipe(method="differencing", threshold=12, steadied=True),
    "mean": MotionRecipe(method="mean"),
    "mean_steadied": MotionRecipe(method="mean", steadied=True),
    "gaussian": MotionRecipe(),
    "gaussian_steadied": MotionRecipe(steadied=True),
    "gaussian_steadied_20": MotionRecipe(steadied=True, threshold=20),
    "gaussian_steadied_fast": MotionRecipe(steadied=True, rate=0.05),
    "gaussian_steadied_joined": MotionRecipe(steadied=True, closing=3),
}
# Compared, but not chosen: its memory cannot be sent back with the next picture.
REFERENCE = {"opencv_mog2": MotionRecipe(method="mog2")}


def fit(*, train: LabelledRows[MotionView, CountedCrossings], weights: Path, seed: int) -> Fitted:
    """Choose the recipe with the least error of its counts, and write it."""
    tried = []
    for name, recipe in {**RECIPES, **REFERENCE}.items():
        found = [follow_motion(view, recipe) for view in train.records]
        counts = np.array([(each.forward, each.backward) for each in found])
        metrics = count_metrics(Counts.from_labels(train.labels, counts), seed)
        tried.append(Candidate(name, metrics, recipe.model_dump()))
        print(f"{name}: count_error {metrics['count_error']:.3f}", flush=True)
    own = [each for each in tried if each.name in RECIPES]
    chosen = simplest_within_error(own, "count_error", best="lowest").name
    (weights / "recipe.json").write_text(RECIPES[chosen].model_dump_json() + "\n")
    return Fitted(tried, chosen)
