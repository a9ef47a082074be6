"""Map a sheet to a flat page, even out its light, and write it as PDF."""

from io import BytesIO

import cv2
import numpy as np
from PIL import Image

# Longer side divided by shorter side.
PROPORTIONS = {"a4": 2**0.5, "letter": 11 / 8.5}
LONGEST = 2000


def homography(corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the matrix (3, 3) that maps corners (4, 2) to those of a page of (width, height).

    The direct linear transformation: Hartley and Zisserman, Multiple View Geometry (2004), 4.1.
    """
    wide, high = size
    page = np.array([[0, 0], [wide - 1, 0], [wide - 1, high - 1], [0, high - 1]], dtype=np.float64)
    rows = []
    for (x, y), (u, v) in zip(corners, page, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
    solution = np.linalg.solve(np.array(rows), page.ravel())
    return np.append(solution, 1.0).reshape(3, 3)


def page_size(corners: np.ndarray, paper: str, *, longest: int) -> tuple[int, int]:
    """Return width and height of the page in pixels, at most LONGEST.

    `measured` takes the mean lengths of opposite sides, which is right for a photograph from above
    and shortens a sheet that is seen at an angle; a4 and letter give the true proportions.
    """
    sides = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    wide, high = (sides[0] + sides[2]) / 2, (sides[1] + sides[3]) / 2
    if paper in PROPORTIONS:
        longer = max(wide, high)
        shorter = longer / PROPORTIONS[paper]
        wide, high = (longer, shorter) if wide > high else (shorter, longer)
    scale = min(1.0, min(LONGEST, 2 * longest) / max(wide, high, 1.0))
    return max(16, round(wide * scale)), max(16, round(high * scale))


def flatten(image: np.ndarray, corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the page (height, width, 3) of a picture whose sheet has these corners."""
    if len(np.unique(np.round(corners), axis=0)) < 4:
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    matrix = homography(corners, size)
    page = cv2.warpPerspective(
        image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(page)


def enhance(page: np.ndarray, how: str) -> np.ndarray:
    """Return the page with even light (`contrast`), in black and white, or as it is (`none`).

    The light is the page without its print: a closing, which fills dark strokes, and a median.
    """
    if how == "none":
        return page
    reach = max(9, min(page.shape[:2]) // 20) | 1
    light = cv2.morphologyEx(page, cv2.MORPH_CLOSE, np.ones((reach, reach), np.uint8))
    light = cv2.medianBlur(light, min(reach | 1, 255))
    even = np.clip(page.astype(np.float32) / np.maximum(light, 1) * 255, 0, 255).astype(np.uint8)
    if how == "contrast":
        return even
    grey = cv2.cvtColor(even, cv2.COLOR_RGB2GRAY)
    _, black_white = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return np.asarray(black_white)


def to_pdf(page: bytes) -> bytes:
    """Return a PDF of one page that holds the picture at 150 pixels per inch."""
    stream = BytesIO()
    # Fixed dates: the same page gives the same bytes.
    Image.open(BytesIO(page)).convert("RGB").save(
        stream, "PDF", resolution=150, creationDate=None, modDate=None
    )
    return stream.getvalue()
