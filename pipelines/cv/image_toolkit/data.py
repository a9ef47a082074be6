"""Parts of real pictures with random operations, and OpenCV's result of each.

No picture is in two splits.
"""

from collections.abc import Callable, Iterator

import numpy as np

from slipway.datasets import Dataset, fetch
from slipway.media import decode_image, encode_png

from .formats import encode
from .metrics import largest_difference
from .model import Edit, Expected
from .operations import MAX_SIDE, Operation, apply
from .reference import opencv_apply

PICTURES = {
    "train": {
        "opencv": (
            *("aloeL.jpg", "baboon.jpg", "board.jpg", "building.jpg", "home.jpg"),
            *("leuvenA.jpg", "smarties.png", "sudoku.png"),
        ),
        "skimage": (
            *("brick.png", "camera.png", "coffee.png", "grass.png", "ihc.png"),
            *("retina.jpg", "text.png"),
        ),
    },
    "test": {
        "opencv": (
            *("butterfly.jpg", "fruits.jpg", "graf1.png", "rubberwhale1.png"),
            *("squirrel_cls.jpg", "starry_night.jpg", "stuff.jpg"),
        ),
        "skimage": (
            *("astronaut.png", "chelsea.png", "coins.png", "gravel.png"),
            *("hubble_deep_field.jpg", "rocket.jpg"),
        ),
    },
}
# Sides of the parts: also odd ones, since OpenCV computes the rest of a row in another way.
SIDES = (60, 160)

Draw = Callable[[np.random.Generator, int, int], list[Operation]]


def one(name: str, **settings: object) -> list[Operation]:
    """Return one operation as a list."""
    return [Operation.model_validate({name: settings})]


def new_size(generator: np.random.Generator, height: int, width: int) -> dict[str, int]:
    """Return a size between a fifth and the double; a third of them by a whole factor."""
    if generator.random() < 1 / 3:
        factor = int(generator.integers(2, 5))
        return {"width": max(1, width // factor), "height": max(1, height // factor)}
    down, across = np.exp(generator.uniform(np.log(0.2), np.log(2), 2))
    size = {"width": width * across, "height": height * down}
    return {name: min(max(1, round(each)), MAX_SIDE) for name, each in size.items()}


def resize(method: str) -> Draw:
    return lambda generator, height, width: one(
        "resize", method=method, **new_size(generator, height, width)
    )


def rotate(method: str) -> Draw:
    return lambda generator, height, width: one(
        "rotate", degrees=round(generator.uniform(-180, 180), 2), method=method
    )


def affine(generator: np.random.Generator, height: int, width: int) -> list[Operation]:
    """Return a map near to the identity."""
    matrix = np.array([1, 0, 0, 0, 1, 0]) + generator.uniform(-0.3, 0.3, 6)
    matrix[[2, 5]] *= height
    return one("affine", matrix=np.round(matrix, 4).tolist())


def crop(generator: np.random.Generator, height: int, width: int) -> list[Operation]:
    """Return a rectangle in the picture."""
    left, top = int(generator.integers(0, width // 2)), int(generator.integers(0, height // 2))
    return one("crop", left=left, top=top, width=width // 2, height=height // 2)


def chain(generator: np.random.Generator, height: int, width: int) -> list[Operation]:
    """Return four operations, as in real use: digits that differ would add up."""
    steps = [
        *DRAWS["rotate_bilinear"](generator, height, width),
        *DRAWS["resize_bilinear"](generator, height, width),
        *DRAWS["gaussian"](generator, height, width),
    ]
    return [*steps, *DRAWS["edges" if generator.random() < 0.5 else "sharpen"](generator, 0, 0)]


# Kinds of rows; as many rows of each.
DRAWS: dict[str, Draw] = {
    "resize_nearest": resize("nearest"),
    "resize_bilinear": resize("bilinear"),
    "resize_area": resize("area"),
    "rotate_nearest": rotate("nearest"),
    "rotate_bilinear": rotate("bilinear"),
    "affine": affine,
    "crop": crop,
    "flip": lambda g, h, w: one("flip", direction=str(g.choice(["horizontal", "vertical"]))),
    "rgb_to_bgr": lambda g, h, w: one("convert", to="bgr"),
    "rgb_to_gray": lambda g, h, w: one("convert", to="gray"),
    "rgb_to_hsv": lambda g, h, w: one("convert", to="hsv"),
    "rgb_to_lab": lambda g, h, w: one("convert", to="lab"),
    "hsv_to_rgb": lambda g, h, w: one("convert", to="hsv") + one("convert", to="rgb"),
    "box": lambda g, h, w: one("box", radius=int(g.integers(1, 16))),
    "gaussian": lambda g, h, w: one("gaussian", sigma=round(g.uniform(0.3, 5), 2)),
    "median": lambda g, h, w: one("median", radius=int(g.integers(1, 3))),
    "sharpen": lambda g, h, w: one("sharpen", amount=round(g.uniform(0.2, 3), 2)),
    "edges": lambda g, h, w: one("edges", threshold=int(g.integers(0, 2)) * 100),
    "chain": chain,
}


def splits(
    dataset: Dataset, *, seed: int, train: int, test: int
) -> dict[str, Iterator[tuple[Edit, Expected]]]:
    """Return `train` and `test` edits, each with OpenCV's result."""
    return {
        "train": edits(dataset, "train", train, seed),
        "test": edits(dataset, "test", test, seed + 1),
    }


def edits(dataset: Dataset, part: str, count: int, seed: int) -> Iterator[tuple[Edit, Expected]]:
    """Yield edits of parts of one split's pictures, all kinds of operations in turn."""
    generator = np.random.default_rng(seed)
    pictures = read_pictures(dataset, part)
    for number in range(count):
        kind = list(DRAWS)[number % len(DRAWS)]
        picture = pictures[int(generator.integers(len(pictures)))]
        height, width = (int(generator.integers(*SIDES)) for _ in range(2))
        top, left = (
            int(generator.integers(0, length - side + 1))
            for length, side in zip(picture.shape, (height, width), strict=False)
        )
        pixels = picture[top : top + height, left : left + width]
        operations = DRAWS[kind](generator, height, width)
        # Read in all formats; those that lose digits do so before the operations.
        stored = encode(pixels, str(generator.choice(["png", "jpeg", "bmp", "webp"])), 92)
        edit = Edit(image=stored, operations=operations)
        read = decode_image(stored)
        expected = opencv_apply(read, operations)
        textbook = apply(read, operations, fixed=False)
        largest = largest_difference(textbook, expected)
        yield edit, Expected(image=encode_png(expected), kind=kind, textbook_largest=largest)


def read_pictures(dataset: Dataset, part: str) -> list[np.ndarray]:
    """Return the pictures (height, width, 3) of one split."""
    sources = {"opencv": dataset, "skimage": fetch("skimage_samples")}
    return [
        decode_image(sources[source].path(name).read_bytes())
        for source, names in PICTURES[part].items()
        for name in names
    ]
