"""People who cross each other's way, with known identities: a test of who stays who."""

from dataclasses import dataclass

import numpy as np

from .mot_metrics import Identified, Sequence, mot_metrics
from .tracker import Settings, Tracker

WIDTH, HEIGHT = 768, 576
VARIANTS = {
    "last_box": Settings(predicted=False, reidentified=False),
    "predicted": Settings(reidentified=False),
    "reidentified": Settings(),
}


@dataclass(frozen=True)
class Crossing:
    """True boxes, and what a detector would see of them."""

    truth: Sequence
    seen: Sequence


def crossing(generator: np.random.Generator, frames: int = 60) -> Crossing:
    """Return four people on straight ways that meet in the middle of the picture.

    Two of them stop for 5 to 9 frames there, and are hidden for as long. The detector misses one
    box in ten, and is off by 2 pixels.
    """
    angles = np.arange(4) * np.pi / 2 + generator.uniform(-0.5, 0.5, 4)
    direction = np.stack([np.cos(angles), 0.5 * np.sin(angles)], axis=1)
    speed = generator.uniform(5, 8, (4, 1))
    middle = np.array([WIDTH, HEIGHT]) / 2 + generator.uniform(-12, 12, (4, 2))
    size = np.array([32.0, 80.0]) * generator.uniform(0.9, 1.1, (4, 1))
    hidden = generator.permutation(4)[:2]
    start = frames // 2 - generator.integers(3, 6, 2)
    length = generator.integers(5, 10, 2)
    truth, seen, walked = {}, {}, np.full((4, 1), -frames / 2)
    for frame in range(frames):
        waiting = np.zeros(4, dtype=bool)
        waiting[hidden] = (frame >= start) & (frame < start + length)
        walked += ~waiting[:, None]
        center = middle + direction * speed * walked
        boxes = np.concatenate([center - size / 2, center + size / 2], axis=1)
        truth[frame] = Identified(np.arange(4), boxes)
        visible = (generator.random(4) > 0.1) & ~waiting
        noise = generator.normal(0, 2, boxes.shape)
        seen[frame] = Identified(np.arange(4)[visible], (boxes + noise)[visible])
    return Crossing(truth, seen)


def tracked(
    seen: Sequence, settings: Settings, size: tuple[int, int] = (WIDTH, HEIGHT)
) -> Sequence:
    """Return the tracks that the tracker makes of detections, whose identities it does not see."""
    tracker, found = Tracker(*size, settings), {}
    for frame in range(min(seen), max(seen) + 1):
        boxes = seen[frame].boxes if frame in seen else np.empty((0, 4))
        places = tracker.step(boxes, np.ones(len(boxes)))
        ids = np.array([tracker.people[place].id for place in places], dtype=int)
        found[frame] = Identified(ids, tracker.motion.boxes()[places].reshape(-1, 4))
    return found


def crossing_metrics(settings: Settings, count: int = 20, seed: int = 3) -> dict[str, float]:
    """Return the means of the tracking metrics over `count` crossings."""
    generator = np.random.default_rng(seed)
    results = []
    for _ in range(count):
        each = crossing(generator)
        results.append(mot_metrics(each.truth, tracked(each.seen, settings)))
    return {name: float(np.mean([each[name] for each in results])) for name in results[0]}
