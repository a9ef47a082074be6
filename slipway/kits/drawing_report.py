"""Example drawings of digits, and their picture for reports."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from slipway.kits.classes import ClassRecord
from slipway.kits.digit_strokes import draw_digit
from slipway.kits.drawings import digit_pixels
from slipway.media import decode_image
from slipway.reporting import plots

# As on a model's page, small and off-center, thin, dark on light, thick, and faint.
STYLES: tuple[dict[str, Any], ...] = (
    {},
    {"height": 90, "place": (170, 20), "stroke": 9},
    {"stroke": 6, "ink": 30, "paper": 235},
    {"height": 110, "place": (20, 150), "stroke": 16, "ink": 0, "paper": 200},
    {"height": 240, "place": (20, 20), "stroke": 34},
    {"height": 60, "place": (30, 30), "stroke": 7, "ink": 200, "paper": 60},
)


def example_drawings(digits: str) -> list[np.ndarray]:
    """Return a drawing of each of six digits, every one in another style."""
    return [draw_digit(each, **style) for each, style in zip(digits, STYLES, strict=True)]


def draw_examples(records: Sequence[Any], predictions: Sequence[ClassRecord]) -> Figure:
    """Draw records as they are sent, as networks get them, and the probabilities."""
    pixels = digit_pixels(list(records))
    figure, axes = plt.subplots(3, len(records), figsize=(7.6, 3.9))
    for column, (record, prediction) in enumerate(zip(records, predictions, strict=True)):
        sent, seen, bars = axes[:, column]
        sent.imshow(decode_image(record.image, "L"), cmap="gray", vmin=0, vmax=255)
        sent.set_title(f"read as {prediction.label}", loc="center")
        seen.imshow(pixels[column, 0], cmap="gray", vmin=0, vmax=255)
        names, values = list(prediction.probabilities), list(prediction.probabilities.values())
        bars.bar(names, values, color=plots.ACCENT)
        bars.set(ylim=(0, 1), yticks=[0, 1] if column == 0 else [])
        bars.tick_params(axis="x", labelsize=6)
        for each in (sent, seen):
            each.set(xticks=[], yticks=[])
    for row, text in enumerate(("as sent", "as centered", "probability\nby digit")):
        axes[row, 0].set_ylabel(text)
    return figure
