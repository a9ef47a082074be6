"""Readers of codes: two libraries, each alone and behind a search for a better picture."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import zxingcpp

from . import ean13

# Pictures are enlarged to at most this side: beyond it, codes have enough pixels.
ENLARGED = 1600
# Degrees by which a picture is turned: readers of bars look along rows and columns.
TURNS = (45, 22, 67)


@dataclass(frozen=True)
class SeenCode:
    """A code in a picture: its kind, its payload and its corners (4, 2) in pixels."""

    kind: str
    text: str
    corners: np.ndarray


Reader = Callable[[np.ndarray], list[SeenCode]]
Preparation = tuple[np.ndarray, np.ndarray]
"""A prepared picture, and the matrix (2, 3) from the original's pixels to its own."""


def retail(kind: str, text: str) -> tuple[str, str]:
    """Return kind and digits of a code: a UPC-A is an EAN-13 that begins with 0."""
    return ("ean_13", text.zfill(13)) if kind == "upc_a" else (kind, text)


def normalized(text: str) -> str:
    """Return a payload with plain line ends, by which payloads are compared."""
    return text.replace("\r\n", "\n")


def read_by_opencv(gray: np.ndarray) -> list[SeenCode]:
    """Return QR codes and retail bars that OpenCV's two detectors read."""
    seen = []
    for texts, kinds, corners in (_opencv_qr(gray), _opencv_bars(gray)):
        for text, kind, points in zip(texts, kinds, corners, strict=True):
            if text:
                kind, text = retail(kind.lower(), text)
                seen.append(SeenCode(kind, text, np.asarray(points, dtype=np.float64)))
    return seen


Found = tuple[list[str], list[str], list[np.ndarray]]


def _opencv_qr(gray: np.ndarray) -> Found:
    try:
        found, texts, corners, _ = cv2.QRCodeDetector().detectAndDecodeMulti(gray)
    # Its decoder fails on some damaged codes, and on payloads that are not UTF-8.
    except (cv2.error, UnicodeDecodeError):
        return [], [], []
    return (list(texts), ["qr_code"] * len(texts), list(corners)) if found else ([], [], [])


def _opencv_bars(gray: np.ndarray) -> Found:
    try:
        found, texts, kinds, corners = cv2.barcode.BarcodeDetector().detectAndDecodeWithType(gray)
    except (cv2.error, UnicodeDecodeError):
        return [], [], []
    return (list(texts), list(kinds), list(corners)) if found else ([], [], [])


def read_by_zxing(gray: np.ndarray) -> list[SeenCode]:
    """Return codes of all kinds that ZXing-C++ reads."""
    seen = []
    plain = zxingcpp.TextMode.Plain
    for each in zxingcpp.read_barcodes(np.ascontiguousarray(gray), text_mode=plain):
        place = each.position
        corners = [
            (point.x, point.y)
            for point in (place.top_left, place.top_right, place.bottom_right, place.bottom_left)
        ]
        kind = str(each.format).lower().replace(" ", "_").replace("-", "_")
        kind, text = retail(kind, each.text)
        seen.append(SeenCode(kind, text, np.array(corners, dtype=np.float64)))
    return seen


def read_own_bars(gray: np.ndarray) -> list[SeenCode]:
    """Return the EAN-13 that the project's own reader finds."""
    found = ean13.read_picture(gray)
    return [SeenCode("ean_13", *found)] if found else []


def preparations(gray: np.ndarray) -> Iterator[Preparation]:
    """Yield the picture itself, then enlarged, sharpened, smoothed, with two levels, and turned."""
    same = np.eye(2, 3)
    yield gray, same
    factor = min(3.0, ENLARGED / max(gray.shape))
    large, matrix = gray, same
    if factor > 1:
        large = cv2.resize(gray, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        # Centers of pixels lie half a pixel in.
        shift = (factor - 1) / 2
        matrix = np.array([[factor, 0, shift], [0, factor, shift]])
        yield large, matrix
    smooth = cv2.GaussianBlur(large, (0, 0), 3)
    yield cv2.addWeighted(large, 3, smooth, -2, 0), matrix
    yield cv2.GaussianBlur(large, (0, 0), 1.5), matrix
    block = 2 * (max(large.shape) // 16) + 3
    mean, binary = cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY
    yield cv2.adaptiveThreshold(large, 255, mean, binary, block, 5), matrix
    for degrees in TURNS:
        yield turned(gray, degrees)


def turned(gray: np.ndarray, degrees: float) -> Preparation:
    """Return the picture turned about its center, all of it within a larger one."""
    height, width = gray.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    wide, high = np.ceil(np.abs(matrix[:, :2]) @ [width, height]).astype(int).tolist()
    matrix[:, 2] += (wide - width) / 2, (high - height) / 2
    border = cv2.BORDER_REPLICATE
    return cv2.warpAffine(gray, matrix, (wide, high), None, cv2.INTER_CUBIC, border), matrix


def prepared(read: Reader) -> Reader:
    """Return a reader that collects what `read` finds in the picture and its preparations."""

    def search(gray: np.ndarray) -> list[SeenCode]:
        found: list[SeenCode] = []
        for picture, matrix in preparations(gray):
            for each in read(picture):
                moved = moved_back(each, matrix)
                if not any(same_code(moved, other) for other in found):
                    found.append(moved)
        return found

    return search


def same_code(one: SeenCode, other: SeenCode) -> bool:
    """Return whether both have one payload, and the center of one lies in the other's box."""
    low, high = other.corners.min(axis=0), other.corners.max(axis=0)
    center = one.corners.mean(axis=0)
    return one.text == other.text and bool(((center >= low - 2) & (center <= high + 2)).all())


def moved_back(seen: SeenCode, matrix: np.ndarray) -> SeenCode:
    """Return the code with its corners in the original's pixels."""
    corners = (seen.corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    return SeenCode(seen.kind, seen.text, corners)


# From the simplest to the most complex.
READERS: dict[str, Reader] = {
    "baseline": read_by_opencv,
    "own_bars": read_own_bars,
    "opencv_prepared": prepared(read_by_opencv),
    "zxing": read_by_zxing,
    "zxing_prepared": prepared(read_by_zxing),
}
# The same reader without the search, for a camera.
QUICK = {"opencv_prepared": "baseline", "zxing_prepared": "zxing"}
