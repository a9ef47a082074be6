"""A Kalman filter (1960) for boxes that move at constant velocity, for many boxes at once.

A box is its center, width and height. These four move independently of each other, so each has a
filter of its own with two numbers, position and velocity, and a covariance of 2x2. Time is counted
in frames.
"""

from dataclasses import dataclass

import numpy as np

# Standard deviations as shares of a box's height, since a near person moves over more pixels; the
# values are those of Wojke et al. (2017). Below 10 pixels they do not shrink further.
MEASURED, MOVED, TURNED = 1 / 20, 1 / 20, 1 / 160
SMALLEST = 10.0
TRANSITION = np.array([[1.0, 1.0], [0.0, 1.0]])


@dataclass
class Motion:
    """The estimates for n boxes: `mean` (n, 4, 2) and `covariance` (n, 4, 2, 2).

    The four are center x, center y, width and height; the two are position and velocity.
    """

    mean: np.ndarray
    covariance: np.ndarray

    @classmethod
    def starting_at(cls, boxes: np.ndarray) -> "Motion":
        """Return estimates for boxes (n, 4) that are seen for the first time, so at rest."""
        center = to_center(boxes)
        center[:, 2:] = np.maximum(center[:, 2:], 1.0)
        mean = np.stack([center, np.zeros_like(center)], axis=2)
        scale = _scale(mean)
        covariance = np.zeros((*center.shape, 2, 2))
        covariance[:, :, 0, 0] = (2 * MEASURED * scale) ** 2
        covariance[:, :, 1, 1] = (10 * TURNED * scale) ** 2
        return cls(mean, covariance)

    def predict(self) -> None:
        """Move one frame on: each velocity is added to its position, and certainty shrinks."""
        scale = _scale(self.mean)
        self.mean = self.mean @ TRANSITION.T
        self.covariance = TRANSITION @ self.covariance @ TRANSITION.T
        self.covariance[:, :, 0, 0] += (MOVED * scale) ** 2
        self.covariance[:, :, 1, 1] += (TURNED * scale) ** 2
        self.mean[:, 2:, 0] = np.maximum(self.mean[:, 2:, 0], 1.0)

    def update(self, rows: np.ndarray, boxes: np.ndarray) -> None:
        """Correct the estimates in `rows` (m,) by measured boxes (m, 4).

        The gain weighs prediction against measurement by their variances.
        """
        mean, covariance = self.mean[rows], self.covariance[rows]
        gain = covariance[:, :, :, 0] / self.measured_variance(rows)[:, :, None]
        surprise = to_center(boxes) - mean[:, :, 0]
        self.mean[rows] = mean + gain * surprise[:, :, None]
        self.mean[rows, 2:, 0] = np.maximum(self.mean[rows, 2:, 0], 1.0)
        self.covariance[rows] = covariance - gain[:, :, :, None] * covariance[:, :, None, 0, :]

    def measured_variance(self, rows: np.ndarray) -> np.ndarray:
        """Return the variances (m, 4) of what would be measured for the estimates in `rows`."""
        noise = (MEASURED * _scale(self.mean[rows])) ** 2
        return np.asarray(self.covariance[rows, :, 0, 0] + noise)

    def boxes(self) -> np.ndarray:
        """Return the estimated boxes (n, 4) as x1, y1, x2, y2."""
        center, size = self.mean[:, :2, 0], self.mean[:, 2:, 0]
        return np.concatenate([center - size / 2, center + size / 2], axis=1)

    def take(self, rows: np.ndarray) -> "Motion":
        """Return the estimates in `rows`, in that order."""
        return Motion(self.mean[rows], self.covariance[rows])

    def joined(self, other: "Motion") -> "Motion":
        """Return these estimates, followed by those of `other`."""
        return Motion(
            np.concatenate([self.mean, other.mean]),
            np.concatenate([self.covariance, other.covariance]),
        )


def to_center(boxes: np.ndarray) -> np.ndarray:
    """Return boxes (n, 4), given as x1, y1, x2, y2, as center x, center y, width, height."""
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    upper, lower = boxes[:, :2], boxes[:, 2:]
    return np.concatenate([(upper + lower) / 2, lower - upper], axis=1)


def _scale(mean: np.ndarray) -> np.ndarray:
    """Return the heights (n, 1) by which the noise is scaled."""
    return np.asarray(np.maximum(mean[:, 3:, 0], SMALLEST))
