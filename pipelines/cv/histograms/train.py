"""Choose by training pictures what there is to choose; there are no weights to learn.

Method, clip limit and tiles: by the decibels that degraded pictures gain towards their originals.
Kind of histogram and measure: by how often a changed picture is found again.
"""

from pathlib import Path

import numpy as np

from slipway.kits.metrics.pictures import psnr
from slipway.media import decode_image
from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.selection import simplest_within_error

from .enhancing import METHODS, recolor, to_gray
from .metrics import mean_error
from .model import Enhanced, Original, Photo, Settings, enhanced
from .reference import OPENCV
from .retrieval import candidates, found, make_search

# From the simplest to the most complex: method, clip limit, tiles a side.
RECIPES = {
    "baseline": ("none", 0.0, 1),
    "equalize": ("equalize", 0.0, 1),
    **{
        f"clahe_{clip:g}_{tiles}": ("clahe", clip, tiles)
        for tiles in (1, 2, 4, 8)
        for clip in (1.0, 1.5, 2.0, 3.0, 4.0)
    },
}


def fit(*, train: LabelledRows[Photo, Original], weights: Path, seed: int) -> Fitted:
    """Choose the settings by the training pictures, and write them."""
    tried = enhancements(train, seed)
    chosen = simplest_within_error(tried, "gain_db", best="highest").name
    searches = retrievals(seed)
    histogram = simplest_within_error(searches, "found_share", best="highest")
    method, clip, tiles = RECIPES[chosen]
    settings = Settings(
        method=method,
        # Callers may ask for CLAHE even if another method was chosen.
        clip_limit=clip or 2.0,
        tiles=tiles,
        histogram=histogram.parameters["histogram"],
        measure=histogram.parameters["measure"],
    )
    (weights / "settings.json").write_text(settings.model_dump_json() + "\n")

    def opencv_predict(photos: list[Photo]) -> list[Enhanced]:
        return [enhanced(each, settings, OPENCV) for each in photos]

    return Fitted([*tried, *searches], chosen, opencv_predict)


def enhancements(train: LabelledRows[Photo, Original], seed: int) -> list[Candidate]:
    """Return the candidates for enhancing, with the decibels that they gain."""
    images = [decode_image(each.image) for each in train.records]
    originals = [decode_image(each.image) for each in train.labels]
    grays = [to_gray(each) for each in images]
    before = np.array([each.degraded_psnr for each in train.labels])
    names = [each.picture for each in train.labels]
    tried = []
    for name, (method, clip, tiles) in RECIPES.items():
        after = [
            psnr(original, recolor(image, gray, METHODS[method](gray, clip, tiles)))
            for original, image, gray in zip(originals, images, grays, strict=True)
        ]
        gains = np.array(after) - before
        metrics = {"gain_db": float(gains.mean()), "gain_db_se": mean_error(gains, names)}
        metrics["psnr"] = float(np.mean(after))
        parameters = {"method": method, "clip_limit": clip, "tiles": tiles}
        tried.append(Candidate(name, metrics, parameters))
    return tried


def retrievals(seed: int) -> list[Candidate]:
    """Return the candidates for finding pictures again, with how often they do."""
    search = make_search("train", seed)
    tried = []
    for histogram, measure in candidates():
        hits = found(search, histogram, measure).astype(float)
        name = f"find_by_{histogram}_{measure}"
        error = mean_error(hits, search.wanted.tolist())
        metrics = {"found_share": float(hits.mean()), "found_share_se": error}
        tried.append(Candidate(name, metrics, {"histogram": histogram, "measure": measure}))
    return tried
