"""Detectors to compare the served ones with: OpenCV's cascade at its defaults, and YuNet."""

import cv2
import numpy as np

from slipway.datasets import fetch
from slipway.media import Box, Point

from .cascades import find_faces, load_cascade
from .detectors import Found
from .framing import face_square

# OpenCV's defaults: three windows must agree, and faces of any size count.
NEIGHBORS = 3
# YuNet's boxes below this are noise.
LEAST = 0.3


def boxes_of(found: Found, label: str) -> list[Box]:
    """Return squares (n, 4) with their scores (n,) as records."""
    return [
        Box(x1=x1, y1=y1, x2=x2, y2=y2, label=label, score=float(score))
        for (x1, y1, x2, y2), score in zip(found[0].tolist(), found[1], strict=True)
    ]


class References:
    """The two detectors that need no training here."""

    def __init__(self) -> None:
        cascades = fetch("face_cascades")
        self._cascade = load_cascade(cascades.path("haarcascade_frontalface_default.xml"))
        network = fetch("yunet_face").path("yunet_face_2023mar.onnx")
        self._yunet = cv2.FaceDetectorYN.create(str(network), "", (320, 320), LEAST)

    def baseline(self, gray: np.ndarray, label: str) -> list[Box]:
        """Return the faces that the cascade finds at OpenCV's defaults; all are as sure."""
        boxes, _ = find_faces(self._cascade, gray, min_face=0, neighbors=NEIGHBORS)
        return boxes_of((boxes, np.ones(len(boxes))), label)

    def yunet(self, gray: np.ndarray, label: str) -> tuple[list[Box], list[Point]]:
        """Return faces and eyes by YuNet, framed by its landmarks as the marked ones are."""
        self._yunet.setInputSize((gray.shape[1], gray.shape[0]))
        _, found = self._yunet.detect(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR))
        if found is None:
            return [], []
        squares, eyes = [], []
        for row in found.astype(np.float64):
            first, second, _, *corners = row[4:14].reshape(5, 2)
            left, right = sorted((first, second), key=lambda each: float(each[0]))
            squares.append(face_square(np.array([left, right, np.mean(corners, axis=0)])))
            eyes += [Point(x=float(x), y=float(y)) for x, y in (left, right)]
        scores = np.round(found[:, 14].astype(np.float64), 4).clip(0, 1)
        return boxes_of((np.round(squares, 1), scores), label), eyes
