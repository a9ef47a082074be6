"""How does this picture look with better contrast, and how alike are the colors of two pictures?

Data: 55 photographs and drawings that come with OpenCV (Apache-2.0) and scikit-image (CC0 or in the
public domain). They are darkened, flattened or lit unevenly by the project itself, so that the
original is known: the degradations are synthetic.
Task: even out the histogram of a picture or match it to a reference, show the curve that does it,
and compare the color histograms of both.
Model: own NumPy code, no learned weights, equal to OpenCV's in every digit. Method, clip limit and
tiles are chosen by how well degraded training pictures are restored, and the kind of histogram by
how often a picture is found again after a change of light and a crop.
Limits: 8 bits a channel. Contrast that is lost in black or white does not come back, and noise is
amplified with the rest. Equal histograms do not mean equal pictures: places are ignored.
"""

import json
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from pydantic import BaseModel, Field, model_validator

from slipway.contract import Model, Record, publish
from slipway.media import Image, decode_image, encode_png

from . import comparing, enhancing
from .enhancing import LEVELS, METHODS, level_counts, recolor, to_gray

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")


class Settings(BaseModel):
    """The settings that `fit` chose."""

    method: str
    clip_limit: float
    tiles: int
    histogram: str
    measure: str


class Photo(Record):
    """A picture to enhance, and perhaps one to take after."""

    image: Annotated[bytes, Image(max_side=4096, formats=FORMATS, capture=True)]
    reference: Annotated[bytes | None, Image(max_side=4096, formats=FORMATS)] = Field(
        default=None, description="A picture to match, and to be compared with"
    )
    method: str = Field(
        default="auto",
        pattern="^(auto|none|equalize|clahe|match)$",
        description="auto: the method that restored most on training pictures",
    )
    clip_limit: float | None = Field(
        default=None, ge=0.1, le=40, description="Of CLAHE: the steepest slope of a curve"
    )
    tiles: int | None = Field(default=None, ge=1, le=32, description="Of CLAHE: tiles a side")

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if self.method == "match" and self.reference is None:
            raise ValueError("the method match needs a reference")
        return self


class Original(Record):
    """The picture before it was degraded, and how near to it others come, in decibels."""

    image: Annotated[bytes, Image()]
    picture: str
    degraded_psnr: float
    equalized_psnr: float


class Likeness(Record):
    """Measures of how alike the color histograms of the picture and of the reference are."""

    correlation: float = Field(ge=-1, le=1, description="1: the same histogram")
    chi_square: float = Field(ge=0, description="0: the same, at most 4")
    intersection: float = Field(ge=0, le=1, description="The common share")
    bhattacharyya: float = Field(ge=0, le=1, description="0: the same")
    emd: float = Field(ge=0, description="Levels by which brightness must move on average")


class Enhanced(Record):
    """The enhanced picture and the curve that made it."""

    image: Annotated[bytes, Image()]
    method: str
    curve: list[float] = Field(description="New brightness of each old one; CLAHE's: mean of tiles")
    curve_low: list[float] = Field(description="The lowest tile's")
    curve_high: list[float] = Field(description="The highest tile's")
    before: list[int] = Field(description="Pixels of each brightness before")
    after: list[int] = Field(description="Pixels of each brightness after")
    red: list[int] = Field(description="Pixels of each level of red before")
    green: list[int]
    blue: list[int]
    likeness: Likeness | None = None
    compared_by: str = Field(
        description="The histogram of `likeness`, and the measure that finds pictures best by it"
    )


def method_of(photo: Photo, settings: Settings) -> str:
    """Return the method to use: with a reference, `auto` matches it."""
    if photo.method != "auto":
        return photo.method
    return settings.method if photo.reference is None else "match"


def curves_of(
    gray: np.ndarray, reference: np.ndarray | None, method: str, clip: float, tiles: int
) -> np.ndarray:
    """Return the curves (tiles, 256) of a method; all but CLAHE have one."""
    if method == "clahe":
        return enhancing.tile_curves(gray, clip, tiles)[0].reshape(-1, LEVELS)
    if method == "equalize":
        return enhancing.equalizing_curve(gray)[None]
    if method == "match" and reference is not None:
        return enhancing.matching_curve(gray, reference)[None]
    return np.arange(LEVELS)[None]


def enhanced(
    photo: Photo, settings: Settings, methods: dict[str, enhancing.Method] = METHODS
) -> Enhanced:
    """Return the response to a photo, by own methods or others of the same name."""
    image = decode_image(photo.image)
    gray, method = to_gray(image), method_of(photo, settings)
    clip, tiles = photo.clip_limit or settings.clip_limit, photo.tiles or settings.tiles
    reference = None if photo.reference is None else decode_image(photo.reference)
    wanted = None if reference is None else to_gray(reference)
    curves = curves_of(gray, wanted, method, clip, tiles)
    if method == "match":
        new_gray = np.rint(curves[0]).astype(np.uint8)[gray]
    else:
        new_gray = methods[method](gray, clip, tiles)
    result = recolor(image, gray, new_gray)
    return Enhanced(
        image=encode_png(result),
        method=method,
        curve=np.round(curves.mean(axis=0), 2).tolist(),
        curve_low=np.round(curves.min(axis=0), 2).tolist(),
        curve_high=np.round(curves.max(axis=0), 2).tolist(),
        before=level_counts(gray).tolist(),
        after=level_counts(to_gray(result)).tolist(),
        **{
            name: level_counts(image[..., channel]).tolist()
            for channel, name in enumerate(("red", "green", "blue"))
        },
        likeness=None if reference is None else likeness(image, reference, settings.histogram),
        compared_by=f"{settings.histogram} {settings.measure}",
    )


def likeness(image: np.ndarray, reference: np.ndarray, kind: str) -> Likeness:
    """Return the measures between two pictures, by one kind of color histogram."""
    one, other = (comparing.HISTOGRAMS[kind](each) for each in (image, reference))
    levels = [comparing.gray_histogram(each) for each in (image, reference)]
    step = LEVELS // comparing.GRAY_BINS
    return Likeness(
        correlation=float(np.clip(round(comparing.correlation(one, other), 6), -1, 1)),
        chi_square=round(comparing.chi_square(one, other), 6),
        intersection=min(1.0, round(comparing.intersection(one, other), 6)),
        bhattacharyya=min(1.0, round(comparing.bhattacharyya(one, other), 6)),
        emd=round(comparing.earth_movers_distance(*levels) * step, 4),
    )


class Histograms(Model):
    def load(self, weights: Path) -> None:
        """Read the chosen settings."""
        self._settings = Settings(**json.loads((weights / "settings.json").read_text()))

    def predict(self, model_input: list[Photo]) -> list[Enhanced]:
        return [enhanced(photo, self._settings) for photo in model_input]

    def monitoring_features(
        self, records: list[Photo], predictions: list[Enhanced]
    ) -> dict[str, np.ndarray]:
        """Return mean and deviation of brightness before, and the mean change, (rows,) each."""
        levels = np.arange(LEVELS)
        before, after = (
            np.array([getattr(each, name) for each in predictions], dtype=np.float64)
            for name in ("before", "after")
        )
        pixels = before.sum(axis=1)
        mean = before @ levels / pixels
        spread = np.sqrt(np.maximum(before @ levels**2 / pixels - mean**2, 0))
        return {
            "brightness": mean / 255,
            "contrast": spread / 255,
            "brightening": (after @ levels / pixels - mean) / 255,
        }


publish(Histograms())
