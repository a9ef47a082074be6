"""Find a picture again among others after a change, by the distance of histograms."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import PIL.Image

from .comparing import DISTANCES, HISTOGRAMS
from .pictures import CHANGES, read_pictures

DRAWS = 3
# The baseline compares pictures of this many pixels a side, place by place.
THUMBNAIL = 32


@dataclass(frozen=True)
class Search:
    """Changed pictures to look for: `wanted[i]` is the gallery's place of the i-th one."""

    gallery: list[np.ndarray]
    queries: list[np.ndarray]
    wanted: np.ndarray
    kinds: list[str]


def make_search(part: str, seed: int) -> Search:
    """Return each picture of a split several times after each kind of change."""
    generator = np.random.default_rng(seed)
    gallery = list(read_pictures(part, further=True).values())
    queries, wanted, kinds = [], [], []
    for kind, change in CHANGES.items():
        for place, image in enumerate(gallery):
            for _ in range(DRAWS):
                queries.append(change(image, generator))
                wanted.append(place)
                kinds.append(kind)
    return Search(gallery, queries, np.array(wanted), kinds)


def pixels(image: np.ndarray) -> np.ndarray:
    """Return a small copy of the picture as a row of numbers."""
    small = PIL.Image.fromarray(image).resize((THUMBNAIL, THUMBNAIL), PIL.Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64).ravel()


def pixel_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the root of the mean square of the differences."""
    return float(np.sqrt(np.mean((one - other) ** 2)))


def found(search: Search, histogram: str, measure: str) -> np.ndarray:
    """Return for each query whether the nearest picture of the gallery is the wanted one."""
    describe: Callable[[np.ndarray], np.ndarray] = HISTOGRAMS.get(histogram, pixels)
    distance = DISTANCES.get(measure, pixel_distance)
    gallery = [describe(each) for each in search.gallery]
    nearest = [
        int(np.argmin([distance(described, each) for each in gallery]))
        for described in map(describe, search.queries)
    ]
    return np.asarray(np.array(nearest) == search.wanted)


def candidates() -> list[tuple[str, str]]:
    """Return histograms and measures to compare, from the simplest on, after the baseline.

    The earth mover's distance is for gray values: only there does a row of bins have an order.
    """
    return [
        ("pixels", "distance"),
        *(
            (histogram, measure)
            for histogram in HISTOGRAMS
            for measure in DISTANCES
            if measure != "emd" or histogram == "gray"
        ),
    ]
