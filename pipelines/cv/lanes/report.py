"""Score lines against the marks; show lanes, the way to them, and where they are wrong."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from slipway.datasets import fetch
from slipway.kits.tracking.drawing import draw_speeds
from slipway.media import decode_image
from slipway.reporting import Evaluation
from slipway.reporting.uncertainty import metric_with_interval

from .charts import by_condition, distances, smoothing
from .data import CLIP, marking_errors, read_member, read_places
from .edges import Region, find_edges, paint
from .hough import all_degrees, vote
from .metrics import (
    WIDTH,
    Comparison,
    Positions,
    baseline_positions,
    opencv_positions,
    served_positions,
)
from .model import MarkedRoad, RoadView
from .response import Lanes
from .scenes import harder, lanes, limits, steps

SEED = 4
EXAMPLES = [RoadView(video=Path(__file__).with_name("road.mp4").read_bytes())]


def score(*, predictions: list[Lanes], labels: list[MarkedRoad]) -> dict[str, float]:
    """Return the share of marks found with an interval over places, and those of the references."""
    pairs = zip(predictions, labels, strict=True)
    served = Comparison.from_rows(labels, [served_positions(*each) for each in pairs])
    found, places = served.by_place()
    metrics = metric_with_interval("marks_found", found, places, seed=SEED)
    errors = np.array(marking_errors()) * WIDTH
    return {
        **metrics,
        **{name: value for name, value in served.metrics().items() if name not in metrics},
        **reference_metrics("baseline", labels, baseline_positions),
        **reference_metrics("opencv", labels, opencv_positions),
        "marking_error_pixels": float(errors.mean()),
        "hough_votes_equal": equal_votes(),
    }


def reference_metrics(
    name: str, labels: list[MarkedRoad], positions: Callable[[MarkedRoad], dict[int, Positions]]
) -> dict[str, float]:
    """Return the main metrics of a reference on the same rows."""
    metrics = Comparison.from_rows(labels, [positions(each) for each in labels]).metrics()
    shown = ("marks_found", "marks_found_harder", "line_precision", "false_lanes", "median_pixels")
    return {f"{name}_{each}": metrics[each] for each in shown if each in metrics}


def equal_votes() -> float:
    """Return the share of OpenCV's lines in marked pictures with the same number of own votes."""
    equal = []
    for place in read_places():
        if place.file == CLIP:
            continue
        picture = decode_image(read_member(fetch("carnd_lanes"), place.file))
        edges = find_edges(picture, paint(picture, Region()), "gray", Region())
        votes = vote(edges, all_degrees())
        lines = cv2.HoughLinesWithAccumulator(edges.astype(np.uint8), 1, np.pi / 180, 20)
        for distance, angle, count in lines[:, 0]:
            row, column = round(float(distance)) + len(votes) // 2, round(float(np.rad2deg(angle)))
            equal.append(votes[row, column] == count)
    return float(np.mean(equal))


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    rows = list(
        zip(evaluation.test.records, evaluation.test.labels, evaluation.predictions, strict=True)
    )
    yield "lanes", lanes(rows)
    yield "steps", steps(rows)
    yield "harder", harder(rows)
    yield "limits", limits(rows)
    yield "conditions", by_condition(evaluation.candidates, evaluation.chosen)
    yield "distances", distances(evaluation, marking_errors())
    yield "smoothing", smoothing(rows, evaluation.weights)
    yield "speed", draw_speeds(json.loads(Path(__file__).with_name("speed.json").read_text()))
