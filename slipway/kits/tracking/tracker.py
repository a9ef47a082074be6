"""Follow regions from frame to frame by an alpha-beta filter, and count crossings of a line.

The filter is a Kalman filter for constant velocity whose gains are known in advance: they fall with
each measurement as in a least-squares line through all of them, down to fixed values at which
objects that turn are still followed (Kalata 1984).
"""

from dataclasses import dataclass, field

import numpy as np

from .assignment import assign_pairs

MOST_OBJECTS, TRAIL = 64, 24
# Estimates beyond these are not of a picture; the state that callers keep has the same limits.
LARGEST, FASTEST = 2e4, 1e4
# The lowest gains for position and velocity.
ALPHA, BETA = 0.5, 0.1
# Largest ratio of the areas of an object and its measurement: partly hidden ones shrink.
GROWTH = 4.0


@dataclass(frozen=True)
class TrackingRules:
    """The tracker's constants."""

    max_missed: int = 12
    """Frames that an object may be out of sight."""
    confirmed: int = 3
    """Measurements until an object counts, so that a flicker does not."""
    reach: float = 1.0
    """The distance from its prediction at which an object is found, in mean side lengths."""


@dataclass(frozen=True)
class CountingLine:
    """A line across the picture, at `place` pixels from the left, or from the top if horizontal."""

    place: float
    horizontal: bool = False

    def distance(self, x: float, y: float) -> float:
        """Return how far a point is beyond the line: to the right, or below."""
        return (y if self.horizontal else x) - self.place


@dataclass
class FollowedObject:
    """The estimates for one object, in pixels and frames."""

    id: int
    label: str
    x: float
    y: float
    width: float
    height: float
    x_speed: float = 0.0
    y_speed: float = 0.0
    hits: int = 1
    missed: int = 0
    side: int = 0
    """1 beyond the line, -1 before it, 0 as long as it was only near it."""
    trail: list[float] = field(default_factory=list)
    """Centers as x, y, x, y, ..., the oldest first, the current one last."""

    def move(self) -> None:
        """Move one frame on at constant velocity."""
        self.x, self.y, self.missed = self.x + self.x_speed, self.y + self.y_speed, self.missed + 1

    def correct(self, box: np.ndarray) -> None:
        """Pull the estimates towards a measured box."""
        self.hits, missed, self.missed = min(self.hits + 1, 10_000), self.missed, 0
        count = self.hits
        alpha = max(2 * (2 * count - 1) / (count * (count + 1)), ALPHA)
        beta = max(6 / (count * (count + 1)), BETA)
        x1, y1, x2, y2 = box.tolist()
        right, down = (x1 + x2) / 2 - self.x, (y1 + y2) / 2 - self.y
        self.x, self.y = self.x + alpha * right, self.y + alpha * down
        # After frames without a measurement, the difference has grown over all of them.
        self.x_speed += beta * right / missed
        self.y_speed += beta * down / missed
        self.width += ALPHA * (x2 - x1 - self.width)
        self.height += ALPHA * (y2 - y1 - self.height)
        self.trail = [*self.trail, self.x, self.y][-2 * TRAIL :]

    def box(self) -> tuple[float, float, float, float]:
        """Return x1, y1, x2, y2."""
        right, down = self.width / 2, self.height / 2
        return self.x - right, self.y - down, self.x + right, self.y + down


@dataclass
class ObjectTracker:
    """The objects in the frames so far, each of `width` by `height` pixels."""

    width: int
    height: int
    rules: TrackingRules = TrackingRules()
    objects: list[FollowedObject] = field(default_factory=list)
    next_id: int = 1
    frames: int = 0
    forward: int = 0
    """Crossings of the line to the right, or downwards."""
    backward: int = 0

    def step(
        self, boxes: np.ndarray, labels: list[str], line: CountingLine | None = None
    ) -> list[FollowedObject]:
        """Take the measured boxes (n, 4) of the next frame; return the objects in view."""
        self.frames += 1
        for each in self.objects:
            each.move()
        pairs = self._pairs(boxes, labels)
        for place, row in pairs:
            self.objects[place].correct(boxes[row])
            if line is not None:
                self._cross(self.objects[place], line)
        self.objects = [each for each in self.objects if self._kept(each)]
        taken = {row for _, row in pairs}
        for row in range(len(boxes)):
            if row not in taken and len(self.objects) < MOST_OBJECTS:
                self._welcome(boxes[row], labels[row])
        needed = min(self.rules.confirmed, self.frames)
        return [each for each in self.objects if not each.missed and each.hits >= needed]

    def _pairs(self, boxes: np.ndarray, labels: list[str]) -> list[tuple[int, int]]:
        """Return which object is measured by which box, as near to the predictions as possible."""
        expected = np.array([[o.x, o.y, o.width, o.height, o.missed] for o in self.objects])
        x, y, width, height, missed = (each[:, None] for each in expected.reshape(-1, 5).T)
        x1, y1, x2, y2 = np.asarray(boxes, dtype=np.float64).reshape(-1, 4).T
        distance = np.hypot((x1 + x2) / 2 - x, (y1 + y2) / 2 - y)
        # Each frame without a measurement makes the prediction less certain.
        reach = self.rules.reach * (width + height) / 2 * (1 + 0.15 * np.maximum(missed - 1, 0))
        measured = np.maximum((x2 - x1) * (y2 - y1), 1.0)
        growth = np.abs(np.log(measured / np.maximum(width * height, 1.0)))
        same = np.array(
            [[each.label == label for label in labels] for each in self.objects], dtype=bool
        )
        allowed = same.reshape(distance.shape) & (distance <= reach) & (growth <= np.log(GROWTH))
        cost = distance / np.maximum(reach, 1e-9) + growth / np.log(GROWTH)
        # Pairs that may not be must not decide between those that may.
        cost = np.where(allowed, cost, 3.0 + len(cost))
        return [pair for pair in assign_pairs(cost) if allowed[pair]]

    def _cross(self, each: FollowedObject, line: CountingLine) -> None:
        """Count an object when its center is well beyond the line: jitter there is no crossing."""
        distance = line.distance(each.x, each.y)
        length = each.height if line.horizontal else each.width
        if each.hits < self.rules.confirmed or abs(distance) < 0.15 * length:
            return
        side = 1 if distance > 0 else -1
        self.forward += each.side == -1 and side == 1
        self.backward += each.side == 1 and side == -1
        each.side = side

    def _kept(self, each: FollowedObject) -> bool:
        """Return whether the object is near the picture, and was not out of sight for too long."""
        beyond = max(-each.x, each.x - self.width) > each.width
        beyond |= max(-each.y, each.y - self.height) > each.height
        possible = max(abs(each.x_speed), abs(each.y_speed)) < FASTEST
        unsure = each.missed and each.hits < self.rules.confirmed
        return possible and not beyond and not unsure and each.missed <= self.rules.max_missed

    def _welcome(self, box: np.ndarray, label: str) -> None:
        x1, y1, x2, y2 = box.tolist()
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        self.objects.append(
            FollowedObject(self.next_id, label, x, y, x2 - x1, y2 - y1, trail=[x, y])
        )
        self.next_id += 1
