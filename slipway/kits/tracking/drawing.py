"""Draw tracks over pictures, and measured speeds."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from slipway.media import Track
from slipway.reporting import plots

# Different enough for neighbors.
PALETTE = ("#ff7f0e", "#17becf", "#e377c2", "#bcbd22", "#d62728", "#9edae5", "#98df8a", "#c5b0d5")


def draw_tracks(
    axes: Axes, picture: np.ndarray, tracks: list[Track], colors: Mapping[int, str] | None = None
) -> None:
    """Draw a picture with the box, the number and the trail of each track, outlined in white."""
    axes.imshow(picture)
    axes.set_xlim(0, picture.shape[1])
    axes.set_ylim(picture.shape[0], 0)
    axes.axis("off")
    for each in tracks:
        color, box = (colors or {}).get(each.id, PALETTE[each.id % len(PALETTE)]), each.box
        size = box.x2 - box.x1, box.y2 - box.y1
        outline = [withStroke(linewidth=2.8, foreground="white")]
        style: dict[str, Any] = {"color": color, "path_effects": outline}
        axes.add_patch(Rectangle((box.x1, box.y1), *size, fill=False, linewidth=1.4, **style))
        axes.text(box.x1, max(box.y1 - 4, 8), f"{each.id}", fontsize=8, weight="bold", **style)
        if each.trail:
            way = [
                *((p.x, p.y) for p in each.trail),
                ((box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2),
            ]
            axes.plot(*zip(*way, strict=True), linewidth=1.4, **style)


def draw_speeds(measured: Mapping[str, Any]) -> Figure:
    """Draw the frames a second of each kind of request."""
    rates: dict[str, float] = measured["frames_a_second"]
    figure, axes = plt.subplots(figsize=(6.8, 0.9 + 0.36 * len(rates)))
    title = f"Frames a second on {measured['cores']} cores"
    plots.bars(axes, list(rates), list(rates.values()), title, horizontal=True, fmt="{:.0f}")
    axes.set_xlabel("frames a second, measured in the model's own process")
    return figure
