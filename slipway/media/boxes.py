"""Boxes, points and tracks in the pixels of an upright picture, as records."""

from typing import Self

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from slipway.contract.record import Record


class Point(Record):
    """A point in pixels from the upper left corner."""

    model_config = ConfigDict(json_schema_extra={"x-slipway": {"kind": "point"}})

    x: float
    y: float


class Box(Record):
    """A rectangle in pixels from the upper left corner, with its label and score."""

    model_config = ConfigDict(json_schema_extra={"x-slipway": {"kind": "box"}})

    x1: float
    y1: float
    x2: float
    y2: float
    label: str = ""
    score: float = Field(default=1, ge=0, le=1)

    @model_validator(mode="after")
    def _corners_in_order(self) -> Self:
        if self.x2 < self.x1 or self.y2 < self.y1:
            raise ValueError("x1, y1 must be the upper left corner and x2, y2 the lower right one")
        return self


class Track(Record):
    """One object followed over frames: where it is in a frame, and where it was before."""

    model_config = ConfigDict(json_schema_extra={"x-slipway": {"kind": "track"}})

    id: int = Field(ge=0, description="The same object has the same number in every frame")
    box: Box
    label: str = ""
    frame: int = Field(default=0, ge=0, description="Number of the frame in its video, from 0")
    trail: list[Point] = Field(default=[], description="Earlier centers, the oldest first")


def box_overlaps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the intersection over union (n, m) of boxes (n, 4) and (m, 4) as x1, y1, x2, y2."""
    one, other = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    upper = np.maximum(one[:, None, :2], other[None, :, :2])
    lower = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.prod(np.clip(lower - upper, 0, None), axis=2)
    areas = [np.prod(np.clip(each[:, 2:] - each[:, :2], 0, None), axis=1) for each in (one, other)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def nms(
    boxes: np.ndarray,
    scores: np.ndarray,
    iou: float = 0.5,
    classes: np.ndarray | None = None,
) -> np.ndarray:
    """Return the indices of the boxes that non-maximum suppression keeps, best score first.

    A box (n, 4) is dropped if a better one overlaps it by more than `iou`, of the same class if
    `classes` (n,) are given. Equal scores keep their order.
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    order = np.argsort(-np.asarray(scores), kind="stable")
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        covered = box_overlaps(boxes[best : best + 1], boxes[rest])[0] > iou
        if classes is not None:
            covered &= np.asarray(classes)[rest] == np.asarray(classes)[best]
        order = rest[~covered]
    return np.array(kept, dtype=np.int64)
