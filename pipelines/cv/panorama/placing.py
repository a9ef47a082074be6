"""Place photos on one plane: which belong together, and where each of them lies."""

from dataclasses import dataclass

import numpy as np

from .homography import project
from .matching import Keypoints, Pair, pair

# The panorama has at most so many pixels a side, and in all.
LONGEST, LARGEST = 4096, 12_000_000
# A photo that would cover so many times its own area is seen from too far aside.
STRETCH = 6.0


@dataclass(frozen=True)
class Placement:
    """Homographies (3, 3) from photos to the panorama by the photos' numbers, and its size."""

    matrices: dict[int, np.ndarray]
    size: tuple[int, int]
    pairs: dict[tuple[int, int], Pair]


def corners(size: tuple[int, int]) -> np.ndarray:
    """Return the centers of the corner pixels (4, 2) of a photo of (width, height)."""
    wide, high = size[0] - 1, size[1] - 1
    return np.array([[0.0, 0.0], [wide, 0], [wide, high], [0, high]])


def signed_area(points: np.ndarray) -> float:
    """Return the area inside an outline (n, 2): positive if it runs as in the photo."""
    x, y = points.T
    return float((np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def plausible(matrix: np.ndarray, size: tuple[int, int]) -> bool:
    """Return whether a photo of (width, height) stays convex, not mirrored, and of some size."""
    ends = corners(size)
    if (ends @ matrix[2, :2] + matrix[2, 2]).min() <= 1e-6:
        return False
    placed = project(matrix, ends)
    turns = [
        signed_area(np.array([placed[place - 1], placed[place], placed[(place + 1) % 4]]))
        for place in range(4)
    ]
    ratio = signed_area(placed) / max(signed_area(ends), 1e-9)
    return min(turns) > 0 and 1 / STRETCH < ratio < STRETCH


def match_all(keypoints: list[Keypoints], *, refined: bool) -> dict[tuple[int, int], Pair]:
    """Return the matches of each two photos."""
    count = len(keypoints)
    return {
        (one, other): pair(keypoints[one], keypoints[other], refined=refined)
        for one in range(count)
        for other in range(one + 1, count)
    }


def spanning_tree(pairs: dict[tuple[int, int], Pair]) -> list[tuple[int, int]]:
    """Return the trusted pairs that connect most photos by most matches (Kruskal 1956)."""
    group: dict[int, int] = {}
    kept = []
    for one, other in sorted(pairs, key=lambda each: -pairs[each].inliers):
        first, second = group.setdefault(one, one), group.setdefault(other, other)
        if pairs[one, other].trusted and first != second:
            kept.append((one, other))
            for photo, name in group.items():
                if name == second:
                    group[photo] = first
    return kept


def branches(tree: list[tuple[int, int]], root: int) -> list[tuple[int, int]]:
    """Return the steps (parent, child) that reach every photo connected to the root."""
    found, reached = [], [root]
    for parent in reached:
        for one, other in tree:
            child = other if one == parent else one if other == parent else None
            if child is not None and child not in reached:
                found.append((parent, child))
                reached.append(child)
    return found


def place(sizes: list[tuple[int, int]], pairs: dict[tuple[int, int], Pair]) -> Placement | None:
    """Return where photos of (width, height) lie, or None if no two belong together.

    The photo in the middle of the largest group stays as it is; the others are bent to it.
    """
    tree = spanning_tree(pairs)
    if not tree:
        return None
    tried = [
        _placed(sizes, pairs, tree, root) for root in sorted({row for each in tree for row in each})
    ]
    # Most photos, and the least bent ones of these.
    matrices = max(tried, key=lambda each: (len(each), -_bend(each, sizes)))
    if len(matrices) < 2:
        return None
    ends = np.concatenate([project(each, corners(sizes[row])) for row, each in matrices.items()])
    low, extent = ends.min(axis=0), np.ptp(ends, axis=0) + 1
    scale = min(1.0, LONGEST / extent.max(), np.sqrt(LARGEST / extent.prod()))
    shift = np.diag([scale, scale, 1.0]) @ np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1]])
    width, height = np.maximum(np.floor(extent * scale), 1).astype(int).tolist()
    return Placement({row: shift @ each for row, each in matrices.items()}, (width, height), pairs)


def _placed(
    sizes: list[tuple[int, int]],
    pairs: dict[tuple[int, int], Pair],
    tree: list[tuple[int, int]],
    root: int,
) -> dict[int, np.ndarray]:
    """Return homographies to the root by photo; photos that would be bent too far are left out."""
    found = {root: np.eye(3)}
    for parent, child in branches(tree, root):
        if parent not in found:
            continue
        forward = (child, parent) in pairs
        known = pairs[(child, parent) if forward else (parent, child)].consensus
        if known is None:
            continue
        matrix = known.matrix if forward else np.linalg.inv(known.matrix)
        matrix = found[parent] @ matrix
        matrix = matrix / matrix[2, 2]
        if plausible(matrix, sizes[child]):
            found[child] = matrix
    return found


def _bend(matrices: dict[int, np.ndarray], sizes: list[tuple[int, int]]) -> float:
    """Return by how much the photos' areas change together."""
    ratios = [
        signed_area(project(each, corners(sizes[row])))
        / max(signed_area(corners(sizes[row])), 1e-9)
        for row, each in matrices.items()
    ]
    return float(np.abs(np.log(ratios)).sum())
