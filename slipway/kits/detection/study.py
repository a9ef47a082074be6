"""A study of networks that find objects in pictures."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import nn

from slipway.contract import Record
from slipway.deep import Plan
from slipway.kits.detection.decode import decode_boxes
from slipway.kits.detection.record import Placement, frame_pixels
from slipway.kits.detection.targets import encode_boxes, heat_loss, sides_loss
from slipway.kits.metrics.boxes import box_metrics, map50_error
from slipway.kits.pixel_study import PixelStudy
from slipway.kits.study import Arrays, TensorRows, Tensors
from slipway.media import Box
from slipway.training import LabelledRows

Recipe = TypeVar("Recipe")

# Precision is measured over all scores; lower ones change it by less than its last digit.
LOWEST_SCORE = 0.05


def detection_head(channels: int, labels: int) -> nn.Conv2d:
    """Return the last layer: per cell `labels` logits of heat, and 4 logarithms of distances.

    At first it says 1 % for every cell, or the many empty cells would dominate the first steps
    (Lin et al. 2017).
    """
    layer = nn.Conv2d(channels, labels + 4, kernel_size=1)
    assert layer.bias is not None
    nn.init.constant_(layer.bias, 0.0)
    nn.init.constant_(layer.bias[:labels], -math.log(99))
    return layer


class Grid(nn.Module):
    """A network whose last layer is a `detection_head`, with its outputs as `decode_boxes` reads.

    Returns heat (rows, labels, height, width) as logits, and as probabilities in evaluation mode;
    and sides (rows, 4, height, width) in pixels.
    """

    def __init__(self, module: nn.Module, labels: int, stride: int) -> None:
        super().__init__()
        self.module, self.labels, self.stride = module, labels, stride

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        cells = self.module(images)
        heat, sides = cells[:, : self.labels], cells[:, self.labels :]
        # e^5 strides are more than any frame; without a limit a bad step overflows.
        return heat, self.stride * sides.clamp(-5, 5).exp()


class _Exported(nn.Module):
    def __init__(self, grid: nn.Module) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        heat, sides = self.grid(images)
        return heat.sigmoid(), sides


class DetectionStudy(PixelStudy[Recipe]):
    """A study of detectors; the label of a picture is its `Detections`, as people marked them.

    `network(recipe)` ends in a `detection_head` and makes the picture smaller by `stride`.
    `decode(records, outputs)` makes the predictions, as in the project's `model.py`.
    `augment((images, heat, sides), recipe)` changes a batch at random; see `mirrored_cells`.
    """

    primary = "map50"
    outputs = ("heat", "sides")
    objects_count_alike: ClassVar[bool] = False
    """True if small objects count as much as large ones in the loss of the sides."""

    def __init__(
        self,
        labels: Sequence[str],
        network: Callable[[Recipe], nn.Module],
        decode: Callable[[list[Any], Arrays], Sequence[Record]],
        *,
        stride: int,
        weights: Path,
        seed: int,
        augment: Callable[[Any, Recipe], Any] | None = None,
        plan: Callable[[Recipe, int], Plan] | None = None,
    ) -> None:
        super().__init__(network, weights=weights, seed=seed, augment=augment, plan=plan)
        self.labels, self.decode, self.stride = tuple(labels), decode, stride

    def arrays(self, records: list[Any]) -> Arrays:
        return {"images": frame_pixels(records)[0]}

    def targets(self, rows: LabelledRows[Any, Any]) -> Tensors:
        encoded = [
            encode_boxes(truth.boxes, placement, self.labels, self.stride)
            for truth, placement in zip(rows.labels, placements(rows.records), strict=True)
        ]
        heat, sides = (torch.from_numpy(np.stack(each)) for each in zip(*encoded, strict=True))
        return {"heat": heat, "sides": sides}

    def augmented(self, inputs: Tensors, targets: Tensors, recipe: Recipe) -> tuple[Any, Any]:
        if not self.augment:
            return inputs, targets
        batch = inputs["images"], targets["heat"], targets["sides"]
        images, heat, sides = self.augment(batch, recipe)
        return {"images": images}, {"heat": heat, "sides": sides}

    def prepared(self, module: nn.Module) -> nn.Module:
        return super().prepared(Grid(module, len(self.labels), self.stride))

    def loss(self, outputs: Any, targets: Tensors) -> torch.Tensor:
        heat, sides = outputs
        alike = self.objects_count_alike
        of_sides = sides_loss(sides, targets["sides"], objects_count_alike=alike)
        return heat_loss(heat, targets["heat"]) + 2 * of_sides

    def exported(self, module: nn.Module) -> nn.Module:
        return _Exported(module)

    def metrics(self, outputs: Arrays, rows: TensorRows) -> dict[str, float]:
        truth, found = self._boxes(outputs, rows)
        error = map50_error(truth, found, self.labels, seed=self.seed)
        return {**box_metrics(truth, found, self.labels), "map50_se": error}

    def curve(self, outputs: Arrays, rows: TensorRows) -> float:
        return box_metrics(*self._boxes(outputs, rows), self.labels)["map50"]

    def _boxes(self, outputs: Arrays, rows: TensorRows) -> tuple[list[list[Box]], list[list[Box]]]:
        """Return the marked and the found boxes of each picture."""
        found = [
            decode_boxes(heat, sides, placement, self.labels, min_score=LOWEST_SCORE)
            for heat, sides, placement in zip(
                outputs["heat"], outputs["sides"], placements(rows.rows.records), strict=True
            )
        ]
        return [each.boxes for each in rows.rows.labels], found

    def predictions(self, records: list[Any], outputs: Arrays) -> Sequence[Record]:
        return self.decode(records, outputs)


def placements(records: list[Any]) -> list[Placement]:
    """Return where each picture is in its frame."""
    return [frame_pixels([record])[1][0] for record in records]


def mirrored_cells(
    batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mirror half of the pictures left to right, with their heat and sides."""
    images, heat, sides = batch
    chosen = (torch.rand(len(images)) < 0.5)[:, None, None, None]
    # What was the left side is the right one.
    swapped = sides.flip(3)[:, [2, 1, 0, 3]]
    return (
        torch.where(chosen, images.flip(3), images),
        torch.where(chosen, heat.flip(3), heat),
        torch.where(chosen, swapped, sides),
    )
