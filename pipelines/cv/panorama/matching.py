"""Find the same points in two photos: keypoints, descriptors, and matches."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from .homography import Consensus, ransac

# Keypoints are looked for in a copy of at most so many pixels a side, and at most so many.
SIDE, KEYPOINTS = 900, 1500
# The second best match must be worse by this factor (Lowe 2004).
RATIO = 0.75
# Matches within so many pixels agree with a homography.
REACH = 3.0
# Chance gives eight matches plus three in ten of all (Brown and Lowe 2007).
CHANCE, CHANCE_SHARE = 8.0, 0.3
SEED = 4
DETECTORS: dict[str, Callable[[], cv2.Feature2D]] = {
    "sift": lambda: cv2.SIFT.create(nfeatures=KEYPOINTS),
    "orb": lambda: cv2.ORB.create(nfeatures=KEYPOINTS),
}


@dataclass(frozen=True)
class Keypoints:
    """Points (n, 2) in the photo's pixels, and their descriptors (n, length)."""

    points: np.ndarray
    descriptors: np.ndarray


@dataclass(frozen=True)
class Pair:
    """Matches (n, 2) of two photos, and the homography from the first to the second, if any."""

    source: np.ndarray
    target: np.ndarray
    consensus: Consensus | None

    @property
    def inliers(self) -> int:
        """The number of matches that agree."""
        return int(self.consensus.inliers.sum()) if self.consensus else 0

    @property
    def trusted(self) -> bool:
        """True if more matches agree than chance explains."""
        return self.inliers > CHANCE + CHANCE_SHARE * len(self.source)


def find_keypoints(gray: np.ndarray, detector: str) -> Keypoints:
    """Return the keypoints of a picture (height, width) by `sift` or `orb`."""
    scale = min(1.0, SIDE / max(gray.shape))
    small = gray
    if scale < 1:
        small = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    finder = DETECTORS[detector]()
    try:
        found, descriptors = finder.detectAndCompute(small, None)
    # A picture of a few pixels has no pyramid.
    except cv2.error:
        found, descriptors = (), None
    if descriptors is None or not found:
        return Keypoints(np.empty((0, 2)), np.empty((0, 1), dtype=np.float32))
    points = np.array([each.pt for each in found], dtype=np.float64)
    # Centers of pixels lie half a pixel in.
    return Keypoints((points + 0.5) / scale - 0.5, descriptors)


def match(one: Keypoints, other: Keypoints) -> tuple[np.ndarray, np.ndarray]:
    """Return the points (n, 2) of both photos that match: clearly the best, in both directions."""
    if len(one.points) < 2 or len(other.points) < 2:
        return np.empty((0, 2)), np.empty((0, 2))
    norm = cv2.NORM_HAMMING if one.descriptors.dtype == np.uint8 else cv2.NORM_L2
    matcher = cv2.BFMatcher(norm)
    kept = {}
    for near, *rest in matcher.knnMatch(one.descriptors, other.descriptors, k=2):
        if rest and near.distance < RATIO * rest[0].distance:
            kept[near.queryIdx] = near.trainIdx
    back = {
        each.queryIdx: each.trainIdx for each in matcher.match(other.descriptors, one.descriptors)
    }
    rows = [(query, train) for query, train in kept.items() if back.get(train) == query]
    places = np.array(rows, dtype=np.int64).reshape(-1, 2)
    return one.points[places[:, 0]], other.points[places[:, 1]]


def pair(one: Keypoints, other: Keypoints, *, refined: bool) -> Pair:
    """Return the matches of two photos and the homography that most agree with."""
    source, target = match(one, other)
    return Pair(source, target, ransac(source, target, reach=REACH, seed=SEED, refined=refined))
