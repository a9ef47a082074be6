"""Score found corners, and show photographs beside their scans."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.media import decode_image
from slipway.reporting import Evaluation, plots

from .metrics import CLOSE, corner_array, corner_error, corner_metrics
from .model import Photo, Scan, Sheet


def score(*, predictions: list[Scan], labels: list[Sheet]) -> dict[str, float]:
    found = [corner_array(each.corners) for each in predictions]
    true = [corner_array(each.corners) for each in labels]
    return corner_metrics(found, [each.found for each in predictions], true)


def draw_photo(axes: Axes, photo: Photo, prediction: Scan) -> None:
    """Draw a photograph with the found corners."""
    axes.imshow(decode_image(photo.image))
    outline = corner_array(prediction.corners)
    closed = np.vstack([outline, outline[:1]])
    axes.plot(*closed.T, color="tab:orange" if prediction.found else "tab:red", linewidth=2)
    axes.set_title(f"confidence {prediction.confidence:.2f}", fontsize=9)
    axes.set_axis_off()


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    records, predictions = evaluation.test.records, evaluation.predictions
    shown = 4
    figure, axes = plots.panels(2 * shown)
    for column in range(shown):
        draw_photo(axes[2 * column], records[column], predictions[column])
        axes[2 * column + 1].imshow(decode_image(predictions[column].page))
        axes[2 * column + 1].set_axis_off()
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
