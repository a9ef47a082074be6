"""Estimate homographies in NumPy: direct linear transform, RANSAC, and refinement.

Hartley and Zisserman, Multiple View Geometry (2004), chapter 4; Fischler and Bolles, Random sample
consensus (1981).
"""

from dataclasses import dataclass

import numpy as np

# Samples of four matches that are drawn together, and at most.
BATCH, MOST = 250, 2000
# RANSAC ends when a sample without outliers was drawn with this probability.
CERTAIN = 0.999
# Gauss-Newton steps; three suffice near the solution.
STEPS = 10


def project(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return points (n, 2) after a homography (3, 3)."""
    values = np.asarray(points, dtype=np.float64) @ matrix[:, :2].T + matrix[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(values[:, :2] / values[:, 2:])


def normalizer(points: np.ndarray) -> np.ndarray:
    """Return matrices (..., 3, 3) that center points (..., n, 2) and scale them to length 1.4.

    Without it, pixels squared and ones stand in one matrix, and rounding decides.
    """
    center = points.mean(axis=-2)
    lengths = np.hypot(*np.moveaxis(points - center[..., None, :], -1, 0)).mean(axis=-1)
    scale = np.sqrt(2) / np.maximum(lengths, 1e-12)
    matrix = np.zeros((*points.shape[:-2], 3, 3))
    matrix[..., 0, 0] = matrix[..., 1, 1] = scale
    matrix[..., :2, 2] = -scale[..., None] * center
    matrix[..., 2, 2] = 1
    return matrix


def direct(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return homographies (..., 3, 3) from source to target points (..., n, 2), four or more.

    Each match gives two linear equations for the nine entries; the solution is the last singular
    vector. Points on one line give a matrix that is not invertible.
    """
    one, other = normalizer(source), normalizer(target)
    x, y = np.moveaxis(_apply(one, source), -1, 0)
    u, v = np.moveaxis(_apply(other, target), -1, 0)
    zero, unit = np.zeros_like(x), np.ones_like(x)
    first = np.stack([x, y, unit, zero, zero, zero, -u * x, -u * y, -u], axis=-1)
    second = np.stack([zero, zero, zero, x, y, unit, -v * x, -v * y, -v], axis=-1)
    equations = np.concatenate([first, second], axis=-2)
    # The eigenvector of the least eigenvalue: 9 x 9 numbers, however many points there are.
    _, vectors = np.linalg.eigh(np.swapaxes(equations, -1, -2) @ equations)
    matrix = vectors[..., 0].reshape(*vectors.shape[:-2], 3, 3)
    matrix = np.linalg.inv(other) @ matrix @ one
    last = matrix[..., 2:, 2:]
    return np.asarray(matrix / np.where(np.abs(last) < 1e-12, 1e-12, last))


def _apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    linear = np.swapaxes(matrix[..., :2, :2], -1, -2)
    return np.asarray(points @ linear + matrix[..., None, :2, 2])


def errors(matrix: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the distances (..., n) of projected source points from target points.

    Points at infinity are infinitely far.
    """
    values = source @ np.swapaxes(matrix[..., :, :2], -1, -2) + matrix[..., None, :, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = values[..., :2] / values[..., 2:] - target
    return np.asarray(
        np.nan_to_num(np.hypot(apart[..., 0], apart[..., 1]), nan=np.inf, posinf=np.inf)
    )


@dataclass(frozen=True)
class Consensus:
    """A homography (3, 3), and which matches (n,) agree with it."""

    matrix: np.ndarray
    inliers: np.ndarray


def ransac(
    source: np.ndarray, target: np.ndarray, *, reach: float, seed: int, refined: bool = True
) -> Consensus | None:
    """Return the homography that most matches (n, 2) agree with to `reach` pixels, or None.

    Samples of four matches each give one; the best is estimated again from all its inliers.
    """
    count = len(source)
    if count < 4:
        return None
    generator = np.random.default_rng(seed)
    best, inliers, drawn, needed = np.eye(3), np.zeros(count, dtype=bool), 0, float(MOST)
    while drawn < min(needed, MOST):
        rows = generator.random((BATCH, count)).argpartition(3, axis=1)[:, :4]
        tried = direct(source[rows], target[rows])
        near = errors(tried, source, target) < reach
        votes = near.sum(axis=1)
        place = int(votes.argmax())
        if votes[place] > inliers.sum():
            best, inliers = tried[place], near[place]
        drawn += BATCH
        clean = (inliers.sum() / count) ** 4
        needed = np.log(1 - CERTAIN) / np.log(1 - clean) if 0 < clean < 1 else BATCH
    for _ in range(3):
        if inliers.sum() < 4:
            return None
        best = direct(source[inliers], target[inliers])
        inliers = errors(best, source, target) < reach
    if inliers.sum() < 4 or not np.isfinite(best).all():
        return None
    if refined:
        best = refine(best, source[inliers], target[inliers])
    return Consensus(best, inliers)


def refine(matrix: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the homography with the least squared distances in pixels, by Gauss and Newton.

    The direct transform minimizes the error of its equations, which is not a distance.
    """
    x, y = source.T
    values = (matrix / matrix[2, 2]).ravel()[:8]
    for _ in range(STEPS):
        full = np.append(values, 1).reshape(3, 3)
        depth = full[2, 0] * x + full[2, 1] * y + 1
        u, v = project(full, source).T
        zero, rows = np.zeros_like(x), np.stack([x, y, np.ones_like(x)]) / depth
        across = np.stack([*rows, zero, zero, zero, -u * rows[0], -u * rows[1]], axis=1)
        down = np.stack([zero, zero, zero, *rows, -v * rows[0], -v * rows[1]], axis=1)
        slopes = np.concatenate([across, down])
        apart = np.concatenate([target[:, 0] - u, target[:, 1] - v])
        step, *_ = np.linalg.lstsq(slopes, apart, rcond=None)
        if not np.isfinite(step).all():
            break
        values = values + step
    return np.append(values, 1).reshape(3, 3)
