"""The pictures of each split, and the ways in which they are degraded or changed."""

from collections.abc import Callable

import numpy as np
import PIL.Image

from slipway.datasets import fetch
from slipway.media import decode_image

# No picture is in two splits. The further ones are only looked for: drawings have no light to lose.
PICTURES = {
    "train": {
        "opencv_samples": (
            *("aloeL.jpg", "baboon.jpg", "board.jpg", "building.jpg", "home.jpg"),
            *("leuvenA.jpg", "smarties.png", "sudoku.png"),
        ),
        "skimage_samples": (
            *("brick.png", "camera.png", "coffee.png", "grass.png", "ihc.png"),
            *("retina.jpg", "text.png"),
        ),
    },
    "test": {
        "opencv_samples": (
            *("butterfly.jpg", "fruits.jpg", "graf1.png", "rubberwhale1.png"),
            *("squirrel_cls.jpg", "starry_night.jpg", "stuff.jpg"),
        ),
        "skimage_samples": (
            *("astronaut.png", "chelsea.png", "coins.png", "gravel.png"),
            *("hubble_deep_field.jpg", "rocket.jpg"),
        ),
    },
}
FURTHER = {
    "train": (
        *("LinuxLogo.jpg", "Blender_Suzanne1.jpg", "apple.jpg", "blox.jpg", "cards.png"),
        *("detect_blob.png", "ellipses.jpg", "licenseplate_motion.jpg", "opencv-logo.png"),
        *("pca_test1.jpg", "pic3.png", "pic6.png", "text_motion.jpg"),
    ),
    "test": (
        *("HappyFish.jpg", "WindowsLogo.jpg", "aero1.jpg", "basketball1.png", "box.png"),
        *("chicky_512.png", "ela_original.jpg", "left.jpg", "ml.png", "orange.jpg"),
        *("pic1.png", "pic5.png", "text_defocus.jpg"),
    ),
}
# The longer side of the pictures of rows, and of those that are looked for.
SIDE = 192


def read_pictures(part: str, *, further: bool) -> dict[str, np.ndarray]:
    """Return the pictures (height, width, 3) of one split by name, at most `SIDE` pixels a side."""
    sources = {
        "opencv_samples": fetch("opencv_samples"),
        "skimage_samples": fetch("skimage_samples"),
    }
    files = {
        name: sources[source].path(name)
        for source, names in PICTURES[part].items()
        for name in names
    }
    if further:
        more = fetch("opencv_further_samples")
        files |= {name: more.path(name) for name in FURTHER[part]}
    return {name: reduced(decode_image(file.read_bytes())) for name, file in files.items()}


def reduced(image: np.ndarray) -> np.ndarray:
    """Return the picture with at most `SIDE` pixels a side."""
    scale = SIDE / max(image.shape[:2])
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    return np.asarray(PIL.Image.fromarray(image).resize(size, PIL.Image.Resampling.BOX))


def darken(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return the picture as if it was exposed too shortly."""
    light = (image / 255) ** generator.uniform(1.5, 2.5)
    return np.asarray(255 * light * generator.uniform(0.6, 1))


def flatten(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return the picture as through mist: little contrast around a gray."""
    return image * generator.uniform(0.3, 0.6) + generator.uniform(20, 100)


def shade(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return the picture with light that fades from one side to the other."""
    height, width = image.shape[:2]
    turn = generator.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    across = (x * np.cos(turn) + y * np.sin(turn)) / 2**0.5
    return np.asarray(image * (0.6 + 0.4 * across)[..., None])


Degrade = Callable[[np.ndarray, np.random.Generator], np.ndarray]
DEGRADATIONS: dict[str, Degrade] = {"dark": darken, "flat": flatten, "shaded": shade}


def degrade(image: np.ndarray, kind: str, generator: np.random.Generator) -> np.ndarray:
    """Return a degraded picture with the noise of a sensor."""
    changed = DEGRADATIONS[kind](image, generator) + generator.normal(0, 2, image.shape)
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


def relight(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return the picture under light of another strength and, a little, another color."""
    light = generator.uniform(0.6, 1.3) * generator.uniform(0.93, 1.07, 3)
    return np.clip(np.rint(image * light), 0, 255).astype(np.uint8)


def crop(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return a part with two thirds of each side."""
    high, wide = (length * 2 // 3 for length in image.shape[:2])
    top, left = (
        int(generator.integers(0, length - kept + 1))
        for length, kept in zip(image.shape[:2], (high, wide), strict=True)
    )
    return image[top : top + high, left : left + wide]


CHANGES: dict[str, Degrade] = {
    "light": relight,
    "crop": crop,
    "light_and_crop": lambda image, generator: relight(crop(image, generator), generator),
}
