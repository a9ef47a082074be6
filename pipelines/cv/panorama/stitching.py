"""Stitch photos: match, place, blend; and say what was done in words."""

from dataclasses import dataclass

import cv2
import numpy as np

from .blending import Layer, blend, warp
from .homography import errors
from .matching import Pair, find_keypoints
from .placing import Placement, match_all, place

# Lines that are drawn between matching points.
LINES = 60


@dataclass(frozen=True)
class Recipe:
    """The way in which photos are matched and blended."""

    detector: str
    refined: bool
    equal: bool
    blender: str


@dataclass(frozen=True)
class Stitched:
    """The panorama (height, width, 3), and how it came about; `placement` is None if it did not."""

    picture: np.ndarray
    plain: np.ndarray
    placement: Placement | None
    gains: dict[int, float]
    pairs: dict[tuple[int, int], Pair]
    message: str


def place_photos(
    images: list[np.ndarray], recipe: Recipe
) -> tuple[Placement | None, dict[tuple[int, int], Pair]]:
    """Return where photos (height, width, 3) lie on one plane, and the matches of each two."""
    keypoints = [
        find_keypoints(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY), recipe.detector) for each in images
    ]
    pairs = match_all(keypoints, refined=recipe.refined)
    return place([(each.shape[1], each.shape[0]) for each in images], pairs), pairs


def layers_of(images: list[np.ndarray], placement: Placement) -> list[Layer]:
    """Return the placed photos on the panorama's plane, in order of their numbers."""
    return [
        warp(images[row], matrix, placement.size)
        for row, matrix in sorted(placement.matrices.items())
    ]


def stitch(images: list[np.ndarray], recipe: Recipe) -> Stitched:
    """Return the panorama of photos (height, width, 3); without one, the first photo."""
    if len(images) < 2:
        message = "A panorama needs at least two photos that overlap."
        return Stitched(images[0], images[0], None, {}, {}, message)
    placement, pairs = place_photos(images, recipe)
    if placement is None:
        most = max((each.inliers for each in pairs.values()), default=0)
        message = (
            "No two photos could be joined: they must show a part of the same scene "
            f"(at most {most} points agree)."
        )
        return Stitched(images[0], images[0], None, {}, pairs, message)
    layers = layers_of(images, placement)
    picture, factors = blend(layers, recipe.blender, equal=recipe.equal)
    plain, _ = blend(layers, "none", equal=False)
    rows = sorted(placement.matrices)
    left_out = [str(row + 1) for row in range(len(images)) if row not in rows]
    message = f"{len(rows)} of {len(images)} photos joined."
    if left_out:
        message += f" Left out, since nothing in common was found: {', '.join(left_out)}."
    found = dict(zip(rows, factors.tolist(), strict=True))
    return Stitched(picture, plain, placement, found, pairs, message)


def best_pair(pairs: dict[tuple[int, int], Pair]) -> tuple[int, int] | None:
    """Return the photos with most matches that agree, or most matches."""
    if not pairs:
        return None
    return max(pairs, key=lambda each: (pairs[each].inliers, len(pairs[each].source)))


def pair_error(found: Pair) -> float:
    """Return the mean distance in pixels between matches that agree, or 0 without any."""
    if found.consensus is None:
        return 0.0
    inliers = found.consensus.inliers
    return float(
        errors(found.consensus.matrix, found.source[inliers], found.target[inliers]).mean()
    )


def draw_matches(one: np.ndarray, other: np.ndarray, found: Pair) -> np.ndarray:
    """Return two photos side by side, twice: above all matches, below those that agree."""
    high = max(one.shape[0], other.shape[0])
    sheet = np.zeros((2 * high + 6, one.shape[1] + other.shape[1], 3), dtype=np.uint8)
    agree = found.consensus.inliers if found.consensus else np.zeros(len(found.source), dtype=bool)
    for top, kept in ((0, np.ones_like(agree)), (high + 6, agree)):
        sheet[top : top + one.shape[0], : one.shape[1]] = one
        sheet[top : top + other.shape[0], one.shape[1] :] = other
        rows = np.flatnonzero(kept)
        rows = rows[:: max(1, len(rows) // LINES)]
        for row in rows:
            color = (60, 220, 90) if agree[row] else (240, 60, 60)
            start = np.rint(found.source[row] + [0, top]).astype(int).tolist()
            end = np.rint(found.target[row] + [one.shape[1], top]).astype(int).tolist()
            cv2.line(sheet, start, end, color, 1, cv2.LINE_AA)
    return sheet
