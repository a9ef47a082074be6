"""The detection kit: cells of the grid and back, box metrics against hand computation."""

import numpy as np
import pytest
import torch

from slipway.kits.detection.decode import decode_boxes
from slipway.kits.detection.record import Placement, frame_batch
from slipway.kits.detection.report import matches
from slipway.kits.detection.study import mirrored_cells
from slipway.kits.detection.targets import encode_boxes, heat_loss, sides_loss
from slipway.kits.images import ImageRecord
from slipway.kits.metrics.boxes import ap50_by_label, box_metrics, map50_error, map50_interval
from slipway.media import Box, encode_png

LABELS = ("cell", "dish")


class Smear(ImageRecord, size=(64, 96)):
    """A picture."""


def smear(height: int, width: int) -> Smear:
    return Smear(image=encode_png(np.zeros((height, width, 3), dtype=np.uint8)))


def box(x1: float, y1: float, x2: float, y2: float, label: str = "cell", score: float = 1) -> Box:
    return Box(x1=x1, y1=y1, x2=x2, y2=y2, label=label, score=score)


def rounded(boxes: list[Box]) -> list[tuple[str, list[int]]]:
    return [
        (each.label, [round(side) for side in (each.x1, each.y1, each.x2, each.y2)])
        for each in boxes
    ]


def test_a_framed_picture_keeps_its_proportions() -> None:
    feeds, (placement,) = frame_batch([smear(200, 100)])
    assert feeds["images"].shape == (1, 3, 64, 96)
    # 200 rows become 64, 100 columns 32, in the middle of 96.
    assert (placement.scale, placement.left, placement.top) == (0.32, 32, 0)
    corners = np.array([[0.0, 0.0, 100.0, 200.0]])
    assert placement.to_frame(corners).tolist() == [[32, 0, 64, 64]]
    assert placement.to_picture(np.array([[30.0, -5.0, 64.0, 70.0]])).tolist() == [[0, 0, 100, 200]]


def test_encoded_boxes_are_decoded_again() -> None:
    placement = Placement(0.5, 8, 0, 160, 128, (64, 96))
    marked = [box(20, 10, 60, 40), box(100, 60, 150, 120, "dish"), box(60, 70, 90, 100)]
    heat, sides = encode_boxes(marked, placement, LABELS, stride=4)
    assert heat.shape == (2, 16, 24)
    found = decode_boxes(heat, sides, placement, LABELS, min_score=0.99)
    assert sorted(rounded(found)) == sorted(rounded(marked))


def test_a_picture_without_objects_has_cold_cells() -> None:
    placement = Placement(1, 0, 0, 96, 64, (64, 96))
    heat, sides = encode_boxes([], placement, LABELS, stride=8)
    assert not heat.any()
    assert decode_boxes(heat, sides, placement, LABELS, min_score=0.05) == []
    empty = torch.from_numpy(sides)[None]
    assert float(sides_loss(empty + 1, empty)) == 0


def test_the_surer_of_two_overlapping_boxes_stays() -> None:
    placement = Placement(1, 0, 0, 96, 64, (64, 96))
    heat = np.zeros((2, 8, 12), dtype=np.float32)
    heat[0, 4, 4], heat[0, 4, 6], heat[1, 4, 8] = 0.9, 0.8, 0.7
    sides = np.full((4, 8, 12), 30.0, dtype=np.float32)
    found = decode_boxes(heat, sides, placement, LABELS, min_score=0.3, iou=0.3)
    assert [(each.label, round(each.score, 1)) for each in found] == [("cell", 0.9), ("dish", 0.7)]


def test_losses_are_least_for_the_targets_themselves() -> None:
    placement = Placement(1, 0, 0, 96, 64, (64, 96))
    heat, sides = encode_boxes([box(10, 10, 50, 50)], placement, LABELS, stride=8)
    wanted, distances = torch.from_numpy(heat)[None], torch.from_numpy(sides)[None]
    sure = torch.where(wanted == 1, 9.0, -9.0)
    assert heat_loss(sure, wanted) < 0.01 < heat_loss(-sure, wanted)
    assert float(sides_loss(distances, distances)) == pytest.approx(0, abs=1e-6)
    # Sides of twice the length hold four times the area.
    assert float(sides_loss(2 * distances, distances)) == pytest.approx(0.75)


def test_small_objects_count_as_much_as_large_ones_if_they_should() -> None:
    placement = Placement(1, 0, 0, 96, 64, (64, 96))
    _, sides = encode_boxes([box(4, 4, 52, 60), box(72, 8, 92, 28)], placement, LABELS, stride=4)
    wanted = torch.from_numpy(sides)[None]
    wrong = wanted.clone()
    wrong[..., 16:] *= 2  # the small one has the cells on the right
    small = (wanted[:, 0, :, 16:] > 0).sum() / (wanted[:, 0] > 0).sum()
    assert float(sides_loss(wrong, wanted)) == pytest.approx(0.75 * float(small))
    alike = float(sides_loss(wrong, wanted, objects_count_alike=True))
    assert alike == pytest.approx(0.75 / 2, rel=0.1)
    assert float(sides_loss(wanted + 1, 0 * wanted, objects_count_alike=True)) == 0


def test_a_mirrored_batch_has_mirrored_cells() -> None:
    placement = Placement(1, 0, 0, 96, 64, (64, 96))
    heat, sides = encode_boxes([box(10, 10, 40, 50)], placement, LABELS, stride=8)
    images = torch.zeros(64, 3, 64, 96)
    images[:, :, :, :10] = 1
    torch.manual_seed(0)
    batch = [torch.from_numpy(each)[None].repeat(64, 1, 1, 1) for each in (heat, sides)]
    changed, hot, far = mirrored_cells((images, batch[0], batch[1]))
    kinds = set()
    for row in range(64):
        found = decode_boxes(hot[row].numpy(), far[row].numpy(), placement, LABELS, min_score=0.9)
        kinds.add((float(changed[row, 0, 0, 0]), str(rounded(found))))
    assert kinds == {(1.0, "[('cell', [10, 10, 40, 50])]"), (0.0, "[('cell', [56, 10, 86, 50])]")}


TRUTH = [[box(0, 0, 100, 100), box(200, 0, 300, 100)], [box(0, 0, 50, 50, "dish")]]


def test_perfect_boxes_have_the_highest_precision() -> None:
    assert box_metrics(TRUTH, TRUTH, LABELS) == {"map50": 1.0, "map": 1.0}
    assert box_metrics(TRUTH, [[], []], LABELS) == {"map50": 0.0, "map": 0.0}


def test_box_metrics_as_computed_by_hand() -> None:
    # One of two cells is found, surest; a false box follows. The dish overlaps by 0.72 (36 by 50).
    found = [
        [box(0, 0, 100, 100, score=0.9), box(500, 500, 600, 600, score=0.5)],
        [box(0, 0, 36, 50, "dish", 0.8)],
    ]
    metrics = box_metrics(TRUTH, found, LABELS)
    # Half of the cells are found, with precision 1: 51 of 101 points of recall. The dish has all.
    assert metrics["map50"] == pytest.approx((51 / 101 + 1) / 2)
    # The dish counts at 0.5, 0.55, ... 0.7: five of ten thresholds.
    assert metrics["map"] == pytest.approx((51 / 101 + 0.5) / 2)


def test_box_metrics_need_pictures_with_boxes() -> None:
    for marked, found in (([[]], [[]]), (TRUTH, [[]])):
        with pytest.raises(ValueError, match="equally many pictures, one of them with a box"):
            box_metrics(marked, found, LABELS)


def test_the_standard_error_is_0_where_all_pictures_are_alike() -> None:
    assert map50_error([TRUTH[0]] * 4, [TRUTH[0]] * 4, LABELS, seed=0, resamples=5) == 0
    mixed = [TRUTH[0], [], TRUTH[0], []]
    assert map50_error([TRUTH[0]] * 4, mixed, LABELS, seed=0, resamples=20) > 0.05


def test_the_precision_by_label_averages_to_that_of_all() -> None:
    marked = [[box(0, 0, 9, 9), box(20, 0, 29, 9, "dish")], [box(0, 0, 9, 9)]]
    found = [[box(0, 0, 9, 9), box(20, 0, 29, 9, "dish", 0.5)], [box(0, 20, 9, 29, score=0.9)]]
    by_label = ap50_by_label(marked, found, LABELS)
    assert by_label == {"cell": pytest.approx(0.5, abs=0.01), "dish": pytest.approx(1)}
    together = box_metrics(marked, found, LABELS)["map50"]
    assert together == pytest.approx(sum(by_label.values()) / 2)
    assert set(ap50_by_label(marked, found, ("cell", "dish", "lid"))) == {"cell", "dish"}


def test_the_interval_holds_the_precision_of_all_pictures() -> None:
    marked = [[box(0, 0, 9, 9)]] * 12
    found = [[box(0, 0 if row % 3 else 20, 9, 9 if row % 3 else 29)] for row in range(12)]
    low, high = map50_interval(marked, found, LABELS, seed=0, resamples=50)
    assert low < box_metrics(marked, found, LABELS)["map50"] < high
    assert map50_interval(marked, marked, LABELS, seed=0, resamples=5) == pytest.approx((1, 1))


def test_every_box_is_matched_once() -> None:
    found = [box(0, 0, 100, 90, score=0.4), box(0, 0, 100, 100, score=0.6)]
    assert matches(TRUTH[0], found) == [(0, 1)]
    assert matches([box(0, 0, 9, 9, "dish")], [box(0, 0, 9, 9)]) == []
