"""A Haar cascade in NumPy, stage by stage (Viola and Jones 2001), to show how it decides.

OpenCV runs the same cascade for callers; a test holds that both accept the same windows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

# OpenCV subtracts this from every stage's threshold.
SLACK = 1e-5


@dataclass(frozen=True)
class Weak:
    """One vote: a feature, and what is added below its threshold and from it on."""

    rectangles: np.ndarray
    """Left, top, width, height and weight of each rectangle in the window, (n, 5)."""
    threshold: float
    below: float
    above: float


@dataclass(frozen=True)
class Stage:
    """Votes whose sum must reach a threshold."""

    votes: list[Weak]
    threshold: float


def read_stages(file: Path) -> tuple[int, list[Stage]]:
    """Return the side of the window and the stages of a Haar cascade.

    Raises:
        ValueError: the cascade has votes of more than one feature, or turned rectangles.
    """
    root = ElementTree.parse(file).getroot()[0]
    features = []
    for feature in root.iterfind("features/_"):
        if int(feature.findtext("tilted", "0")):
            raise ValueError(f"{file.name} has turned rectangles")
        features.append(np.array([numbers(each) for each in feature.iterfind("rects/_")]))
    stages = []
    for stage in root.iterfind("stages/_"):
        votes = []
        for weak in stage.iterfind("weakClassifiers/_"):
            nodes = numbers(weak.find("internalNodes"))
            if len(nodes) != 4:
                raise ValueError(f"{file.name} has votes of more than one feature")
            votes.append(Weak(features[int(nodes[2])], nodes[3], *numbers(weak.find("leafValues"))))
        stages.append(Stage(votes, float(stage.findtext("stageThreshold", "0"))))
    return int(root.findtext("width", "0")), stages


def numbers(element: ElementTree.Element | None) -> list[float]:
    """Return the numbers in an element's text."""
    text = element.text if element is not None else None
    return [float(word) for word in (text or "").split()]


def integral(gray: np.ndarray) -> np.ndarray:
    """Return the sums of all pixels above and to the left, (height + 1, width + 1).

    With it, the sum in any rectangle takes four look-ups.
    """
    sums = gray.astype(np.float64).cumsum(axis=0).cumsum(axis=1)
    return np.pad(sums, ((1, 0), (1, 0)))


def sums_in(table: np.ndarray, corners: np.ndarray, rectangle: np.ndarray) -> np.ndarray:
    """Return the sums (windows,) in a rectangle of each window, whose corners are (windows, 2)."""
    left, top, width, height = rectangle.astype(int)
    x, y = corners[:, 0] + left, corners[:, 1] + top
    ends = table[y + height, x + width] - table[y, x + width] - table[y + height, x]
    return np.asarray(ends + table[y, x])


def surviving(gray: np.ndarray, side: int, stages: list[Stage]) -> Iterator[np.ndarray]:
    """Yield the upper left corners (windows, 2) of the windows before and after each stage.

    Windows of `side` pixels lie one pixel apart; those that a stage refuses are not looked at
    again. Features are divided by the window's contrast.
    """
    table, squares = integral(gray), integral(gray.astype(np.float64) ** 2)
    rows, columns = (max(length - side + 1, 0) for length in gray.shape)
    corners = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2)
    # OpenCV leaves a border of one pixel out of the contrast.
    inner = np.array([1, 1, side - 2, side - 2])
    area = (side - 2) ** 2
    total = sums_in(table, corners, inner)
    spread = np.sqrt(np.maximum(area * sums_in(squares, corners, inner) - total**2, 0))
    corners, spread = corners[spread > 0], spread[spread > 0]
    yield corners
    for stage in stages:
        votes = np.zeros(len(corners))
        for weak in stage.votes:
            feature = sum(each[4] * sums_in(table, corners, each[:4]) for each in weak.rectangles)
            votes += np.where(feature < weak.threshold * spread, weak.below, weak.above)
        passed = votes >= stage.threshold - SLACK
        corners, spread = corners[passed], spread[passed]
        yield corners
