"""Compare predictions with pictures, boxes and masks by what they show."""

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np

from slipway.media import Mask, box_overlaps, decode_image
from slipway.quality.differences import Difference, compare_inside, inner

CORNERS = ("x1", "y1", "x2", "y2")
# The first characters of base64 of PNG, JPEG and WEBP.
PICTURES = ("iVBORw0KGgo", "/9j/", "UklGR")


def compare_media(one: Any, other: Any, field: str = "", *, iou: float) -> Iterator[Difference]:
    """Yield the differences of two predictions.

    A picture's error is the mean difference of its pixels, from 0 to 1. Two boxes with the same
    label are the same if their intersection over union is at least `iou`, and two masks, too;
    the order of boxes does not matter, and their corners do not count as numbers.
    """
    if _are(_is_mask, one, other):
        yield Difference(field, one, other, share=float(_mask_overlap(one, other) >= iou))
    elif _are(_is_boxes, one, other) and (one or other):
        yield from _box_differences(one, other, field, iou)
    elif _are(_is_picture, one, other):
        yield _picture_difference(one, other, field)
    else:

        def members(left: Any, right: Any, place: str) -> Iterator[Difference]:
            return compare_media(left, right, place, iou=iou)

        yield from compare_inside(one, other, field, members)


def _are(test: Any, one: Any, other: Any) -> bool:
    return bool(test(one) and test(other))


def _is_mask(value: Any) -> bool:
    return isinstance(value, dict) and {"height", "width", "counts"} <= value.keys()


def _is_boxes(value: Any) -> bool:
    return isinstance(value, list) and all(_corners(each) is not None for each in value)


def _is_picture(value: Any) -> bool:
    if isinstance(value, str):
        return value.startswith(PICTURES)
    return isinstance(value, bytes)


def _corners(value: Any) -> list[float] | None:
    """Return the corners of a box, or of something with a box, such as a track."""
    if isinstance(value, dict) and isinstance(value.get("box"), dict):
        value = value["box"]
    if isinstance(value, dict) and all(isinstance(value.get(each), float) for each in CORNERS):
        return [value[each] for each in CORNERS]
    return None


def _label(box: dict[str, Any]) -> Any:
    return box.get("label", "")


def _box_differences(
    one: list[dict[str, Any]], other: list[dict[str, Any]], field: str, iou: float
) -> Iterator[Difference]:
    overlaps = box_overlaps(_matrix(one), _matrix(other))
    alike = np.array([[_label(left) == _label(right) for right in other] for left in one])
    overlaps = np.where(alike, overlaps, 0.0) if overlaps.size else overlaps
    left, right = set(range(len(one))), set(range(len(other)))
    while overlaps.size and overlaps.max() >= iou:
        row, column = (int(each) for each in np.unravel_index(overlaps.argmax(), overlaps.shape))
        overlaps[row], overlaps[:, column] = -1.0, -1.0
        left.discard(row)
        right.discard(column)
        yield Difference(inner(field, row), one[row], other[column])
        yield from _rest_differences(one[row], other[column], inner(field, row), iou)
    yield from (Difference(inner(field, row), one[row], None, share=0.0) for row in sorted(left))
    yield from (Difference(inner(field, row), None, other[row], share=0.0) for row in sorted(right))


def _rest_differences(
    one: dict[str, Any], other: dict[str, Any], field: str, iou: float
) -> Iterator[Difference]:
    """Yield the differences of two matched boxes in all but their corners and labels."""
    left, right = (
        {key: value for key, value in each.items() if key not in (*CORNERS, "box", "label")}
        for each in (one, other)
    )
    yield from compare_media(left, right, field, iou=iou)


def _matrix(boxes: list[dict[str, Any]]) -> np.ndarray:
    return np.array([_corners(each) for each in boxes], dtype=np.float64).reshape(-1, 4)


def _mask_overlap(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Return the intersection over union of two masks; two empty ones are the same."""
    if (one["height"], one["width"]) != (other["height"], other["width"]):
        return 0.0
    left, right = (
        Mask(height=each["height"], width=each["width"], counts=each["counts"]).array()
        for each in (one, other)
    )
    union = int((left | right).sum())
    return int((left & right).sum()) / union if union else 1.0


def _picture_difference(one: Any, other: Any, field: str) -> Difference:
    try:
        left, right = (decode_image(_bytes(each)) for each in (one, other))
    except ValueError:  # other bytes, such as a sound
        return Difference(field, one, other, share=float(one == other))
    if left.shape != right.shape:
        return Difference(field, left.shape, right.shape, share=0.0)
    difference = np.abs(left.astype(np.int16) - right.astype(np.int16)).mean() / 255
    return Difference(field, "a picture", "another picture", float(difference))


def _bytes(value: str | bytes) -> bytes:
    return base64.b64decode(value) if isinstance(value, str) else value
