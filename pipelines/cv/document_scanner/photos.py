"""Make photographs of printed sheets whose corners are known.

A sheet with text is put on a real photograph by a random homography; a gradient of light, a shadow,
blur, noise and JPEG compression follow.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from slipway.media import encode_jpeg

SHEET = (420, 594)
# Width and height of a photograph.
PHOTO_SIZE = (640, 480)
WORDS = (
    "account address amount balance before between board building change city clear company copy "
    "country date delivery department detail document each east final first form general given "
    "house invoice item kind later letter line list local main market measure meeting month name "
    "north note number office order page paper part payment period person place plan point price "
    "public question reason record report result room section service side small south state "
    "street subject table term text time title total under value week west word work year"
).split()


@dataclass(frozen=True)
class MadePhoto:
    """A photograph as JPEG, and the sheet's corners (4, 2) in it, clockwise; None without one."""

    jpeg: bytes
    corners: np.ndarray | None
    sheet: np.ndarray | None
    """The sheet as printed, (height, width) of uint8."""


def print_sheet(generator: np.random.Generator) -> np.ndarray:
    """Return a sheet (594, 420) with a title, paragraphs and a table or a box, in grey."""
    wide, high = SHEET
    picture = Image.new("L", SHEET, int(generator.integers(232, 256)))
    draw = ImageDraw.Draw(picture)
    ink, y = int(generator.integers(0, 70)), 34
    draw.text((40, y), _words(generator, 3).title(), ink, ImageFont.load_default(26))
    y += 50
    while y < high - 60:
        if generator.random() < 0.25:
            y = _draw_table(draw, generator, y, ink)
        font = ImageFont.load_default(int(generator.integers(12, 16)))
        for _ in range(int(generator.integers(3, 7))):
            if y > high - 50:
                break
            draw.text((40, y), _words(generator, int(generator.integers(4, 8))), ink, font)
            y += 18
        y += 14
    margin = int(generator.integers(0, 2)) * 14
    if margin:
        draw.rectangle((margin, margin, wide - margin, high - margin), outline=ink, width=2)
    return np.asarray(picture)


def _words(generator: np.random.Generator, count: int) -> str:
    return " ".join(WORDS[place] for place in generator.integers(0, len(WORDS), count))


def _draw_table(draw: ImageDraw.ImageDraw, generator: np.random.Generator, y: int, ink: int) -> int:
    rows = int(generator.integers(2, 5))
    for row in range(rows + 1):
        draw.line((40, y + 20 * row, 380, y + 20 * row), ink)
    for column in range(5):
        draw.line((40 + 85 * column, y, 40 + 85 * column, y + 20 * rows), ink)
    return y + 20 * rows + 14


def place_corners(generator: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Return the corners (4, 2) of a sheet in a photograph of (width, height)."""
    high = size[1]
    length = generator.uniform(0.62, 0.9) * high
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [length / 2 / 2**0.5, length / 2]
    # A pinhole camera that looks at a tilted sheet.
    tilt = np.radians(generator.uniform(-32, 32, 2))
    turn = np.radians(generator.normal(0, 12) + generator.choice([0, 0, 0, 90, -90]))
    points = np.column_stack([half, np.zeros(4)])
    for angle, (one, other) in ((turn, (0, 1)), (tilt[0], (1, 2)), (tilt[1], (0, 2))):
        rotation = np.eye(3)
        rotation[[one, other], [one, other]] = np.cos(angle)
        rotation[one, other], rotation[other, one] = -np.sin(angle), np.sin(angle)
        points = points @ rotation.T
    distance = 1.8 * high
    flat = points[:, :2] * (distance / (distance + points[:, 2:]))
    room = np.maximum(np.array(size) / 2 - np.abs(flat).max(axis=0) - 6, 0)
    return np.asarray(flat + np.array(size) / 2 + generator.uniform(-1, 1, 2) * room)


def make_photo(background: np.ndarray, generator: np.random.Generator, *, blank: bool) -> MadePhoto:
    """Return a photograph (480, 640) of a sheet on the background, or of the background alone."""
    size = PHOTO_SIZE
    wide, high = size
    canvas = _crop(background, generator, size).astype(np.float64)
    corners, sheet = None, None
    if not blank:
        for _ in range(100):
            corners = place_corners(generator, size)
            if (corners > 4).all() and (corners < [wide - 5, high - 5]).all():
                break
        else:
            raise ValueError("no place for the sheet in 100 tries")
        sheet = print_sheet(generator)
        page = np.array([[0, 0], [SHEET[0], 0], [SHEET[0], SHEET[1]], [0, SHEET[1]]]) - 0.5
        matrix = cv2.getPerspectiveTransform(page.astype(np.float32), (corners.astype(np.float32)))
        colour = np.array([1.0, generator.uniform(0.95, 1), generator.uniform(0.88, 1)])
        # Four times the size and back: soft borders, as a lens gives.
        fine = np.diag([4.0, 4.0, 1.0]) @ matrix
        big = (4 * wide, 4 * high)
        printed = cv2.resize(
            cv2.warpPerspective(sheet, fine, big), size, interpolation=cv2.INTER_AREA
        )
        cover = cv2.warpPerspective(np.full_like(sheet, 255), fine, big)
        cover = cv2.resize(cover, size, interpolation=cv2.INTER_AREA)[..., None] / 255
        canvas = canvas * (1 - cover) + printed[..., None] * colour * np.minimum(cover, 1)
    canvas *= _light(generator, size)[..., None]
    canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), generator.uniform(0.3, 1.1)), np.float64)
    canvas += generator.normal(0, generator.uniform(1, 6), canvas.shape)
    picture = np.clip(canvas, 0, 255).astype(np.uint8)
    quality = int(generator.integers(70, 95))
    return MadePhoto(encode_jpeg(picture, quality=quality), corners, sheet)


def _crop(
    background: np.ndarray, generator: np.random.Generator, size: tuple[int, int]
) -> np.ndarray:
    """Return a random part of the background, turned by a multiple of 90 degrees, and darkened.

    Paper is brighter than nearly every table; a background brighter than paper is rare.
    """
    turned = np.ascontiguousarray(np.rot90(background, int(generator.integers(0, 4))))
    high, wide = turned.shape[:2]
    scale = max(size[0] / wide, size[1] / high) * generator.uniform(1, 1.5)
    grown = cv2.resize(turned, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    x = int(generator.integers(0, grown.shape[1] - size[0] + 1))
    y = int(generator.integers(0, grown.shape[0] - size[1] + 1))
    return np.asarray(grown[y : y + size[1], x : x + size[0]] * generator.uniform(0.45, 0.85))


def _light(generator: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Return the light (height, width): a gradient, and in half of the photographs a shadow."""
    wide, high = size
    y, x = np.mgrid[0:high, 0:wide]
    angle = generator.uniform(0, 2 * np.pi)
    ramp = (x / wide - 0.5) * np.cos(angle) + (y / high - 0.5) * np.sin(angle)
    light = generator.uniform(0.8, 1.0) + generator.uniform(0, 0.3) * ramp
    if generator.random() < 0.5:
        edge = (x - generator.uniform(0.2, 0.8) * wide) * np.cos(angle + 1)
        edge = edge + (y - generator.uniform(0.2, 0.8) * high) * np.sin(angle + 1)
        light = light * (1 - generator.uniform(0.15, 0.4) / (1 + np.exp(-edge / 12)))
    return np.asarray(light)
