"""Test metrics of made pictures, and what reports show of them."""

from collections.abc import Iterator, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from slipway.kits.class_report import learning_curves
from slipway.kits.generative.record import MadePicture
from slipway.kits.metrics.pictures import psnr, ssim
from slipway.media import decode_image
from slipway.reporting import Evaluation


def picture_scores(
    predictions: Sequence[MadePicture], ground_truth: Sequence[MadePicture]
) -> dict[str, float]:
    """Return `psnr` and `ssim` of the served pictures, the means over pictures."""
    pairs = [
        (decode_image(wanted.picture), decode_image(made.picture))
        for wanted, made in zip(ground_truth, predictions, strict=True)
    ]
    return {
        "psnr": float(np.mean([psnr(*pair) for pair in pairs])),
        "ssim": float(np.mean([ssim(*pair) for pair in pairs])),
    }


def draw_pictures(evaluation: Evaluation, count: int = 3) -> Iterator[tuple[str, Figure]]:
    """Yield the learning curves, and test pictures as sent, made and wanted."""
    yield "learning_curves", learning_curves(evaluation, "psnr")
    shown = list(zip(evaluation.test, evaluation.predictions, strict=True))[:count]
    figure, grid = plt.subplots(3, len(shown), figsize=(1.1 * len(shown), 3.6), squeeze=False)
    for column, ((record, wanted), made) in enumerate(shown):
        for row, content in enumerate((record.image, made.picture, wanted.picture)):
            grid[row, column].imshow(decode_image(content), interpolation="nearest")
            grid[row, column].axis("off")
    figure.suptitle("As sent, made, wanted", size=9)
    yield "pictures", figure
