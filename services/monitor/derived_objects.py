"""Numeric features of boxes, tracks, masks and other lists of objects, which models find."""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

from slipway.predictions.facts import is_cut_list
from slipway.quality.values import category, number

Derived = dict[str, float | None]

CORNERS = ("x1", "y1", "x2", "y2")
# The most frequent labels have a column each.
MOST_LABELS = 20


def box_features(value: Any, labels: tuple[str, ...] = ()) -> Derived:
    """Return `count`, mean `score` and mean `area` of boxes, and the count of each label.

    Without boxes, `score` and `area` are missing. Of a list that was cut, all boxes count for
    `count`, and the first ones for the rest.
    """
    first, count = objects(value)
    if first is None:
        return dict.fromkeys(_box_columns(labels))
    boxes = [each for each in first if isinstance(each, dict)]
    counts = Counter(map(label_of, boxes))
    found = [
        count,
        _mean(number(each.get("score", box_of(each).get("score"))) for each in boxes),
        _mean(_area(box_of(each)) for each in boxes),
        *(float(counts[label]) for label in labels),
    ]
    return dict(zip(_box_columns(labels), found, strict=True))


def object_features(value: Any) -> Derived:
    """Return `count`, the length of a list of objects or texts."""
    return {"count": objects(value)[1]}


def mask_features(value: Any) -> Derived:
    """Return `covered`, the share of the picture that is inside the mask."""
    counts = value.get("counts") if is_mask(value) else None
    if not isinstance(counts, list):  # missing, or it was too long
        return {"covered": None}
    lengths = [number(each) or 0.0 for each in counts]
    total = math.fsum(lengths)
    return {"covered": math.fsum(lengths[1::2]) / total if total else None}


def objects(value: Any) -> tuple[list[Any] | None, float | None]:
    """Return the items of a list, or its first items if it was cut, and its length."""
    if is_cut_list(value):
        return objects(value["first"])[0], number(value["count"])
    return (value, float(len(value))) if isinstance(value, list) else (None, None)


def frequent_labels(values: Iterable[Any]) -> tuple[str, ...]:
    """Return the most frequent labels of boxes, in alphabetical order."""
    counts = Counter(label_of(each) for value in values for each in objects(value)[0] or ())
    del counts[""]
    return tuple(sorted(label for label, _ in counts.most_common(MOST_LABELS)))


def is_box(value: Any) -> bool:
    """Return whether the value has the corners of a box, or a box in it, as tracks have."""
    return isinstance(value, dict) and box_of(value).keys() >= set(CORNERS)


def is_mask(value: Any) -> bool:
    """Return whether the value is a mask in run lengths."""
    return isinstance(value, dict) and value.keys() >= {"height", "width", "counts"}


def box_of(value: Any) -> dict[str, Any]:
    """Return the object itself, or its box."""
    if not isinstance(value, dict):
        return {}
    inner = value.get("box")
    return inner if isinstance(inner, dict) else value


def label_of(value: Any) -> str:
    """Return the label of a box or track; "" if it has none."""
    own = value.get("label") if isinstance(value, dict) else None
    return category(own or box_of(value).get("label")) or ""


def _box_columns(labels: tuple[str, ...]) -> list[str]:
    return ["count", "score", "area", *(f"count of {label}" for label in labels)]


def _area(box: dict[str, Any]) -> float | None:
    corners = [number(box.get(each)) for each in CORNERS]
    if None in corners:
        return None
    x1, y1, x2, y2 = (each or 0.0 for each in corners)
    return max(0.0, x2 - x1) * max(0.0, y2 - y1)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    return math.fsum(known) / len(known) if known else None
