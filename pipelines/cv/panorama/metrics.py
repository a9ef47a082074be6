"""Errors of placed photos in pixels, and of panoramas in decibels."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .crops import PHOTO
from .homography import project
from .placing import corners

# A photo is placed well if its corners are off by less than this on average: a hundredth of its
# width. Corners are farthest from the overlap, so the seam itself is nearer.
CLOSE = 3.0
# Pixels around a photo's border that count as its seam.
SEAM = 4


def as_matrix(values: Sequence[float]) -> np.ndarray | None:
    """Return nine numbers as a homography (3, 3), and no number as None."""
    return np.array(values).reshape(3, 3) if len(values) else None


def photo_errors(
    found: Sequence[Sequence[float]], true: Sequence[Sequence[float]]
) -> tuple[list[float], list[bool]]:
    """Return the corner error of each photo of the scene, and whether each stranger was placed.

    Photos are compared with the first one of the scene, since any plane is right. An error is the
    mean distance of the four corners in that photo's pixels, infinite without a place.
    """
    ends = corners(PHOTO)
    members = [row for row, each in enumerate(true) if len(each)]
    root = members[0]
    base, base_true = as_matrix(found[root]), as_matrix(true[root])
    off = []
    for row in members[1:]:
        matrix, wanted = as_matrix(found[row]), as_matrix(true[row])
        if matrix is None or base is None or wanted is None or base_true is None:
            off.append(float("inf"))
            continue
        seen = project(np.linalg.inv(base) @ matrix, ends)
        expected = project(base_true @ np.linalg.inv(wanted), ends)
        off.append(float(np.hypot(*(seen - expected).T).mean()))
    strangers = [bool(len(found[row])) for row, each in enumerate(true) if not len(each)]
    return off, strangers


def close_share(errors: Sequence[Sequence[float]]) -> float:
    """Return the share of photos, of all sets, whose corners are closer than `CLOSE` pixels."""
    return float(np.mean([error < CLOSE for each in errors for error in each]))


def median_error(errors: Sequence[Sequence[float]]) -> float:
    """Return the median corner error of photos that were placed."""
    placed = [error for each in errors for error in each if np.isfinite(error)]
    return float(np.median(placed)) if placed else float("inf")


@dataclass(frozen=True)
class Fidelity:
    """The likeness of a panorama to its scene: in decibels, and in levels along the seams."""

    psnr: float
    seam_error: float


def fidelity(
    panorama: np.ndarray,
    scene: np.ndarray,
    found: Sequence[Sequence[float]],
    true: Sequence[Sequence[float]],
) -> Fidelity | None:
    """Return a panorama's likeness to the scene, seen through the first placed photo.

    Its overall brightness is free: the factor with the least error is applied first. None if the
    first photo has no place.
    """
    base, base_true = as_matrix(found[0]), as_matrix(true[0])
    if base is None or base_true is None:
        return None
    size = panorama.shape[1::-1]
    expected = cv2.warpPerspective(scene, base @ base_true, size).astype(np.float64)
    inside, seams = covered(found, size)
    inside &= cv2.warpPerspective(np.ones(scene.shape[:2], np.uint8), base @ base_true, size) > 0
    values = panorama.astype(np.float64)
    factor = (values[inside] * expected[inside]).sum() / max((values[inside] ** 2).sum(), 1.0)
    apart = np.abs(factor * values - expected)
    squared = max(float((apart[inside] ** 2).mean()), 1e-9)
    edge = inside & seams
    error = float(apart[edge].mean()) if edge.any() else 0.0
    return Fidelity(10 * np.log10(255**2 / squared), error)


def covered(
    found: Sequence[Sequence[float]], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels that photos cover, and those near a border inside of another photo."""
    count = np.zeros(size[::-1], dtype=np.int64)
    seams = np.zeros(size[::-1], dtype=bool)
    kernel = np.ones((2 * SEAM + 1, 2 * SEAM + 1), dtype=np.uint8)
    for values in found:
        matrix = as_matrix(values)
        if matrix is not None:
            mask = cv2.warpPerspective(np.ones(PHOTO[::-1], np.uint8), matrix, size)
            count += mask
            seams |= cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, kernel) > 0
    return count > 0, seams & (count > 0)
