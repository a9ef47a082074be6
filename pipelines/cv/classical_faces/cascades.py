"""Cascades of OpenCV: faces in a picture, and eyes in a face."""

from pathlib import Path

import cv2
import numpy as np

GROWTH = 1.1
# The place of the eyes and the mouth in the square of a face, as shares of its side.
EYES, MOUTH = np.array([[0.315, 0.385], [0.685, 0.385]]), np.array([0.5, 0.76])
# Where in the square each eye is looked for: left, top, right and bottom.
REGIONS = np.array([[0.08, 0.2, 0.54, 0.58], [0.46, 0.2, 0.92, 0.58]])
# Faces are enlarged to this side, so that eyes are not smaller than what the cascade knows.
FACE_SIDE = 150
EYE_SIDES = 24, 60


def load_cascade(file: Path) -> cv2.CascadeClassifier:
    """Return the cascade in an XML file.

    Raises:
        ValueError: the file holds no cascade.
    """
    try:
        cascade = cv2.CascadeClassifier(str(file))
    except (cv2.error, SystemError) as error:
        raise ValueError(f"{file.name} holds no cascade") from error
    if cascade.empty():
        raise ValueError(f"{file.name} holds no cascade")
    return cascade


def find_faces(
    cascade: cv2.CascadeClassifier, gray: np.ndarray, *, min_face: int, neighbors: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return a square (n, 4) for each face, and how many windows agree on it, the most first."""
    found, counts = cascade.detectMultiScale2(
        gray, scaleFactor=GROWTH, minNeighbors=neighbors, minSize=(min_face, min_face)
    )
    boxes = np.array(found, dtype=np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    agreeing = np.array(counts, dtype=np.float64).reshape(-1)
    # Threads report windows in any order.
    order = np.lexsort((*boxes.T, -agreeing))
    return boxes[order], agreeing[order]


def find_eyes(
    cascade: cv2.CascadeClassifier | None, gray: np.ndarray, face: np.ndarray, *, filled: bool
) -> list[tuple[float, float]]:
    """Return the middle of each eye that is found in a face (4,), the left of the picture first.

    With `filled`, an eye that the cascade does not find is returned where eyes usually are.
    """
    corner, side = face[:2], face[2] - face[0]
    found = []
    for region, usual in zip(REGIONS, EYES, strict=True):
        place = None if cascade is None else _find_eye(cascade, gray, corner, side, region)
        if place is None and filled:
            x, y = (corner + usual * side).tolist()
            place = x, y
        if place is not None:
            found.append(place)
    return found


def _find_eye(
    cascade: cv2.CascadeClassifier,
    gray: np.ndarray,
    corner: np.ndarray,
    side: float,
    region: np.ndarray,
) -> tuple[float, float] | None:
    """Return the eye on which most windows agree, in one part of the face."""
    x1, y1, x2, y2 = np.rint(np.tile(corner, 2) + region * side).astype(int).tolist()
    x1, y1 = max(x1, 0), max(y1, 0)
    part = gray[y1:y2, x1:x2]
    if min(part.shape) < 2:
        return None
    scale = FACE_SIDE / side
    enlarged = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    smallest, largest = EYE_SIDES
    boxes, counts = cascade.detectMultiScale2(
        enlarged,
        scaleFactor=GROWTH,
        minNeighbors=1,
        minSize=(smallest, smallest),
        maxSize=(largest, largest),
    )
    if not len(boxes):
        return None
    agreeing = zip(np.ravel(counts).tolist(), np.array(boxes).tolist(), strict=True)
    x, y, width, height = max(agreeing)[1]
    return x1 + (x + width / 2) / scale, y1 + (y + height / 2) / scale
