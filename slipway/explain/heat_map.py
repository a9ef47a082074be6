"""The explanation of a picture as a picture: blue cells raise the number, orange ones lower it."""

import numpy as np
import PIL.Image

from slipway.explain.pictures import Grid, PictureExplanation

# Distinct also for people who see few colors (Okabe and Ito). The try page uses the same two.
RAISES, LOWERS = (0, 114, 178), (213, 94, 0)
# Pixels of the longer side: small pictures are enlarged, photographs shrunk.
LEAST_SIDE, LARGEST_SIDE = 448, 1024
# The largest effect still lets the picture through.
OPACITY = 0.75


def draw_heat_map(picture: np.ndarray, explanation: PictureExplanation) -> np.ndarray:
    """Return the picture (height, width, 3) in grey with its cells colored by their values.

    The color is the stronger, the larger the value is beside the largest one of the picture.
    """
    shown = resize_to_show(picture)
    grey = np.asarray(PIL.Image.fromarray(shown).convert("L").convert("RGB"), dtype=np.float64)
    cells = np.array(explanation.cells)
    largest = np.abs(cells).max() or 1.0
    grid = Grid.over(shown, cells.shape)
    strength = grid.spread(np.abs(cells) / largest)[..., None] * OPACITY
    color = np.where(grid.spread(cells)[..., None] >= 0, RAISES, LOWERS)
    return np.asarray((grey * (1 - strength) + color * strength).round(), dtype=np.uint8)


def resize_to_show(picture: np.ndarray) -> np.ndarray:
    """Return the picture with a longer side of about 450 to 1,024 pixels."""
    longer = max(picture.shape[:2])
    scale = 1.0
    if longer < LEAST_SIDE:
        scale = -(-LEAST_SIDE // longer)
    elif longer > LARGEST_SIDE:
        scale = LARGEST_SIDE / longer
    if scale == 1:
        return picture
    # Small pictures keep their square pixels.
    way = PIL.Image.Resampling.NEAREST if scale > 1 else PIL.Image.Resampling.BOX
    height, width = (max(1, round(n * scale)) for n in picture.shape[:2])
    return np.asarray(PIL.Image.fromarray(picture).resize((width, height), way))
