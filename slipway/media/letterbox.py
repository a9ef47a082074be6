"""Resizing of a picture into a frame without changing its proportions."""

import numpy as np
import PIL.Image

# The grey with which detectors are usually trained.
PADDING = 114


def letterbox(
    image: np.ndarray, size: int | tuple[int, int]
) -> tuple[np.ndarray, float, tuple[int, int]]:
    """Return the picture in the middle of a grey frame, its scale, and its (left, top) there.

    `image` is uint8 (height, width) or (height, width, 3); `size` is a side or (height, width).
    A point (x, y) of the frame is at ((x - left) / scale, (y - top) / scale) in the picture.
    """
    height, width = (size, size) if isinstance(size, int) else size
    scale = min(height / image.shape[0], width / image.shape[1])
    inner = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    frame = np.full((height, width, *image.shape[2:]), PADDING, dtype=np.uint8)
    resized = PIL.Image.fromarray(image).resize(inner, PIL.Image.Resampling.BILINEAR)
    frame[top : top + inner[1], left : left + inner[0]] = np.asarray(resized)
    return frame, scale, (left, top)
