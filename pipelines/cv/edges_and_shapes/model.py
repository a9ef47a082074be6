"""Where are the edges in this picture, and which shapes do they enclose?

Data: drawings made by the project itself: eight kinds of shapes with noise, blur, little contrast,
small sizes and rotations, whose edges and names are known. They are synthetic.
Task: find edges with Canny's method, trace their outlines, measure them, and name shapes: circle,
ellipse, square, rectangle, triangle, pentagon, hexagon and star.
Model: own NumPy code, no learned weights, equal to OpenCV's Canny in every pixel. Smoothing, the
rule for the thresholds and the way of naming are chosen by how many shapes of training drawings get
their right names.
Limits: shapes with a closed edge, seen from the front, one beside the other: of nested ones only
the outer one is named. Photographs have many outlines that are no shape; their name is `other`.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
from pydantic import BaseModel, Field

from slipway.contract import Model, Record, publish
from slipway.media import Box, Image, Point, decode_image, encode_png

from .canny import RULES, canny, smooth
from .shapes import NAMES, OTHER, NamedOutline, find_outlines

# Of photographs with thousands of outlines, the largest are returned.
MOST = 200
# Colors of the drawn outlines, by name; others are gray.
COLORS = {
    "circle": (213, 94, 0),
    "ellipse": (230, 159, 0),
    "square": (0, 114, 178),
    "rectangle": (86, 180, 233),
    "triangle": (0, 158, 115),
    "pentagon": (204, 121, 167),
    "hexagon": (122, 92, 214),
    "star": (184, 134, 11),
}

EdgeDetector = Callable[[np.ndarray, float, float], np.ndarray]


class Settings(BaseModel):
    """The settings that `fit` chose."""

    rule: str
    sigma: float
    namer: str


# A rule of thumb from tutorials, with which the others are compared.
BASELINE = Settings(rule="fixed", sigma=1.0, namer="corners")


class Scene(Record):
    """A picture, and how to look for edges in it."""

    image: Annotated[bytes, Image(max_side=2048, capture=True, draw=True)]
    rule: str = Field(
        default="auto",
        pattern="^(auto|fixed|median|otsu|gradient|noise)$",
        description="How the thresholds follow from the picture; auto: the rule that was chosen",
    )
    low: float | None = Field(
        default=None, ge=0, le=1500, description="A threshold of your own for weak edges"
    )
    high: float | None = Field(
        default=None, ge=0, le=1500, description="A threshold of your own for strong edges"
    )
    sigma: float | None = Field(
        default=None, ge=0, le=10, description="Smoothing in pixels before edges are looked for"
    )
    min_area: float = Field(
        default=80, ge=1, le=1e6, description="Outlines around fewer pixels are left out"
    )


class Drawing(Record):
    """The true edges of a drawing, and its shapes, in the order in which they were drawn."""

    edges: Annotated[bytes, Image()]
    shapes: list[Box]
    condition: str = Field(description="The property that varies")
    level: float
    baseline: list[Box] = Field(description="The shapes that the baseline finds")


class Contour(Record):
    """A closed outline with its measures, in pixels."""

    name: str
    area: float
    perimeter: float
    circularity: float = Field(description="4 pi area / perimeter squared: 1 for a circle")
    center: Point
    corners: int = Field(description="Corners of the simplified outline")


class Outlines(Record):
    """The edges of a picture, and the shapes that they enclose."""

    shapes: list[Box] = Field(description="Named shapes; the score is 1 for an ideal one")
    edges: Annotated[bytes, Image(formats=("PNG",))]
    drawn: Annotated[bytes, Image(formats=("PNG",))] = Field(
        description="The picture with its outlines, colored by their name"
    )
    contours: list[Contour] = Field(description="All outlines, the largest first, 200 at most")
    low: float = Field(description="The gradient above which a connected pixel is an edge")
    high: float = Field(description="The gradient above which a pixel is an edge by itself")


def detect(
    scene: Scene, settings: Settings, detector: EdgeDetector = canny
) -> tuple[np.ndarray, float, float]:
    """Return the edges, bool (height, width), and both thresholds."""
    sigma = settings.sigma if scene.sigma is None else scene.sigma
    gray = smooth(decode_image(scene.image, "L"), sigma)
    rule = settings.rule if scene.rule == "auto" else scene.rule
    low, high = RULES[rule](gray)
    low = low if scene.low is None else scene.low
    high = high if scene.high is None else scene.high
    low, high = min(low, high), max(low, high)
    return detector(gray, low, high), low, high


def outlined(scene: Scene, settings: Settings, detector: EdgeDetector = canny) -> Outlines:
    """Return the response to a scene, with own edges or those of another detector."""
    edges, low, high = detect(scene, settings, detector)
    found = find_outlines(edges, settings.namer, scene.min_area)[:MOST]
    image = decode_image(scene.image)
    return Outlines(
        shapes=named_boxes(found, edges.shape),
        edges=encode_png(edges),
        drawn=encode_png(drawn(image, found)),
        contours=[contour(each) for each in found],
        low=round(low, 2),
        high=round(high, 2),
    )


def named_boxes(found: list[NamedOutline], shape: tuple[int, ...]) -> list[Box]:
    """Return the boxes around outlines that have a name, within a picture of this shape."""
    return [box(each, shape) for each in found if each.name != OTHER]


def box(found: NamedOutline, shape: tuple[int, ...]) -> Box:
    """Return the box around an outline, within a picture of this shape."""
    edge = [shape[1] - 1, shape[0] - 1]
    x1, y1 = np.clip(found.points.min(axis=0), 0, edge).tolist()
    x2, y2 = np.clip(found.points.max(axis=0), 0, edge).tolist()
    return Box(x1=x1, y1=y1, x2=x2, y2=y2, label=found.name, score=round(found.score, 3))


def contour(found: NamedOutline) -> Contour:
    """Return an outline's measures as a record."""
    x, y = np.round(found.properties.center, 2).tolist()
    return Contour(
        name=found.name,
        area=round(found.properties.area, 1),
        perimeter=round(found.properties.perimeter, 1),
        circularity=round(found.properties.circularity, 4),
        center=Point(x=x, y=y),
        corners=len(found.corners),
    )


def drawn(image: np.ndarray, found: list[NamedOutline]) -> np.ndarray:
    """Return a paler picture with the outlines over it."""
    picture = (image // 2 + 120).astype(np.uint8)
    width = max(2, max(image.shape) // 250)
    for each in found:
        points = np.rint(each.points).astype(np.int32)
        cv2.polylines(picture, [points], True, COLORS.get(each.name, (90, 90, 90)), width)
    return picture


class ShapeFinder(Model):
    def load(self, weights: Path) -> None:
        """Read the chosen settings."""
        self._settings = Settings(**json.loads((weights / "settings.json").read_text()))

    def predict(self, model_input: list[Scene]) -> list[Outlines]:
        return [outlined(scene, self._settings) for scene in model_input]

    def monitoring_features(
        self, records: list[Scene], predictions: list[Outlines]
    ) -> dict[str, np.ndarray]:
        """Return brightness, the share of edge pixels, and counts of outlines, (rows,) each."""
        counts = {
            f"{name}s": [sum(box.label == name for box in each.shapes) for each in predictions]
            for name in NAMES
        }
        return {
            "brightness": np.array([decode_image(each.image).mean() / 255 for each in records]),
            "edge_share": np.array(
                [decode_image(each.edges, "L").mean() / 255 for each in predictions]
            ),
            "outlines": np.array([float(len(each.contours)) for each in predictions]),
            **{name: np.array(values, dtype=np.float64) for name, values in counts.items()},
        }


publish(ShapeFinder())
