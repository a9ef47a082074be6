"""The blood cells: shared fields of view, the augmentation, thresholds, and the baseline."""

import cv2
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from pipelines.cv.blood_cells.classical import find_cells
from pipelines.cv.blood_cells.data import published, separated, thumbnail
from pipelines.cv.blood_cells.fields import moved_correlation
from pipelines.cv.blood_cells.model import LABELS, STRIDE, Smear, counted, decode
from pipelines.cv.blood_cells.train import RECIPES, best_threshold, network, turned
from slipway.datasets import fetch
from slipway.kits.detection.record import Placement
from slipway.kits.detection.targets import encode_boxes
from slipway.media import Box, encode_png

RED, WHITE, PLATELET = LABELS
SIDE = 64
SAME = 0.85  # as in params.yaml


def cell(x1: float, y1: float, x2: float, y2: float, label: str = RED, score: float = 1) -> Box:
    return Box(x1=x1, y1=y1, x2=x2, y2=y2, label=label, score=score)


def test_two_views_of_one_field_correlate_and_other_fields_do_not() -> None:
    slide = np.random.default_rng(0).normal(size=(60, 80)).astype(np.float32)
    slide = cv2.GaussianBlur(slide, (5, 5), 0)
    one, moved, other = slide[:30, :40], slide[8:38, 14:54], slide[30:, 40:]
    found = moved_correlation(np.stack([one]), np.stack([moved, other]))[0]
    assert_allclose(found[0], 1, atol=1e-4)
    assert found[1] < 0.5


def test_no_field_of_view_is_in_two_splits_and_the_test_is_the_publishers() -> None:
    pictures = published(fetch("bccd"))
    parts = separated(pictures, SAME)
    assert [each.name for each in parts["test"]] == [
        each.name for each in pictures if each.split == "test"
    ]
    small = {
        name: np.stack([thumbnail(each.content) for each in rows]) for name, rows in parts.items()
    }
    for one, other in (("train", "test"), ("val", "test"), ("val", "train")):
        assert moved_correlation(small[one], small[other]).max() < SAME
    # The publisher's own split does not hold this.
    left_out = {each.name for each in pictures} - {
        each.name for rows in parts.values() for each in rows
    }
    assert len(left_out) == 12


def targets(boxes: list[Box]) -> tuple[torch.Tensor, torch.Tensor]:
    placement = Placement(1.0, 0, 0, SIDE, SIDE, (SIDE, SIDE))
    heat, sides = encode_boxes(boxes, placement, LABELS, STRIDE)
    return torch.from_numpy(heat), torch.from_numpy(sides)


@pytest.mark.parametrize("seed", range(12))
def test_a_turned_picture_has_the_targets_of_its_turned_boxes(seed: int) -> None:
    corners = (6.0, 12.0, 21.0, 38.0)
    picture = torch.zeros(3, SIDE, SIDE)
    picture[:, 12:38, 6:21] = 1
    heat, sides = targets([cell(*corners)])
    torch.manual_seed(seed)
    images, heats, all_sides = turned((picture[None], heat[None], sides[None]))
    rows, columns = torch.nonzero(images[0, 0], as_tuple=True)
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    wanted_heat, wanted_sides = targets([cell(*(float(each) for each in box))])
    assert_allclose(heats[0].numpy(), wanted_heat.numpy(), atol=1e-6)
    assert_allclose(all_sides[0].numpy(), wanted_sides.numpy(), atol=1e-6)


def test_all_eight_positions_occur() -> None:
    picture = torch.arange(9.0).reshape(1, 1, 3, 3)
    cells = torch.zeros(1, 4, 3, 3)
    torch.manual_seed(0)
    seen = {tuple(turned((picture, picture, cells))[0].flatten().tolist()) for _ in range(100)}
    assert len(seen) == 8


@pytest.mark.parametrize("name", RECIPES)
def test_networks_take_pictures_in_both_orientations(name: str) -> None:
    module = network(RECIPES[name])
    for height, width in ((240, 320), (320, 240)):
        cells = module(torch.zeros(1, 3, height, width))
        assert cells.shape == (1, len(LABELS) + 4, height // STRIDE, width // STRIDE)


def test_the_threshold_is_the_one_with_the_nearest_count() -> None:
    marked = [[cell(0, 0, 9, 9)], [cell(0, 0, 9, 9), cell(20, 0, 29, 9)]]
    found = [
        [cell(0, 0, 9, 9, score=0.8), cell(40, 0, 49, 9, score=0.45)],
        [cell(0, 0, 9, 9, score=0.7), cell(20, 0, 29, 9, score=0.5), cell(0, 0, 5, 5, WHITE)],
    ]
    threshold, error = best_threshold(marked, found, RED)
    assert 0.45 < threshold <= 0.5
    assert error == 0


def test_each_label_has_its_threshold_unless_the_request_has_one() -> None:
    boxes = [cell(0, 0, 9, 9, score=0.4), cell(0, 0, 9, 9, PLATELET, score=0.4)]
    found = counted(boxes, {RED: 0.5, WHITE: 0.5, PLATELET: 0.3})
    assert (found.red_cells, found.white_cells, found.platelets) == (0, 0, 1)
    assert found.boxes == boxes[1:]

    heat = np.zeros((1, 3, 30, 40), dtype=np.float32)
    heat[0, :, 10, 10] = 0.4
    outputs = {"heat": heat, "sides": np.full((1, 4, 30, 40), 9.0, dtype=np.float32)}
    smear = Smear(image=encode_png(np.zeros((240, 320, 3), dtype=np.uint8)))
    thresholds = dict.fromkeys(LABELS, 0.5)
    assert not decode([smear], outputs, thresholds)[0].boxes
    lower = smear.model_copy(update={"min_score": 0.3})
    assert len(decode([lower], outputs, thresholds)[0].boxes) == 3


def test_the_baseline_tells_the_three_kinds_apart_and_parts_cells_that_touch() -> None:
    picture = np.full((240, 320, 3), (205, 215, 210), dtype=np.uint8)
    for middle in ((60, 60), (100, 60)):
        cv2.circle(picture, middle, 24, (190, 150, 150), cv2.FILLED)
    cv2.circle(picture, (220, 150), 40, (110, 70, 170), cv2.FILLED)
    cv2.circle(picture, (60, 180), 8, (130, 100, 190), cv2.FILLED)
    found = find_cells(picture)
    assert sorted(each.label for each in found) == sorted([RED, RED, WHITE, PLATELET])
    white = next(each for each in found if each.label == WHITE)
    assert_allclose([white.x1, white.y1, white.x2, white.y2], [180, 110, 260, 190], atol=8)
