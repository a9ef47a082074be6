"""Metrics of tracks: MOTA (Bernardin and Stiefelhagen 2008), IDF1 (Ristani et al. 2016), IoU."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from slipway.media import Track, box_overlaps

from .assignment import assign_pairs

LEAST_IOU = 0.5


@dataclass
class TrackingTotals:
    """Counts of one or several clips, of which metrics are made."""

    true_boxes: int = 0
    found_boxes: int = 0
    hits: int = 0
    switches: int = 0
    identified: int = 0
    """Boxes with the right identity, under the best pairing of identities in each clip."""
    overlap: float = 0.0

    def __add__(self, other: "TrackingTotals") -> "TrackingTotals":
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return TrackingTotals(*(one + two for one, two in pairs))

    def metrics(self) -> dict[str, float]:
        """Return `mota`, `idf1`, `iou` of the boxes that were found, and `identity_switches`."""
        boxes = max(self.true_boxes, 1)
        wrong = self.true_boxes + self.found_boxes - 2 * self.hits + self.switches
        return {
            "mota": 1 - wrong / boxes,
            "idf1": 2 * self.identified / max(self.true_boxes + self.found_boxes, 1),
            "iou": self.overlap / max(self.hits, 1),
            "identity_switches": float(self.switches),
        }


@dataclass
class _Matching:
    """The found track with which each true one was matched last."""

    last: dict[int, int] = field(default_factory=dict)

    def pairs(
        self, true: list[Track], seen: list[Track], overlaps: np.ndarray
    ) -> list[tuple[int, int]]:
        """Return pairs of true and found boxes; an earlier pair stays while it overlaps."""
        before = np.array([[self.last.get(one.id) == two.id for two in seen] for one in true])
        near = overlaps >= LEAST_IOU
        before = before.astype(bool).reshape(near.shape) & near
        # Most boxes are paired first, then earlier pairs kept, then overlaps made large.
        gain = np.where(near, 1000.0 + 10 * before + overlaps, 0.0)
        return [pair for pair in assign_pairs(-gain) if near[pair]]


def count_tracks(truth: list[Track], found: list[Track]) -> TrackingTotals:
    """Return the totals of one clip, given its true and its found tracks in every frame."""
    totals = TrackingTotals(len(truth), len(found))
    together: Counter[tuple[int, int]] = Counter()
    matching, true_by_frame, found_by_frame = _Matching(), _by_frame(truth), _by_frame(found)
    for frame in sorted({*true_by_frame, *found_by_frame}):
        true, seen = true_by_frame.get(frame, []), found_by_frame.get(frame, [])
        overlaps = box_overlaps(_corners(true), _corners(seen))
        for row, column in np.argwhere(overlaps >= LEAST_IOU).tolist():
            together[true[row].id, seen[column].id] += 1
        for row, column in matching.pairs(true, seen, overlaps):
            one, other = true[row].id, seen[column].id
            totals.switches += matching.last.get(one, other) != other
            matching.last[one] = other
            totals.hits += 1
            totals.overlap += float(overlaps[row, column])
    totals.identified = _identified(together)
    return totals


def _by_frame(tracks: list[Track]) -> Mapping[int, list[Track]]:
    frames: dict[int, list[Track]] = {}
    for each in tracks:
        frames.setdefault(each.frame, []).append(each)
    return frames


def _corners(tracks: list[Track]) -> np.ndarray:
    boxes = [(each.box.x1, each.box.y1, each.box.x2, each.box.y2) for each in tracks]
    return np.array(boxes).reshape(-1, 4)


def _identified(together: Counter[tuple[int, int]]) -> int:
    true, found = (sorted({pair[side] for pair in together}) for side in (0, 1))
    counts = np.array([[together[one, other] for other in found] for one in true])
    return int(sum(counts[pair] for pair in assign_pairs(-counts.reshape(len(true), len(found)))))
