"""Compare color thresholds with networks of one and two scales, on validation pictures."""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from slipway.deep import Plan
from slipway.kits.detection.record import Detections
from slipway.kits.detection.study import DetectionStudy, detection_head
from slipway.kits.metrics.boxes import Boxes, box_metrics, map50_error
from slipway.kits.study import Arrays, TensorRows
from slipway.media import decode_image
from slipway.training import Candidate, Fitted, LabelledRows

from .classical import find_cells
from .model import LABELS, LOWEST, STRIDE, THRESHOLDS, Smear, decode, name_of

CHANNELS = 32
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Recipe:
    """The settings of one candidate."""

    turned: bool = True
    two_scales: bool = True


# From the simplest to the most complex.
RECIPES = {
    "one_scale": Recipe(two_scales=False),
    "not_turned": Recipe(turned=False),
    "two_scales": Recipe(),
}


class TwoScales(nn.Module):
    """Cells of 8 pixels see detail, cells of 16 pixels see the surroundings; their sum decides.

    A white cell is five times as wide as a platelet. On the coarse grid the same convolution sees
    twice as far, for a quarter of the cost (Lin et al., Feature Pyramid Networks, 2017).
    """

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(*stem(), Residual(CHANNELS))
        self.coarse = nn.Sequential(
            convolution(CHANNELS, 2 * CHANNELS, 3, stride=2),
            Residual(2 * CHANNELS),
            Residual(2 * CHANNELS),
            convolution(2 * CHANNELS, CHANNELS, 1),
        )
        self.head = nn.Sequential(convolution(CHANNELS, CHANNELS, 3), head())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return cells (rows, labels + 4, height / 8, width / 8) for pictures (rows, 3, ...)."""
        fine = self.fine(images)
        coarse = functional.interpolate(self.coarse(fine), scale_factor=2.0, mode="nearest")
        return self.head(fine + coarse)


class Residual(nn.Module):
    """Two convolutions whose result is added to their input (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            convolution(channels, channels, 3),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return functional.relu(images + self.change(images))


def network(recipe: Recipe) -> nn.Module:
    """Return an untrained network that makes a picture smaller by `STRIDE`."""
    if recipe.two_scales:
        return TwoScales()
    return nn.Sequential(*stem(), *(Residual(CHANNELS) for _ in range(3)), head())


def stem() -> list[nn.Module]:
    """Return the first layers: three steps of 2 pixels, with more channels as the grid shrinks."""
    return [convolution(*each, 3, stride=2) for each in ((3, 16), (16, 24), (24, CHANNELS))]


def convolution(inputs: int, outputs: int, side: int, stride: int = 1) -> nn.Module:
    """Return one convolution with batch normalization."""
    layer = nn.Conv2d(inputs, outputs, side, stride=stride, padding=side // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


def head() -> nn.Module:
    return detection_head(CHANNELS, len(LABELS))


def augment(batch: Batch, recipe: Recipe) -> Batch:
    """Change light and stain a little, and turn the pictures: blood has no up, left or mirror."""
    images, heat, sides = batch
    return turned((stained(images), heat, sides)) if recipe.turned else batch


def turned(batch: Batch) -> Batch:
    """Show a batch in one of its eight positions: mirrored or not, on both axes, or transposed."""
    images, heat, sides = batch
    # The axis, and which of left, top, right and bottom each side becomes.
    for axis, order in ((3, [2, 1, 0, 3]), (2, [0, 3, 2, 1])):
        chosen = (torch.rand(len(images)) < 0.5)[:, None, None, None]
        images = torch.where(chosen, images.flip(axis), images)
        heat = torch.where(chosen, heat.flip(axis), heat)
        sides = torch.where(chosen, sides.flip(axis)[:, order], sides)
    if torch.rand(()) < 0.5:  # all at once: a batch has one height
        return images.mT, heat.mT, sides.mT[:, [1, 0, 3, 2]]
    return images, heat, sides


def stained(images: torch.Tensor) -> torch.Tensor:
    """Change the contrast of each picture by up to a fifth, and of each color by up to 15 %."""
    contrast = 1 + 0.2 * (2 * torch.rand(len(images), 1, 1, 1) - 1)
    color = 1 + 0.15 * (2 * torch.rand(len(images), 3, 1, 1) - 1)
    mean = images.mean((2, 3), keepdim=True)
    return (((images - mean) * contrast + mean) * color).clamp(0, 1)


def plan(recipe: Recipe, epochs: int) -> Plan:
    """Return the hyperparameters of the training."""
    return Plan(epochs, 0.01, "one_cycle", batch=8, weight_decay=0.01)


class CellStudy(DetectionStudy[Recipe]):
    """A study that validates on the publisher's pictures, which come last, and on counts."""

    validates_on = "last"
    # Or a white cell, which covers 80 cells of the grid, would count like 40 platelets.
    objects_count_alike = True

    def metrics(self, outputs: Arrays, rows: TensorRows) -> dict[str, float]:
        marked, found = self._boxes(outputs, rows)
        metrics = super().metrics(outputs, rows)
        for label in LABELS:
            threshold, error = best_threshold(marked, found, label)
            metrics |= {f"{name_of(label)}_from": threshold, f"{name_of(label)}_error": error}
        return metrics


def best_threshold(marked: Boxes, found: Boxes, label: str) -> tuple[float, float]:
    """Return the score from which counting comes nearest, and the mean error of that count."""
    counts = np.array([[each.label == label for each in boxes].count(True) for boxes in marked])
    errors = {}
    for percent in range(round(100 * LOWEST), 100):
        above = [
            sum(each.label == label and each.score >= percent / 100 for each in boxes)
            for boxes in found
        ]
        errors[percent / 100] = float(np.abs(above - counts).mean())
    best = min(errors, key=lambda each: errors[each])
    return best, errors[best]


def baseline(rows: LabelledRows[Smear, Detections], seed: int) -> Candidate:
    """Return the color thresholds as a candidate, validated on `rows`."""
    pair = (
        [each.boxes for each in rows.labels],
        [find_cells(decode_image(each.image)) for each in rows.records],
    )
    metrics = box_metrics(*pair, LABELS)
    return Candidate("baseline", {**metrics, "map50_se": map50_error(*pair, LABELS, seed=seed)})


def fit(
    *, train: LabelledRows[Smear, Detections], weights: Path, seed: int, held_out: int, epochs: int
) -> Fitted:
    """Choose a network on the last `held_out` pictures; then train it on all of them."""
    thresholds: dict[str, float] = {}  # those of the chosen network, once it is known
    study = CellStudy(
        LABELS,
        network,
        partial(decode, thresholds=thresholds),
        stride=STRIDE,
        weights=weights,
        seed=seed,
        augment=augment,
        plan=plan,
    )
    study.compare(train, RECIPES, held_out=held_out, epochs=epochs)
    validation = LabelledRows(train.records[-held_out:], train.labels[-held_out:])
    fitted = study.refit_best(train, references=[baseline(validation, seed)])
    chosen = next(each for each in fitted.candidates if each.name == fitted.chosen)
    thresholds |= {label: chosen.metrics[f"{name_of(label)}_from"] for label in LABELS}
    (weights / THRESHOLDS).write_text(json.dumps(thresholds) + "\n")
    return fitted
