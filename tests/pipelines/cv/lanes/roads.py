"""Drawn roads with lane lines at known places."""

import cv2
import numpy as np

WIDTH, HEIGHT = 640, 360
# x at the horizon and at the bottom of the picture.
ENDS = {"left": (310.0, 90.0), "right": (330.0, 560.0)}
HORIZON = 0.58 * HEIGHT
YELLOW, WHITE = (220, 180, 60), (235, 235, 235)


def x_at(side: str, y: np.ndarray | float, aside: float = 0.0) -> np.ndarray:
    """Return x of the middle of a line."""
    far, near = ENDS[side]
    share = (np.asarray(y) - HORIZON) / (HEIGHT - 1 - HORIZON)
    return np.asarray(far + share * (near + aside - far))


def road(
    *, dashed: bool = False, aside: float = 0.0, light: float = 1.0, noise: float = 3.0
) -> np.ndarray:
    """Return a picture of a gray road with a yellow left line and a white right one."""
    picture = np.full((HEIGHT, WIDTH, 3), 95.0)
    picture[: round(HORIZON)] = (140, 180, 230)
    columns = np.arange(WIDTH)
    for y in range(round(HORIZON), HEIGHT):
        half = 0.5 + 0.045 * (y - HORIZON)
        for side, color in (("left", YELLOW), ("right", WHITE)):
            # In perspective, dashes become longer towards the bottom.
            gap = dashed and side == "right" and int(2.5 * np.log(y - HORIZON + 1) * 2) % 2
            if not gap:
                picture[y, np.abs(columns - x_at(side, y, aside)) <= half] = color
    picture += np.random.default_rng(0).normal(0, noise, picture.shape)
    smooth = np.asarray(cv2.GaussianBlur(picture, (3, 3), 0))
    return np.asarray(np.clip(smooth * light, 0, 255), dtype=np.uint8)


def chessboard() -> np.ndarray:
    """Return a chessboard that fills the picture."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] // 24
    return np.repeat((((rows + columns) % 2) * 200 + 20)[..., None], 3, axis=2).astype(np.uint8)
