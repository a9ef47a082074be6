"""Score found corners, and show photographs beside their scans."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.media import decode_image
from slipway.reporting import Evaluation, plots
from slipway.training.selection import bootstrap_interval

from .corners import whole_picture
from .metrics import (
    CLOSE,
    close_share,
    corner_array,
    corner_error,
    corner_metrics,
    sheet_errors,
)
from .model import Photo, Scan, Sheet
from .photos import PHOTO_SIZE

SEED = 5
SHOWN = 3
# Shown smaller by this factor, which averages the noise: the picture stays under 200 kB.
SHRUNK = 3
# A photograph on a background of no split, as anyone would send it.
EXAMPLES = [Photo(image=Path(__file__).with_name("photo.jpg").read_bytes(), paper="a4")]


def shrink(image: np.ndarray) -> np.ndarray:
    """Return a picture (height, width, 3) at a third of its size."""
    return cv2.resize(image, None, fx=1 / SHRUNK, fy=1 / SHRUNK, interpolation=cv2.INTER_AREA)


def score(*, predictions: list[Scan], labels: list[Sheet]) -> dict[str, float]:
    """Return the measures of the corners, with an interval, and the baseline's share."""
    found = [corner_array(each.corners) for each in predictions]
    said = [each.found for each in predictions]
    true = [corner_array(each.corners) for each in labels]
    metrics = corner_metrics(found, said, true)
    errors = sheet_errors(found, said, true)
    # The unit is a photograph with a sheet: each has a sheet, a camera and a light of its own.
    low, high = bootstrap_interval(lambda rows: close_share(errors[rows]), len(errors), seed=SEED)
    # The baseline takes the whole photograph as the sheet.
    whole = whole_picture(np.empty(PHOTO_SIZE[::-1])).corners
    baseline = sheet_errors([whole] * len(true), [True] * len(true), true)
    return {
        "close_share": metrics.pop("close_share"),
        "close_share_low": low,
        "close_share_high": high,
        "baseline_close_share": close_share(baseline),
        **metrics,
    }


def draw_photo(axes: Axes, photo: Photo, prediction: Scan) -> None:
    """Draw a photograph with the found corners."""
    axes.imshow(shrink(decode_image(photo.image)))
    outline = corner_array(prediction.corners) / SHRUNK
    closed = np.vstack([outline, outline[:1]])
    axes.plot(*closed.T, color="tab:orange" if prediction.found else "tab:red", linewidth=2)
    axes.set_title(f"confidence {prediction.confidence:.2f}", fontsize=9)
    axes.set_axis_off()


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    records, predictions = evaluation.test.records, evaluation.predictions
    # Above the photographs, below their pages.
    figure, axes = plt.subplots(2, SHOWN, figsize=(5.2, 3.5))
    for column in range(SHOWN):
        draw_photo(axes[0, column], records[column], predictions[column])
        axes[1, column].imshow(shrink(decode_image(predictions[column].page)))
        axes[1, column].set_axis_off()
    yield "scans", figure
    errors = [
        corner_error(corner_array(each.corners), corner_array(label.corners))
        for each, label in zip(predictions, evaluation.test.labels, strict=True)
        if label.corners and each.found
    ]
    figure, (axes_errors,) = plots.panels(1)
    axes_errors.hist(np.minimum(errors, 20), bins=40, range=(0, 20))
    axes_errors.axvline(CLOSE * 800, color="grey", linestyle="--")
    axes_errors.set_xlabel("mean corner error in pixels (20 and more at the right end)")
    axes_errors.set_ylabel("test photographs")
    yield "errors", figure
