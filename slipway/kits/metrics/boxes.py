"""Metrics of predicted boxes, as the COCO benchmark defines them."""

from collections.abc import Callable, Sequence

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from slipway.media import Box
from slipway.training.selection import bootstrap_error, bootstrap_interval

Boxes = Sequence[Sequence[Box]]


def box_metrics(y_true: Boxes, y_pred: Boxes, labels: Sequence[str]) -> dict[str, float]:
    """Return the mean average precision of predicted boxes, with the boxes of each picture.

    `map50` counts a box as found if it overlaps one of the same label by an intersection over
    union of 0.5; `map` is the mean over 0.5, 0.55, ... 0.95. Labels that no picture has do not
    count. At most 100 boxes of a picture count, those with the best scores.

    Raises:
        ValueError: the numbers of pictures differ, or no picture has a box.
    """
    if len(y_true) != len(y_pred) or not any(y_true):
        raise ValueError(
            f"box metrics need equally many pictures, one of them with a box; got {len(y_true)} "
            f"and {len(y_pred)}"
        )
    found = _entries(y_pred, labels)
    if not found:
        return {"map50": 0.0, "map": 0.0}
    truth = COCO(
        {
            "images": [{"id": place} for place in range(len(y_true))],
            "categories": [{"id": place, "name": name} for place, name in enumerate(labels)],
            "annotations": _entries(y_true, labels),
        }
    )
    evaluation = COCOeval_faster(truth, truth.loadRes(found), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    mean, half = evaluation.stats[:2]
    return {"map50": float(half), "map": float(mean)}


def ap50_by_label(y_true: Boxes, y_pred: Boxes, labels: Sequence[str]) -> dict[str, float]:
    """Return the average precision of each label that a picture has, as `map50` averages them."""

    def only(boxes: Boxes, label: str) -> Boxes:
        return [[each for each in listed if each.label == label] for listed in boxes]

    return {
        name: box_metrics(only(y_true, name), only(y_pred, name), [name])["map50"]
        for name in labels
        if any(only(y_true, name))
    }


def map50_error(
    y_true: Boxes, y_pred: Boxes, labels: Sequence[str], *, seed: int, resamples: int = 40
) -> float:
    """Return the bootstrap standard error of `map50` over pictures."""
    metric = _map50_of_rows(y_true, y_pred, labels)
    return bootstrap_error(metric, len(y_true), seed=seed, resamples=resamples)


def map50_interval(
    y_true: Boxes, y_pred: Boxes, labels: Sequence[str], *, seed: int, resamples: int = 200
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of `map50` over pictures."""
    metric = _map50_of_rows(y_true, y_pred, labels)
    return bootstrap_interval(metric, len(y_true), seed=seed, resamples=resamples)


def _map50_of_rows(
    y_true: Boxes, y_pred: Boxes, labels: Sequence[str]
) -> Callable[[np.ndarray], float]:
    def map50(rows: np.ndarray) -> float:
        picked = [y_true[row] for row in rows], [y_pred[row] for row in rows]
        return box_metrics(*picked, labels)["map50"] if any(picked[0]) else 0.0

    return map50


def _entries(boxes: Boxes, labels: Sequence[str]) -> list[dict[str, object]]:
    numbers = {name: place for place, name in enumerate(labels)}
    return [
        {
            "id": number,
            "image_id": picture,
            "category_id": numbers[box.label],
            "bbox": [box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1],
            "area": (box.x2 - box.x1) * (box.y2 - box.y1),
            "iscrowd": 0,
            "score": box.score,
        }
        for number, (picture, box) in enumerate(
            ((place, each) for place, listed in enumerate(boxes) for each in listed), start=1
        )
    ]
