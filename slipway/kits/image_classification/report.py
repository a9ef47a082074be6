"""Draw classified pictures for reports."""

from collections.abc import Callable, Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from slipway.kits.class_report import confusion, learning_curves
from slipway.kits.images import image_batch, pixel_batch
from slipway.reporting import Evaluation


def draw_classes(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    """Yield the learning curves, the confusion matrix and the surest mistakes."""
    yield "learning_curves", learning_curves(evaluation, "accuracy")
    yield "confusion", confusion(evaluation)
    yield "mistakes", mistakes(evaluation)


def mistakes(evaluation: Evaluation, rows: int = 3, columns: int = 7) -> Figure:
    """Draw the wrong predictions with the highest probabilities among the test rows."""
    wrong = [
        (prediction, label, record)
        for prediction, (record, label) in zip(evaluation.predictions, evaluation.test, strict=True)
        if prediction.label != label
    ]
    surest = sorted(wrong, key=lambda each: -each[0].probability)[: rows * columns]
    figure, grid = _grid(rows, columns, 1.3, 1.65)
    for axes, (prediction, label, record) in zip(grid.flat, surest, strict=False):
        show(axes, pixel_batch([record])[0])
        title = f"{prediction.label} {prediction.probability:.3f}\nis {label}"
        axes.set_title(title, size=7.5, weight="normal", loc="center")
    figure.suptitle("Wrong and surest of it (test rows): answer, probability, truth")
    return figure


def variants(
    records: list[Any], augment: Callable[[torch.Tensor], torch.Tensor], title: str, count: int = 7
) -> Figure:
    """Draw each picture unchanged in the first column, then changed as in training."""
    images = torch.from_numpy(image_batch(records)["images"])
    torch.manual_seed(0)
    columns = [images, *(augment(images) for _ in range(count))]
    figure, grid = _grid(len(records), count + 1, 1.0, 1.0)
    for column, batch in enumerate(columns):
        for row, image in enumerate(batch):
            show(grid[row, column], image.numpy())
    grid[0, 0].set_title("as it is", loc="center", size=8, weight="normal")
    figure.suptitle(title)
    return figure


def show(axes: Any, image: np.ndarray) -> None:
    """Show a picture (channels, height, width) of bytes, or of brightness from 0 to 1."""
    highest = 255 if image.dtype == np.uint8 else 1
    if len(image) == 1:
        axes.imshow(image[0], cmap="gray", vmin=0, vmax=highest)
    else:
        axes.imshow(image.transpose(1, 2, 0))


def _grid(rows: int, columns: int, width: float, height: float) -> tuple[Figure, np.ndarray]:
    """Return a figure with a grid of empty axes."""
    size = (width * columns, height * rows + 0.4)
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    return figure, grid
