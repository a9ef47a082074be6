"""Compare two predictions of a model with media, of which facts are on record."""

from collections import defaultdict
from typing import Any

from slipway.predictions.facts import has_facts, is_cut_list, is_cut_text, is_media
from slipway.quality.differences import Difference
from slipway.quality.media_differences import compare_media

# Two trainings place a box differently: from this overlap on, it is the same object.
SAME_OBJECT_IOU = 0.5
# Of media these facts count; others differ between two pictures that look the same.
SIZES = ("media_type", "width", "height", "frames")
LEVELS = ("seconds", "brightness", "contrast", "loudness")


def has_media(record: dict[str, Any]) -> bool:
    """Return whether facts are on record in the place of media of the request or its outputs."""
    return has_facts(record["inputs"]) or has_facts(record["outputs"])


def media_outputs_agree(one: Any, other: Any, tolerance: float) -> bool:
    """Return whether two outputs agree.

    Of the boxes in a list, and of the items of other lists, all but the share `tolerance` must have
    a partner: a box with the same label and an intersection over union of 0.5. Masks must overlap
    as much. Labels, texts, flags, and the sizes of pictures must be equal. Brightness, contrast,
    seconds and loudness must be within the relative tolerance. Other numbers count only if there
    is nothing else to compare, because they change a little with every training.
    """
    left, right = _comparable(one), _comparable(other)
    labels: dict[str, list[float]] = defaultdict(list)
    levels: list[Difference] = []
    numbers: list[Difference] = []
    for each in compare_media(left, right, iou=SAME_OBJECT_IOU):
        name = each.field.rpartition(".")[2]
        if each.error is None:
            labels[_list_of(each.field)].append(each.share)
        else:
            (levels if name in LEVELS else numbers).append(each)
    if any(sum(shares) < (1 - tolerance) * len(shares) for shares in labels.values()):
        return False
    counted = levels if labels or levels else numbers
    return all(_is_close(each, tolerance) for each in counted)


def _list_of(field: str) -> str:
    """Return the place of the outermost list around a place, or the place itself."""
    parts = field.split(".")
    for place, part in enumerate(parts):
        if part.isdigit():
            return ".".join(parts[:place])
    return field


def _is_close(difference: Difference, tolerance: float) -> bool:
    one, other = float(difference.one), float(difference.other)
    return abs(one - other) <= tolerance * max(abs(one), abs(other))


def _comparable(value: Any) -> Any:
    """Return the value with what counts of media, and with what is on record of what was cut."""
    if is_media(value):
        levels = {name: float(value[name]) for name in LEVELS if value.get(name) is not None}
        return {name: value[name] for name in SIZES if name in value} | levels
    if is_cut_text(value):
        return value["text"]
    if is_cut_list(value):
        return _comparable(value["first"])
    if isinstance(value, dict):
        return {name: _comparable(each) for name, each in value.items()}
    return [_comparable(each) for each in value] if isinstance(value, list) else value
