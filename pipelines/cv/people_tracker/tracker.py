"""Follow people from frame to frame: predict, associate, correct; births and deaths.

The method is SORT (Bewley et al. 2016) with a second association that finds lost people again.
"""

from dataclasses import dataclass, field

import numpy as np

from .association import match_distances, match_overlaps
from .kalman import Motion, to_center

MOST_PEOPLE = 64
TRAIL = 16
# Estimates beyond these are not of a picture; the memory that callers keep has the same limits.
FASTEST, MOST_VARIANCE, LARGEST = 1e4, 1e7, 2e4


@dataclass(frozen=True)
class Settings:
    """The tracker's constants."""

    max_missed: int = 10
    """Frames that a person may be out of sight; a second of the training video."""
    confirmed: int = 3
    """Detections in successive frames until a person counts, so that one false box does not."""
    predicted: bool = True
    """If false, a person is looked for at the last box instead of the filter's prediction."""
    reidentified: bool = True
    """If false, there is no second association by distance."""


@dataclass
class Person:
    """One tracked person: identity, detections and trail. `Motion` holds the estimates."""

    id: int
    hits: int = 1
    missed: int = 0
    score: float = 0.0
    trail: list[tuple[float, float]] = field(default_factory=list)
    """Centers, the oldest first, the current one last."""


@dataclass
class Tracker:
    """People in the frames so far. Frames are `width` by `height` pixels."""

    width: int
    height: int
    settings: Settings = Settings()
    people: list[Person] = field(default_factory=list)
    motion: Motion = field(default_factory=lambda: Motion.starting_at(np.empty((0, 4))))
    next_id: int = 1
    frames: int = 0
    to_left: int = 0
    to_right: int = 0

    def step(self, boxes: np.ndarray, scores: np.ndarray, line: float | None = None) -> list[int]:
        """Take the detections (n, 4) of the next frame; return the places of the people in view.

        `line` is the x of a vertical line at which crossings are counted.
        """
        self.frames += 1
        before = self.motion.boxes()
        self.motion.predict()
        pairs = self._pairs(self.motion.boxes() if self.settings.predicted else before, boxes)
        found = np.array([place for place, _ in pairs], dtype=int)
        taken = np.array([place for _, place in pairs], dtype=int)
        self.motion.update(found, boxes[taken])
        for person in self.people:
            person.missed += 1
        for place, detection in pairs:
            self._see(place, float(scores[detection]), line)
        self._let_go()
        free = np.setdiff1d(np.arange(len(boxes)), taken)
        self._welcome(boxes[free], scores[free])
        return [place for place, each in enumerate(self.people) if self._in_view(each)]

    def _pairs(self, expected: np.ndarray, boxes: np.ndarray) -> list[tuple[int, int]]:
        """Return which person (place) is which detection: by overlap, then by distance."""
        pairs = match_overlaps(expected, boxes)
        if not self.settings.reidentified:
            return pairs
        matched = {place for place, _ in pairs}
        lost = [
            place
            for place, each in enumerate(self.people)
            if place not in matched and each.hits >= self.settings.confirmed
        ]
        free = np.setdiff1d(np.arange(len(boxes)), [place for _, place in pairs])
        again = match_distances(self.motion, np.array(lost, dtype=int), boxes[free.astype(int)])
        return pairs + [(lost[place], int(free[detection])) for place, detection in again]

    def _see(self, place: int, score: float, line: float | None) -> None:
        person = self.people[place]
        person.hits, person.missed, person.score = min(person.hits + 1, 10_000), 0, score
        x, y = self.motion.mean[place, :2, 0]
        if line is not None and person.hits >= self.settings.confirmed:
            was = person.trail[-1][0]
            self.to_right += was < line <= x
            self.to_left += x < line <= was
        person.trail = [*person.trail, (float(x), float(y))][-TRAIL:]

    def _let_go(self) -> None:
        """Forget who was out of sight for too long, or has left the picture."""
        (x, y, wide, high), velocity = self.motion.mean[:, :, 0].T, self.motion.mean[:, :, 1]
        inside = (x > -wide) & (y > -high) & (x < self.width + wide) & (y < self.height + high)
        inside &= np.maximum(wide, high) < LARGEST
        inside &= np.abs(velocity).max(axis=1, initial=0) < FASTEST
        inside &= self.motion.covariance.max(axis=(1, 2, 3), initial=0) < MOST_VARIANCE
        kept = [
            place
            for place, each in enumerate(self.people)
            if inside[place]
            and each.missed <= self.settings.max_missed
            and not (each.missed and each.hits < self.settings.confirmed)
        ]
        self._keep(kept)

    def _keep(self, places: list[int]) -> None:
        self.people = [self.people[place] for place in places]
        self.motion = self.motion.take(np.array(places, dtype=int))

    def _welcome(self, boxes: np.ndarray, scores: np.ndarray) -> None:
        """Add a new person for each detection, the surest first, while there is room."""
        order = np.argsort(-scores, kind="stable")[: MOST_PEOPLE - len(self.people)]
        for (x, y, *_), score in zip(to_center(boxes[order]).tolist(), scores[order], strict=True):
            self.people.append(Person(self.next_id, score=float(score), trail=[(x, y)]))
            self.next_id += 1
        self.motion = self.motion.joined(Motion.starting_at(boxes[order]))

    def _in_view(self, person: Person) -> bool:
        """Return whether a person is seen now, and often enough; at first there is no often."""
        known = person.hits >= min(self.settings.confirmed, self.frames)
        return known and person.missed == 0
