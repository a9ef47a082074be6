"""Which panorama do these overlapping photos make?

Data: photos made by the project itself: overlapping crops of photographs that come with OpenCV
(Apache-2.0), under known homographies and exposures. The report also has real pairs.
Task: find the same points in each two photos, compute the homography between them, bring all photos
onto one plane, and blend them into one picture of equal exposure.
Model: no learned weights. SIFT or ORB finds points; own NumPy code samples, estimates and refines
homographies. Detector, exposure and blending are chosen on training photos.
Limits: two to six photos, taken from one place or of something flat; otherwise near things appear
twice. Everything is drawn on a plane, so beyond about 120 degrees a panorama is not possible.
"""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, Field

from slipway.contract import Model, Record, publish
from slipway.media import Image, Point, decode_image, encode_jpeg

from .homography import project
from .placing import Placement, corners
from .stitching import Recipe, Stitched, best_pair, draw_matches, pair_error, stitch


class Settings(BaseModel):
    """The settings that `fit` chose."""

    detector: str
    refined: bool
    equal: bool
    blender: str


class PhotoSet(Record):
    """Photos of one scene, in any order."""

    images: Annotated[list[bytes], Image(max_side=2048, min_side=16)] = Field(
        min_length=1, max_length=6, description="Two to six photos; neighbors share a third"
    )
    blending: str = Field(
        default="auto",
        pattern="^(auto|none|feather|multiband)$",
        description="How seams are hidden; auto: what was nearest to the scene in training",
    )
    equal_exposure: bool = Field(
        default=True, description="Make all photos equally bright where they overlap"
    )


class TrueScene(Record):
    """The scene that photos were taken of, and the homography from it to each photo."""

    scene: Annotated[bytes, Image()]
    matrices: list[list[float]] = Field(
        description="Nine numbers by rows for each photo; empty if it shows another scene"
    )
    overlap: float
    baseline: list[list[float]] = Field(
        description="Homographies of the baseline from each photo to its panorama, or empty"
    )


class PlacedPhoto(Record):
    """The place of a photo in the panorama."""

    photo: int = Field(ge=1, description="Number of the photo")
    placed: bool
    corners: list[Point] = Field(description="Its corners in the panorama, from the upper left")
    matrix: list[float] = Field(description="Homography to the panorama, nine numbers by rows")
    gain: float = Field(description="Factor by which its brightness was changed")


class MatchedPair(Record):
    """Two photos and their matches."""

    photos: list[int] = Field(description="Numbers of both photos")
    matches: int = Field(ge=0)
    agreeing: int = Field(ge=0, description="Matches that agree with one homography")
    error: float = Field(ge=0, description="Mean distance of agreeing matches in pixels")


class Panorama(Record):
    """The panorama, and how it came about."""

    message: str = Field(description="What was joined, or why nothing was")
    joined: bool = Field(description="If false, the panorama is the first photo")
    panorama: Annotated[bytes, Image(formats=("JPEG",))]
    unblended: Annotated[bytes | None, Image(formats=("JPEG",))] = Field(
        default=None, description="The photos pasted one over the other"
    )
    matches: Annotated[bytes | None, Image(formats=("JPEG",))] = Field(
        default=None,
        description="The two photos that match best: all matches, and those that agree (RANSAC)",
    )
    photos: list[PlacedPhoto]
    pairs: list[MatchedPair]


def recipe(photos: PhotoSet, settings: Settings) -> Recipe:
    """Return how to stitch these photos."""
    return Recipe(
        detector=settings.detector,
        refined=settings.refined,
        equal=photos.equal_exposure and settings.equal,
        blender=settings.blender if photos.blending == "auto" else photos.blending,
    )


def placed_photos(
    count: int, placement: Placement | None, images: list[np.ndarray], gains: dict[int, float]
) -> list[PlacedPhoto]:
    """Return a record for each photo."""
    found = []
    for row in range(count):
        matrix = placement.matrices.get(row) if placement else None
        ends = np.empty((0, 2))
        if matrix is not None:
            ends = project(matrix, corners((images[row].shape[1], images[row].shape[0])))
        found.append(
            PlacedPhoto(
                photo=row + 1,
                placed=matrix is not None,
                corners=[Point(x=x, y=y) for x, y in ends.round(2).tolist()],
                matrix=[] if matrix is None else (matrix / matrix[2, 2]).ravel().tolist(),
                gain=round(gains.get(row, 1.0), 4),
            )
        )
    return found


def panorama(photos: PhotoSet, settings: Settings) -> Panorama:
    """Return the panorama of a set of photos."""
    images = [decode_image(each) for each in photos.images]
    made = stitch(images, recipe(photos, settings))
    joined = made.placement is not None
    return Panorama(
        message=made.message,
        joined=joined,
        panorama=encode_jpeg(made.picture),
        unblended=encode_jpeg(made.plain) if joined else None,
        matches=matches_picture(images, made),
        photos=placed_photos(len(images), made.placement, images, made.gains),
        pairs=[
            MatchedPair(
                photos=[one + 1, other + 1],
                matches=len(each.source),
                agreeing=each.inliers,
                error=round(pair_error(each), 4),
            )
            for (one, other), each in made.pairs.items()
        ],
    )


def matches_picture(images: list[np.ndarray], made: Stitched) -> bytes | None:
    """Return the picture of the best pair's matches, if two photos were sent."""
    best = best_pair(made.pairs)
    if best is None:
        return None
    one, other = best
    return encode_jpeg(draw_matches(images[one], images[other], made.pairs[best]), quality=80)


class PanoramaMaker(Model):
    def load(self, weights: Path) -> None:
        """Read the chosen settings."""
        self._settings = Settings(**json.loads((weights / "settings.json").read_text()))

    def predict(self, model_input: list[PhotoSet]) -> list[Panorama]:
        return [panorama(photos, self._settings) for photos in model_input]

    def monitoring_features(
        self, records: list[PhotoSet], predictions: list[Panorama]
    ) -> dict[str, np.ndarray]:
        """Return counts of photos, the share placed, brightness and best matches, (rows,) each."""
        return {
            "photos": np.array([float(len(each.images)) for each in records]),
            "placed_share": np.array(
                [np.mean([photo.placed for photo in each.photos]) for each in predictions]
            ),
            "brightness": np.array(
                [
                    np.mean([decode_image(image).mean() / 255 for image in each.images])
                    for each in records
                ]
            ),
            "agreeing": np.array(
                [max((pair.agreeing for pair in each.pairs), default=0) for each in predictions],
                dtype=np.float64,
            ),
        }


publish(PanoramaMaker())
