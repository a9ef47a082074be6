"""Metrics of tracking: MOTA (Bernardin and Stiefelhagen 2008) and IDF1 (Ristani et al. 2016)."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from slipway.kits.tracking.assignment import assign_pairs
from slipway.media import box_overlaps

IOU = 0.5


@dataclass(frozen=True)
class Identified:
    """The boxes (n, 4) of one frame, with the identity (n,) of each."""

    ids: np.ndarray
    boxes: np.ndarray


Sequence = Mapping[int, Identified]
NOBODY = Identified(np.empty(0, dtype=int), np.empty((0, 4)))


def mot_metrics(truth: Sequence, found: Sequence) -> dict[str, float]:
    """Return `mota`, `idf1` and `identity_switches` of tracks, by frame number.

    MOTA is one minus the share of misses, false boxes and switches. IDF1 counts the boxes that have
    the right identity, under the best pairing of true with found identities over all frames.

    Raises:
        ValueError: no true box is given.
    """
    true_boxes, found_boxes = (
        sum(len(each.ids) for each in part.values()) for part in (truth, found)
    )
    if not true_boxes:
        raise ValueError("tracking metrics need at least one true box")
    last: dict[int, int] = {}
    together: Counter[tuple[int, int]] = Counter()
    hits = switches = 0
    for frame in sorted({*truth, *found}):
        true, seen = truth.get(frame, NOBODY), found.get(frame, NOBODY)
        overlaps = box_overlaps(true.boxes, seen.boxes)
        for row, column in np.argwhere(overlaps >= IOU).tolist():
            together[int(true.ids[row]), int(seen.ids[column])] += 1
        for row, column in _same(true, seen, overlaps, last):
            one, other = int(true.ids[row]), int(seen.ids[column])
            switches += last.get(one, other) != other
            last[one] = other
            hits += 1
    wrong = (true_boxes - hits) + (found_boxes - hits) + switches
    return {
        "mota": 1 - wrong / true_boxes,
        "idf1": 2 * _identified(together) / (true_boxes + found_boxes),
        "identity_switches": float(switches),
    }


def _same(
    true: Identified, seen: Identified, overlaps: np.ndarray, last: Mapping[int, int]
) -> list[tuple[int, int]]:
    """Return pairs of true and found boxes; a pair of the frames before stays while it overlaps."""
    kept = [
        (row, column)
        for row, one in enumerate(true.ids.tolist())
        for column, other in enumerate(seen.ids.tolist())
        if last.get(one) == other and overlaps[row, column] >= IOU
    ]
    # Two people may have been one found track, one after the other: the first keeps it.
    kept = list({column: (row, column) for row, column in reversed(kept)}.values())
    rows = [row for row in range(len(true.ids)) if row not in {each for each, _ in kept}]
    columns = [each for each in range(len(seen.ids)) if each not in {column for _, column in kept}]
    left = overlaps[np.ix_(rows, columns)]
    # A pair too far apart costs more than all others together, so that most boxes are paired.
    cost = np.where(left >= IOU, 1 - left, 1.0 + min(left.shape, default=0))
    return kept + [
        (rows[row], columns[column])
        for row, column in assign_pairs(cost)
        if left[row, column] >= IOU
    ]


def _identified(together: Counter[tuple[int, int]]) -> int:
    """Return the boxes with the right identity, under the best pairing of identities."""
    true, found = (sorted({pair[side] for pair in together}) for side in (0, 1))
    counts = np.array([[together[one, other] for other in found] for one in true])
    return int(sum(counts[pair] for pair in assign_pairs(-counts.reshape(len(true), len(found)))))
