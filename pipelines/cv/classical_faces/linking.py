"""The same number for the same face in successive frames."""

import numpy as np

from slipway.media import box_overlaps

OVERLAP = 0.3
# Looks after which a face that is not found again is forgotten.
PATIENCE = 5


class FaceLinker:
    """Gives each face the number of the earlier face that it overlaps most."""

    def __init__(self) -> None:
        self._boxes = np.empty((0, 4))
        self._numbers: list[int] = []
        self._missed: list[int] = []
        self._next = 1

    def link(self, boxes: np.ndarray) -> list[int]:
        """Return a number for each square (n, 4) of the next frame."""
        overlaps = box_overlaps(boxes, self._boxes)
        numbers = [0] * len(boxes)
        for place in np.argsort(-overlaps, axis=None, kind="stable").tolist():
            face, known = divmod(place, len(self._numbers))
            if overlaps[face, known] < OVERLAP:
                break
            if not numbers[face] and self._numbers[known] not in numbers:
                numbers[face] = self._numbers[known]
        for face, number in enumerate(numbers):
            if not number:
                numbers[face], self._next = self._next, self._next + 1
        self._remember(boxes, numbers)
        return numbers

    def _remember(self, boxes: np.ndarray, numbers: list[int]) -> None:
        lost = [
            place
            for place, number in enumerate(self._numbers)
            if number not in numbers and self._missed[place] + 1 < PATIENCE
        ]
        self._boxes = np.vstack([boxes, self._boxes[lost]])
        self._missed = [0] * len(numbers) + [self._missed[place] + 1 for place in lost]
        self._numbers = numbers + [self._numbers[place] for place in lost]
