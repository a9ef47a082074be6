"""Targets for the cells of a detector's grid, and the loss against them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from slipway.kits.detection.record import Placement
from slipway.media import Box

# Cells in this middle part of a box learn its sides; at its edge the neighbor may be nearer.
MIDDLE = 0.6


def encode_boxes(
    boxes: Sequence[Box], placement: Placement, labels: Sequence[str], stride: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the targets of one picture: heat (labels, height, width), sides (4, height, width).

    Heat is 1 in the cell with the middle of an object, and falls off around it like a bell whose
    width is a sixth of the box's. Sides are the distances of the four sides in pixels of the
    frame, 0 where no object is; the smallest of several objects in a cell counts.
    """
    height, width = (side // stride for side in placement.frame)
    heat = np.zeros((len(labels), height, width), dtype=np.float32)
    sides = np.zeros((4, height, width), dtype=np.float32)
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    down, across = (rows + 0.5) * stride, (columns + 0.5) * stride
    numbers = {name: place for place, name in enumerate(labels)}
    corners = placement.to_frame(np.array([[b.x1, b.y1, b.x2, b.y2] for b in boxes]).reshape(-1, 4))
    areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    for place in np.argsort(-areas, kind="stable"):
        x1, y1, x2, y2 = corners[place]
        middle_x, middle_y = (x1 + x2) / 2, (y1 + y2) / 2
        row = min(max(int(middle_y // stride), 0), height - 1)
        column = min(max(int(middle_x // stride), 0), width - 1)
        spread_x, spread_y = (max(side / 6, stride / 3) for side in (x2 - x1, y2 - y1))
        bell = np.exp(
            -(((columns - column) * stride / spread_x) ** 2) / 2
            - ((rows - row) * stride / spread_y) ** 2 / 2
        )
        layer = heat[numbers[boxes[place].label]]
        np.maximum(layer, bell, out=layer)
        inside = (np.abs(across - middle_x) < MIDDLE * (x2 - x1) / 2) & (
            np.abs(down - middle_y) < MIDDLE * (y2 - y1) / 2
        )
        inside[row, column] = True
        distances = np.broadcast_arrays(across - x1, down - y1, x2 - across, y2 - down)
        sides[:, inside] = np.maximum(np.stack(distances)[:, inside], 1.0)
    return heat, sides


def heat_loss(logits: torch.Tensor, heat: torch.Tensor) -> torch.Tensor:
    """Return the focal loss of the heat (rows, labels, height, width), per object.

    Cells near a middle cost less the nearer they are (Law and Deng, CornerNet, 2018).
    """
    middle = (heat == 1).float()
    found = functional.logsigmoid(logits) * (1 - logits.sigmoid()) ** 2 * middle
    missed = functional.logsigmoid(-logits) * logits.sigmoid() ** 2 * (1 - heat) ** 4
    return -(found + missed * (1 - middle)).sum() / middle.sum().clamp(min=1)


def sides_loss(
    sides: torch.Tensor, wanted: torch.Tensor, *, objects_count_alike: bool = False
) -> torch.Tensor:
    """Return the mean of 1 - IoU over the cells in objects; both are (rows, 4, height, width).

    A large object has more cells. If `objects_count_alike`, a cell's weight is one over the area of
    its object, or the sides of small objects would hardly be learned beside those of large ones.
    """
    inside = wanted[:, 0] > 0
    left, top, right, bottom = sides.movedim(1, -1)[inside].T
    to_left, to_top, to_right, to_bottom = wanted.movedim(1, -1)[inside].T
    shared = (torch.minimum(left, to_left) + torch.minimum(right, to_right)) * (
        torch.minimum(top, to_top) + torch.minimum(bottom, to_bottom)
    )
    areas = (left + right) * (top + bottom) + (to_left + to_right) * (to_top + to_bottom)
    missed = 1 - shared / (areas - shared)
    if not objects_count_alike:
        return missed.sum() / inside.sum().clamp(min=1)
    weights = 1 / ((to_left + to_right) * (to_top + to_bottom))
    return (missed * weights).sum() / weights.sum().clamp(min=1e-12)
