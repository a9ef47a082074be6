"""A study of networks that say the class of every pixel."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from slipway.contract import Record
from slipway.deep import Plan
from slipway.kits.metrics.masks import confusion_counts, mask_metrics
from slipway.kits.pixel_study import PixelStudy
from slipway.kits.segmentation.record import Segmentation, segment
from slipway.kits.study import Arrays, TensorRows, Tensors
from slipway.training import LabelledRows
from slipway.training.selection import bootstrap_error

Recipe = TypeVar("Recipe")


class SegmentationStudy(PixelStudy[Recipe]):
    """A study of networks from brightness to numbers (rows, labels + 1, height, width).

    The first number of a pixel is the background's. The label of a picture is its `output`.
    `augment((images, classes), recipe)` changes a batch at random.
    """

    primary = "miou"
    outputs = ("probabilities",)

    def __init__(
        self,
        output: type[Segmentation],
        labels: Sequence[str],
        network: Callable[[Recipe], nn.Module],
        *,
        weights: Path,
        seed: int,
        augment: Callable[[Any, Recipe], Any] | None = None,
        plan: Callable[[Recipe, int], Plan] | None = None,
    ) -> None:
        super().__init__(network, weights=weights, seed=seed, augment=augment, plan=plan)
        self.output, self.labels = output, tuple(labels)

    def targets(self, rows: LabelledRows[Any, Any]) -> Tensors:
        classes = [
            label.classes(self.labels, record.size)
            for record, label in zip(rows.records, rows.labels, strict=True)
        ]
        return {"classes": torch.from_numpy(np.stack(classes))}

    def augmented(self, inputs: Tensors, targets: Tensors, recipe: Recipe) -> tuple[Any, Any]:
        if not self.augment:
            return inputs, targets
        images, classes = self.augment((inputs["images"], targets["classes"]), recipe)
        return {"images": images}, {"classes": classes}

    def loss(self, outputs: Any, targets: Tensors) -> torch.Tensor:
        # Not the mean of `cross_entropy` itself, which is not deterministic for pixels on a GPU.
        logs = functional.log_softmax(outputs, dim=1)
        return -logs.gather(1, targets["classes"].long()[:, None]).mean()

    def exported(self, module: nn.Module) -> nn.Module:
        return nn.Sequential(module, nn.Softmax(dim=1))

    def metrics(self, outputs: Arrays, rows: TensorRows) -> dict[str, float]:
        counts = self._counts(outputs, rows)
        error = bootstrap_error(
            lambda picked: mask_metrics(counts[picked].sum(axis=0))["miou"],
            len(rows),
            seed=self.seed,
        )
        return {**mask_metrics(counts.sum(axis=0)), "miou_se": error}

    def curve(self, outputs: Arrays, rows: TensorRows) -> float:
        return mask_metrics(self._counts(outputs, rows).sum(axis=0))["miou"]

    def predictions(self, records: list[Any], outputs: Arrays) -> Sequence[Record]:
        return segment(records, outputs["probabilities"], self.output, self.labels)

    def _counts(self, outputs: Arrays, rows: TensorRows) -> np.ndarray:
        """Return the confusion counts (rows, classes, classes) of each picture."""
        best = outputs["probabilities"].argmax(axis=1)
        pairs = zip(rows.targets["classes"].numpy(), best, strict=True)
        return np.stack([confusion_counts(*pair, len(self.labels) + 1) for pair in pairs])
