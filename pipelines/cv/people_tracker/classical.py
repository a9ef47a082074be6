"""The baseline: OpenCV's detector of people, which was trained on other pictures."""

import cv2
import numpy as np

from slipway.media import Box

from .model import LABELS

# A person stands in the middle of the window of 64x128 pixels, 16 from its sides.
MARGIN = np.array([16 / 64, 16 / 128])


def opencv_people(pictures: list[np.ndarray]) -> list[list[Box]]:
    """Return the people that OpenCV's detector finds at its defaults (Dalal and Triggs 2005)."""
    detector = cv2.HOGDescriptor()
    trained = cv2.HOGDescriptor.getDefaultPeopleDetector()
    detector.setSVMDetector(np.array(trained, dtype=np.float32))
    found = []
    for picture in pictures:
        windows, margins = detector.detectMultiScale(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        boxes = []
        for (x, y, *size), margin in zip(windows, np.ravel(margins), strict=True):
            upper = np.array([x, y]) + MARGIN * size
            lower = upper + (1 - 2 * MARGIN) * size
            score = float(1 / (1 + np.exp(-margin)))
            (x1, y1), (x2, y2) = upper.tolist(), lower.tolist()
            boxes.append(Box(x1=x1, y1=y1, x2=x2, y2=y2, label=LABELS[0], score=score))
        found.append(boxes)
    return found
