"""The baseline: color thresholds, connected components and a watershed, without any learning."""

import cv2
import numpy as np

from slipway.media import Box

from .model import LABELS

RED, WHITE, PLATELET = LABELS
# Areas in pixels, and the radius of a red cell: rounded medians of the training boxes.
NUCLEUS, SPECK, RADIUS = 900, 40, 25


def find_cells(picture: np.ndarray) -> list[Box]:
    """Return the cells of a picture (height, width, 3): stained ones, then red ones."""
    smooth = cv2.GaussianBlur(picture, (5, 5), 0).astype(np.int16)
    red, green, blue = (smooth[..., channel] for channel in range(3))
    # Stain of nuclei and platelets is purple: bluer than red cells, darker than the background.
    purple = ((blue - red > 20) & (blue - green > 25)).astype(np.uint8)
    tissue = cv2.threshold(green.astype(np.uint8), 0, 1, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)[1]
    tissue[cv2.dilate(purple, np.ones((9, 9))) > 0] = 0
    return [*stained(purple), *round_cells(filled(tissue))]


def stained(mask: np.ndarray) -> list[Box]:
    """Return white cells and platelets: the large and the small connected parts of the stain."""
    joined = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((9, 9)))
    boxes = []
    for left, top, width, height, area in cv2.connectedComponentsWithStats(joined)[2][1:].tolist():
        if area >= NUCLEUS:
            boxes.append(box(left, top, width, height, area, WHITE, margin=6))
        elif area >= SPECK:
            boxes.append(box(left, top, width, height, area, PLATELET, margin=5))
    return boxes


def filled(mask: np.ndarray) -> np.ndarray:
    """Return the mask without small holes: a red cell is pale in its middle."""
    _, parts, facts, _ = cv2.connectedComponentsWithStats(1 - mask)
    small = facts[:, cv2.CC_STAT_AREA] < NUCLEUS
    return np.where(small[parts], 1, mask).astype(np.uint8)


def round_cells(mask: np.ndarray) -> list[Box]:
    """Return the red cells of a mask; a watershed parts those that touch.

    Water rises from the points that are farther from the edge than all others near by.
    """
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    near = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (RADIUS, RADIUS))
    peaks = ((depth >= cv2.dilate(depth, near)) & (depth > RADIUS / 3)).astype(np.uint8)
    seeds = cv2.connectedComponents(cv2.dilate(peaks, np.ones((5, 5))))[1]
    # The background is a basin of its own.
    basins = np.where(mask == 0, seeds.max() + 1, seeds).astype(np.int32)
    hills = cv2.cvtColor((255 - 5 * np.minimum(depth, 50)).astype(np.uint8), cv2.COLOR_GRAY2RGB)
    cv2.watershed(hills, basins)
    boxes = []
    for number in range(1, int(seeds.max()) + 1):
        rows, columns = np.nonzero(basins == number)
        if len(rows) >= NUCLEUS / 2:
            left, top = int(columns.min()), int(rows.min())
            size = int(columns.max()) - left + 1, int(rows.max()) - top + 1
            boxes.append(box(left, top, *size, len(rows), RED, margin=1))
    return boxes


def box(left: int, top: int, width: int, height: int, area: int, label: str, *, margin: int) -> Box:
    """Return a box with a margin; its score says how much of an ellipse of its size is filled."""
    return Box(
        x1=max(left - margin, 0),
        y1=max(top - margin, 0),
        x2=left + width + margin,
        y2=top + height + margin,
        label=label,
        score=min(area / (np.pi / 4 * width * height), 1.0),
    )
