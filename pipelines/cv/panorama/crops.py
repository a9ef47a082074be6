"""Make overlapping photos of a picture under known homographies and exposures."""

from dataclasses import dataclass

import cv2
import numpy as np

from slipway.media import encode_jpeg

# Photos, in (width, height), and the width to which scenes are brought.
PHOTO, SCENE = (300, 240), 900
# Turned photos reach so far beyond straight ones.
MARGIN = 40
# The overlap of neighboring photos, from easy to hard.
OVERLAPS = (0.65, 0.5, 0.4, 0.3, 0.22, 0.15)


@dataclass(frozen=True)
class Crop:
    """A photo as JPEG, and the homography (3, 3) from the scene to it."""

    jpeg: bytes
    matrix: np.ndarray


def resized(picture: np.ndarray) -> np.ndarray:
    """Return a picture (height, width, 3) at the width of scenes."""
    height = round(picture.shape[0] * SCENE / picture.shape[1])
    smaller = picture.shape[1] > SCENE
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (SCENE, height), interpolation=how))


def make_crops(
    scene: np.ndarray, generator: np.random.Generator, count: int, overlap: float
) -> list[Crop]:
    """Return photos from left to right, each with its own tilt, exposure and noise.

    The camera turns a little between two photos, so that straight lines stay straight, but angles
    do not. There are at most as many photos as the scene has room for.
    """
    high, wide = scene.shape[:2]
    step = (1 - overlap) * PHOTO[0]
    count = min(count, 1 + int((wide - PHOTO[0] - 2 * MARGIN) / step))
    room = wide - PHOTO[0] - 2 * MARGIN - (count - 1) * step
    left = MARGIN + generator.uniform(0, room)
    middle = generator.uniform(0.42, 0.58) * high
    found = []
    for number in range(count):
        center = np.array(
            [left + number * step + PHOTO[0] / 2, middle + generator.uniform(-10, 10)]
        )
        matrix = camera(generator, center)
        values = cv2.warpPerspective(scene, matrix, PHOTO, flags=cv2.INTER_LINEAR)
        gain = np.exp(generator.uniform(-0.35, 0.35))
        noisy = values * gain + generator.normal(0, 2, values.shape)
        photo = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
        found.append(Crop(encode_jpeg(photo, quality=92), matrix))
    return found


def camera(generator: np.random.Generator, center: np.ndarray) -> np.ndarray:
    """Return a homography (3, 3) from the scene to a photo that looks at `center`."""
    turn, scale = np.radians(generator.uniform(-8, 8)), np.exp(generator.uniform(-0.08, 0.08))
    cosine, sine = scale * np.cos(turn), scale * np.sin(turn)
    tilt = generator.uniform(-4e-4, 4e-4, 2)
    to_center = np.array([[1, 0, -center[0]], [0, 1, -center[1]], [0, 0, 1]])
    bend = np.array([[cosine, -sine, 0], [sine, cosine, 0], [*tilt, 1]])
    back = np.array([[1, 0, (PHOTO[0] - 1) / 2], [0, 1, (PHOTO[1] - 1) / 2], [0, 0, 1]])
    matrix = back @ bend @ to_center
    return np.asarray(matrix / matrix[2, 2])
