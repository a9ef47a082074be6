"""The square that frames a face, from its eyes and mouth."""

import numpy as np

from .cascades import EYES

# Side of the square by the mean of the distances between the eyes and from eyes to mouth. On
# training persons, OpenCV's frontal cascade draws 2.7.
SIDE = 2.7


def face_square(landmarks: np.ndarray) -> np.ndarray:
    """Return x1, y1, x2, y2 of a face, given the left eye, the right eye and the mouth (3, 2)."""
    left, right, mouth = landmarks
    between = (left + right) / 2
    side = SIDE * (np.hypot(*(right - left)) + np.hypot(*(mouth - between))) / 2
    middle = (between + mouth) / 2
    corner = np.array([middle[0] - side / 2, between[1] - EYES[0, 1] * side])
    return np.concatenate([corner, corner + side])
