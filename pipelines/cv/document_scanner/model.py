"""What does this sheet of paper look like, seen straight from above?

Data: photographs made by the project itself: sheets with printed text, put by a known homography on
real photographs that come with OpenCV. So the true corners are known to a fraction of a pixel.
Task: find the four corners of the sheet, and map the sheet to a flat page, as a picture and a PDF.
Model: no learned weights. Candidate quadrilaterals from brightness, edges and lines are scored by
the contrast along their sides. The method is chosen on the training photographs.
Limits: one sheet that is brighter than what it lies on, with all four corners in the picture. Paper
that is folded, rolled or torn, and white tables, give wrong corners; `confidence` is then low.
Evaluation: the interval of `close_share` is for new photographs on the same five backgrounds.
"""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from slipway.contract import Model, Record, publish
from slipway.media import Blob, Image, Point, decode_image, encode_png

from .corners import METHODS, FoundSheet
from .page import enhance, flatten, page_size, to_pdf

# Below this confidence the sheet counts as not found, and the whole picture is the page. No
# training photograph without a sheet reaches it (`false_sheets` of the candidates).
FOUND = 0.5


class Photo(Record):
    """A photograph of one sheet of paper."""

    image: Annotated[bytes, Image(max_side=4096, min_side=32, capture=True)]
    enhancement: str = Field(
        default="contrast",
        pattern="^(none|contrast|black_white)$",
        description="none, contrast (even out the light) or black_white (for printing)",
    )
    paper: str = Field(
        default="measured",
        pattern="^(measured|a4|letter)$",
        description="Proportions of the page: as measured in the photograph, A4 or US Letter",
    )


class Sheet(Record):
    """The sheet's true corners, clockwise from the upper left; empty if there is no sheet."""

    corners: list[Point]


class Scan(Record):
    """The sheet as a flat page."""

    page: Annotated[bytes, Image(max_side=4096)]
    document: Annotated[bytes, Blob(media_type="application/pdf")]
    found: bool = Field(description="If false, no sheet was found: the page is the whole picture")
    confidence: float = Field(ge=0, le=1, description="Contrast along the weakest side")
    corners: list[Point] = Field(description="The sheet's corners, clockwise from the upper left")


def scan(photo: Photo, sheet: FoundSheet) -> Scan:
    """Return the flat page of the sheet that was found in a photograph."""
    image = decode_image(photo.image)
    size = page_size(sheet.corners, photo.paper, longest=max(image.shape[:2]))
    page = encode_png(enhance(flatten(image, sheet.corners, size), photo.enhancement))
    return Scan(
        page=page,
        document=to_pdf(page),
        found=sheet.confidence >= FOUND,
        confidence=sheet.confidence,
        corners=[Point(x=x, y=y) for x, y in np.round(sheet.corners, 2).tolist()],
    )


class DocumentScanner(Model):
    def load(self, weights: Path) -> None:
        """Read the chosen method's name."""
        self._find = METHODS[json.loads((weights / "method.json").read_text())["method"]]

    def find(self, image: np.ndarray) -> FoundSheet:
        """Return the sheet in a picture (height, width, 3), or the whole picture."""
        found = self._find(image)
        whole = METHODS["baseline"](image)
        return found if found.confidence >= FOUND else FoundSheet(whole.corners, found.confidence)

    def predict(self, model_input: list[Photo]) -> list[Scan]:
        return [scan(photo, self.find(decode_image(photo.image))) for photo in model_input]

    def monitoring_features(
        self, records: list[Photo], predictions: list[Scan]
    ) -> dict[str, np.ndarray]:
        """Return brightness, the sheet's share of the picture, and the confidence, (rows,) each."""
        images = [decode_image(each.image) for each in records]
        shares = []
        for image, each in zip(images, predictions, strict=True):
            x, y = np.array([(point.x, point.y) for point in each.corners]).T
            area = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
            shares.append(area / (image.shape[0] * image.shape[1]))
        return {
            "brightness": np.array([image.mean() / 255 for image in images]),
            "sheet_share": np.array(shares),
            "confidence": np.array([each.confidence for each in predictions]),
        }


publish(DocumentScanner())
