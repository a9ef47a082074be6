"""Test metrics of served masks, and pictures with them."""

from collections.abc import Iterator, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from slipway.kits.class_report import learning_curves
from slipway.kits.metrics.masks import confusion_counts, mask_metrics
from slipway.kits.segmentation.record import Segmentation
from slipway.media import decode_image
from slipway.reporting import Evaluation


def mask_scores(
    predictions: Sequence[Segmentation], ground_truth: Sequence[Segmentation], labels: Sequence[str]
) -> dict[str, float]:
    """Return `miou` and `pixel_accuracy` of the served masks, in the pictures' own size."""
    counts = [
        confusion_counts(
            truth.classes(labels, _size(truth, found)),
            found.classes(labels, _size(truth, found)),
            len(labels) + 1,
        )
        for truth, found in zip(ground_truth, predictions, strict=True)
    ]
    return mask_metrics(np.sum(counts, axis=0))


def draw_masks(
    evaluation: Evaluation, labels: Sequence[str], count: int = 4
) -> Iterator[tuple[str, Figure]]:
    """Yield the learning curves, and test pictures beside their true and predicted classes."""
    yield "learning_curves", learning_curves(evaluation, "miou")
    shown = list(zip(evaluation.test, evaluation.predictions, strict=True))[:count]
    figure, grid = plt.subplots(3, len(shown), figsize=(2 * len(shown), 6.3), squeeze=False)
    for column, ((record, truth), found) in enumerate(shown):
        picture = decode_image(record.image)
        for row, each in enumerate((None, truth, found)):
            axes = grid[row, column]
            axes.axis("off")
            if each is None:
                axes.imshow(picture)
            else:
                classes = each.classes(labels, picture.shape[:2])
                axes.imshow(classes, cmap="tab10", vmin=0, vmax=9, interpolation="nearest")
    figure.suptitle("Test pictures: as sent, marked by people, predicted")
    yield "pictures", figure


def _size(*segmentations: Segmentation) -> tuple[int, int]:
    """Return the size of the first mask; pictures without any mask have one pixel."""
    masks = [mask for each in segmentations for mask in each.masks]
    return (masks[0].height, masks[0].width) if masks else (1, 1)
