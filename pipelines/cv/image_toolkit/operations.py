"""The operations of the toolkit: what each does to a picture, and which pictures it refuses.

In JSON an operation is an object with one key, its name, and its settings under it:
`{"resize": {"width": 320, "height": 240}}`. Limits are in the types.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from slipway.contract import Record

from . import colors, filters, resampling

SPACES = "^(rgb|bgr|gray|hsv|lab)$"
METHODS = "^(nearest|bilinear|area)$"
WARPS = "^(nearest|bilinear)$"
MAX_SIDE = 4096
# Of each result. All operations are then done in seconds and in under 400 MB.
MAX_PIXELS = 4_194_304
# A matrix that shrinks areas below this share has no usable inverse.
LEAST_AREA = 1e-4


@dataclass(frozen=True)
class Canvas:
    """Size and color space of a picture, without its pixels."""

    height: int
    width: int
    space: str = "rgb"

    def resized(self, height: int, width: int) -> "Canvas":
        return Canvas(height, width, self.space)


class Step(Record):
    """One operation."""

    def after(self, canvas: Canvas) -> Canvas:
        """Return size and color space of the result.

        Raises:
            ValueError: the operation does not fit to the picture.
        """
        return canvas

    def apply(self, pixels: np.ndarray, space: str, *, fixed: bool) -> np.ndarray:
        """Return the pixels of the result, (height, width) or (height, width, 3) of uint8."""
        raise NotImplementedError


class Resize(Step):
    """Change the number of pixels."""

    width: int = Field(ge=1, le=MAX_SIDE)
    height: int = Field(ge=1, le=MAX_SIDE)
    method: str = Field(default="area", pattern=METHODS)

    def after(self, canvas: Canvas) -> Canvas:
        return canvas.resized(self.height, self.width)

    def apply(self, pixels: np.ndarray, space: str, *, fixed: bool) -> np.ndarray:
        return resampling.resize(pixels, self.height, self.width, self.method, fixed=fixed)


class Crop(Step):
    """Cut out a rectangle."""

    left: int = Field(default=0, ge=0, lt=MAX_SIDE)
    top: int = Field(default=0, ge=0, lt=MAX_SIDE)
    width: int = Field(ge=1, le=MAX_SIDE)
    height: int = Field(ge=1, le=MAX_SIDE)

    def after(self, canvas: Canvas) -> Canvas:
        if self.left + self.width > canvas.width or self.top + self.height > canvas.height:
            raise ValueError(
                f"the rectangle must lie in the picture of {canvas.width} x {canvas.height}"
            )
        return canvas.resized(self.height, self.width)

    def apply(self, pixels: np.ndarray, space: str, *, fixed: bool) -> np.ndarray:
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]


class Flip(Step):
    """Mirror the picture."""

    direction: str = Field(default="horizontal", pattern="^(horizontal|vertical)$")

    def apply(self, pixels: np.ndarray, space: str, *, fixed: bool) -> np.ndarray:
        return np.flip(pixels, axis=1 if self.direction == "horizontal" else 0)


class Rotate(Step):
    """Turn the picture around its middle."""

    degrees: float = Field(ge=-360, le=360, description="Counterclockwise")
    method: str = Field(default="bilinear", pattern=WARPS)
    expand: bool = Field(default=True, description="Enlarge the picture so that nothing is lost")

    def after(self, canvas: Canvas) -> Canvas:
        if not self.expand:
            return canvas
        turn = np.radians(self.degrees)
        cosine, sine = abs(np.cos(turn)), abs(np.sin(turn))
        # Rounded first: the sine of 180 degrees is 1e-16, and must not add a pixel.
        sizes = (
            canvas.height * cosine + canvas.width * sine,
            canvas.height * sine + canvas.width * cosine,
        )
        height, width = (int(np.ceil(np.round(size, 6))) for size in sizes)
        return canvas.resized(height, width)

    def matrix(self, canvas: Canvas) -> np.ndarray:
        """Return the map (2, 3) from old places to new ones."""
        matrix = resampling.rotation(canvas.height, canvas.width, self.degrees)
        new = self.after(canvas)
        matrix[:, 2] += (new.width - canvas.width) / 2, (new.height - canvas.height) / 2
        return matrix

    def apply(self, pixels: np.ndarray, space: str, *, fixed: bool) -> np.ndarray:
        canvas = Canvas(pixels.shape[0], pixels.shape[1], space)
        new = self.after(canvas)
        matrix = self.matrix(canvas)
        return resampling.warp(pixels, matrix, new.height, new.width, self.method, fixed=fixed)


class Affine(Step):
    """Map every place (x, y) to (a x + b y + c, d x + e y + f)."""

    matrix: list[float] = Field(min_length=6, max_length=6, description="a, b, c, d, e, f")
    method: str = Field(default="bilinear", pattern=WARPS)

    @model_validator(mode="after")
    def _invertible(self) -> Self:
        a, b, _, d, e, _ = self.matrix
        if max(map(abs, self.matrix)) > 10 * MAX_SIDE:
            raise ValueError(f"the numbers of the matrix must be at most {10 * MAX_SIDE}")
        if abs(a * e - b * d) < LEAST_AREA:
            raise ValueError(f"a e - b d must be at least {LEAST_AREA}, or nothing is left")
        return self

    def apply(self, pixels: np.ndarray, space: str, *, fixed: bool) -> np.ndarray:
        height, width = pixels.shape[:2]
        matrix = np.reshape(self.matrix, (2, 3))
        return resampling.warp(pixels, matrix, height, width, self.method, fixed=fixed)


class Convert(Step):
    """Change the color space. The result's channels are shown as red, green and blue."""

    to: str = Field(pattern=SPACES)

    def after(self, canvas: Canvas) -> Canvas:
        back = self.to == "rgb" and canvas.space in ("bgr", "gray", "hsv")
        if canvas.space not in ("rgb", self.to) and not back:
            raise ValueError(f"a picture in {canvas.space} cannot be converted to {self.to}")
        return Canvas(canvas.height, canvas.width, self.to)

    def apply(self, pixels: np.ndarray, space: str, *, fixed: bool) -> np.ndarray:
        if space == self.to:
            return pixels
        if "bgr" in (space, self.to):
            return pixels[..., ::-1]
        if space == "gray":
            return np.stack([pixels] * 3, axis=2)
        if space == "hsv":
            return filters.by_bands(pixels, 0, "edge", colors.from_hsv)
        to = {"gray": colors.to_gray, "hsv": colors.to_hsv, "lab": colors.to_lab}[self.to]
        return filters.by_bands(pixels, 0, "edge", partial(to, fixed=fixed))


class Box(Step):
    """Blur by the mean over a square."""

    radius: int = Field(default=1, ge=1, le=15)

    def apply(self, pixels: np.ndarray, space: str, *, fixed: bool) -> np.ndarray:
        return filters.box_blur(pixels, 2 * self.radius + 1)


class Gaussian(Step):
    """Blur by a Gaussian."""

    sigma: float = Field(default=1.5, ge=0.3, le=5)

    def apply(self, pixels: np.ndarray, space: str, *, fixed: bool) -> np.ndarray:
        return filters.gaussian_blur(pixels, self.sigma, fixed=fixed)


class Median(Step):
    """Remove specks by the median over a square."""

    radius: int = Field(default=1, ge=1, le=2)

    def apply(self, pixels: np.ndarray, space: str, *, fixed: bool) -> np.ndarray:
        return filters.median_blur(pixels, 2 * self.radius + 1)


class Sharpen(Step):
    """Add what a blur takes away."""

    amount: float = Field(default=1, ge=0, le=5)
    sigma: float = Field(default=1.5, ge=0.3, le=5)

    def apply(self, pixels: np.ndarray, space: str, *, fixed: bool) -> np.ndarray:
        return filters.sharpen(pixels, self.amount, self.sigma, fixed=fixed)


class Edges(Step):
    """Find edges: the length of Sobel's gradient of the gray values."""

    threshold: int = Field(
        default=0, ge=0, le=255, description="Above 0: white where it is reached, black elsewhere"
    )

    def after(self, canvas: Canvas) -> Canvas:
        if canvas.space not in ("rgb", "gray"):
            raise ValueError(f"needs a picture in rgb or gray, got {canvas.space}")
        return Canvas(canvas.height, canvas.width, "gray")

    def apply(self, pixels: np.ndarray, space: str, *, fixed: bool) -> np.ndarray:
        gray = colors.to_gray(pixels, fixed=fixed) if space == "rgb" else pixels
        edges = filters.sobel_edges(gray)
        if not self.threshold:
            return edges
        return np.where(edges >= self.threshold, 255, 0).astype(np.uint8)


class Operation(Record):
    """One operation: give the settings of exactly one."""

    resize: Resize | None = None
    crop: Crop | None = None
    rotate: Rotate | None = None
    flip: Flip | None = None
    affine: Affine | None = None
    convert: Convert | None = None
    box: Box | None = None
    gaussian: Gaussian | None = None
    median: Median | None = None
    sharpen: Sharpen | None = None
    edges: Edges | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            names = ", ".join(type(self).model_fields)
            raise ValueError(
                f"must have exactly one of {names}, got {' and '.join(given) or 'none'}"
            )
        return self

    @property
    def name(self) -> str:
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)

    @property
    def step(self) -> Step:
        step: Step = getattr(self, self.name)
        return step


def plan(operations: Sequence[Operation], canvas: Canvas) -> list[Canvas]:
    """Return size and color space before the operations and after each of them.

    Raises:
        ValueError: an operation does not fit, or its result has over `MAX_PIXELS`; the message has
            its number.
    """
    stages = [canvas]
    for number, operation in enumerate(operations, start=1):
        place = f"operation {number}, {operation.name}"
        try:
            after = operation.step.after(stages[-1])
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from None
        if after.height * after.width > MAX_PIXELS:
            raise ValueError(
                f"{place}: the result of {after.width} x {after.height} would have over "
                f"{MAX_PIXELS:,} pixels: resize or crop first"
            )
        stages.append(after)
    return stages


def apply(pixels: np.ndarray, operations: Sequence[Operation], *, fixed: bool = True) -> np.ndarray:
    """Return a picture (height, width, 3) in RGB after all operations."""
    stages = plan(operations, Canvas(*pixels.shape[:2]))
    for operation, before in zip(operations, stages[:-1], strict=True):
        pixels = operation.step.apply(pixels, before.space, fixed=fixed)
    return np.ascontiguousarray(pixels)
