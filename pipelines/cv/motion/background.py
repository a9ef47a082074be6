"""Tell moving pixels from the background: frame differencing, a running mean, a running Gaussian.

Pictures are gray, (height, width) of float32. The background's mean and deviation are kept in 1/256
of a level, so that they fit into the state that callers keep, and go on from there as if there had
been no break.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from pydantic import BaseModel

from slipway.kits.tracking.regions import closed, opened

UNIT = 256.0
# A still pixel of a camera varies by a few levels.
FIRST_DEVIATION, LEAST_DEVIATION, MOST_DEVIATION = 8.0, 1.0, 60.0
# If more of the picture moves, the light has changed or the camera has moved: start anew.
EVERYTHING = 0.6


class MotionRecipe(BaseModel):
    """The way in which moving pixels are found; `fit` chooses it."""

    method: str = "gaussian"
    threshold: float = 25.0
    """Levels of difference that are movement; for the Gaussian the least."""
    sigmas: float = 3.0
    """Deviations of difference that are movement, for the Gaussian."""
    rate: float = 0.02
    """Share of each new frame in the background."""
    steadied: bool = False
    """True if changes of light are taken out."""
    opening: int = 1
    closing: int = 1


@dataclass
class Background:
    """The background after some frames: `mean` and `deviation` (height, width) of float32."""

    recipe: MotionRecipe
    mean: np.ndarray
    deviation: np.ndarray
    frames: int = 1

    @classmethod
    def starting_with(cls, gray: np.ndarray, recipe: MotionRecipe) -> "Background":
        """Return the background of a first picture, in which nothing moves yet."""
        return cls(recipe, _to_unit(gray), np.full_like(gray, FIRST_DEVIATION))

    def step(self, gray: np.ndarray) -> np.ndarray:
        """Return the moving pixels (height, width) of the next picture; learn from it."""
        if self.recipe.steadied:
            self.mean = _to_unit(np.clip(self.mean * light_gain(gray, self.mean), 0, 255))
        difference = np.abs(gray - self.mean)
        moving = difference > self._limit()
        if self.recipe.steadied and moving.mean() > EVERYTHING:
            fresh = Background.starting_with(gray, self.recipe)
            self.mean, self.deviation, self.frames = fresh.mean, fresh.deviation, 1
            return np.zeros_like(moving)
        self._learn(gray, difference, moving)
        return clean(moving, self.recipe)

    def _limit(self) -> np.ndarray | float:
        """Return the difference from which on a pixel moves."""
        if self.recipe.method != "gaussian":
            return self.recipe.threshold
        return np.maximum(self.recipe.sigmas * self.deviation, self.recipe.threshold)

    def _learn(self, gray: np.ndarray, difference: np.ndarray, moving: np.ndarray) -> None:
        """Mix the picture into the background: at first as their mean, later at the fixed rate."""
        self.frames = min(self.frames + 1, 10_000)
        if self.recipe.method == "differencing":
            self.mean = _to_unit(gray)
            return
        share = np.float32(max(1 / self.frames, self.recipe.rate))
        self.mean = _to_unit(self.mean + share * (gray - self.mean))
        spread = np.sqrt((1 - share) * self.deviation**2 + share * difference**2)
        spread = np.where(moving, self.deviation, spread)
        self.deviation = _to_unit(np.clip(spread, LEAST_DEVIATION, MOST_DEVIATION))


def light_gain(gray: np.ndarray, mean: np.ndarray) -> np.float32:
    """Return by how much the picture is brighter than the background: the median of the ratios.

    The median ignores what moves, as long as that is less than half of the picture.
    """
    known = (mean > 10) & (mean < 245) & (gray < 250)
    if known.sum() < 0.1 * mean.size:
        return np.float32(1)
    return np.float32(np.median(gray[known] / mean[known]))


def clean(moving: np.ndarray, recipe: MotionRecipe) -> np.ndarray:
    """Return the mask without specks, and with the parts of one object joined."""
    return closed(opened(moving, recipe.opening), recipe.closing)


class MixtureBackground:
    """OpenCV's MOG2, a mixture of Gaussians for each pixel (Zivkovic 2004), to compare with.

    Its memory is inside of OpenCV, so that it cannot go into the state of single pictures.
    """

    def __init__(self, recipe: MotionRecipe) -> None:
        self._recipe = recipe
        history = round(1 / recipe.rate)
        self._subtractor = cv2.createBackgroundSubtractorMOG2(history, detectShadows=True)

    def step(self, gray: np.ndarray) -> np.ndarray:
        """Return the moving pixels of the next picture; shadows, which MOG2 marks, are none."""
        marked = self._subtractor.apply(np.rint(gray).astype(np.uint8))
        return clean(np.asarray(marked) == 255, self._recipe)


def _to_unit(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.rint(values * np.float32(UNIT)) / np.float32(UNIT), dtype=np.float32)
