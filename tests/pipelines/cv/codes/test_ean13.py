"""The own EAN-13 writer and reader against two libraries."""

import cv2
import numpy as np
import pytest
import zxingcpp

from pipelines.cv.codes import ean13
from pipelines.cv.codes.readers import turned
from pipelines.cv.codes.writing import code_modules

DIGITS = [
    ean13.with_check_digit(f"{first}{number:011d}")
    for first, number in zip(
        range(10), np.random.default_rng(1).integers(0, 10**11, 10).tolist(), strict=True
    )
]


def enlarged(digits: str, pixels: int = 3) -> np.ndarray:
    """Return a picture of the bars on a gray desk."""
    card = np.kron(code_modules("ean_13", digits), np.ones((pixels, pixels), dtype=np.uint8))
    return np.pad(card, 20, constant_values=140)


@pytest.mark.parametrize("digits", DIGITS)
def test_bars_equal_those_of_a_library(digits: str) -> None:
    code = zxingcpp.create_barcode(digits, zxingcpp.BarcodeFormat.EAN13)
    row = np.array(code.to_image(scale=1, add_quiet_zones=False))[0]
    assert np.array_equal(ean13.bars(digits), row == 0)


@pytest.mark.parametrize("digits", DIGITS)
def test_libraries_read_the_bars(digits: str) -> None:
    picture = enlarged(digits)
    (read,) = zxingcpp.read_barcodes(picture)
    # OpenCV looks for slopes, which no step has.
    photo = cv2.GaussianBlur(picture, (0, 0), 1)
    found, texts, _, _ = cv2.barcode.BarcodeDetector().detectAndDecodeWithType(photo)
    assert read.text == digits
    # A code that begins with 0 is a UPC-A, which OpenCV gives without it.
    assert found
    assert texts[0].zfill(13) == digits


@pytest.mark.parametrize("digits", DIGITS)
def test_own_bars_are_read_back_at_any_angle(digits: str) -> None:
    for degrees in (0, 20, 90, 135, 180, 250):
        picture, _ = turned(enlarged(digits), degrees)
        found = ean13.read_picture(picture)
        assert found is not None, degrees
        assert found[0] == digits


def test_bars_written_by_a_library_are_read() -> None:
    for digits in DIGITS:
        code = zxingcpp.create_barcode(digits, zxingcpp.BarcodeFormat.EAN13)
        picture = np.array(code.to_image(scale=3, add_quiet_zones=True))
        found = ean13.read_picture(picture)
        assert found is not None
        assert found[0] == digits


def test_corners_lie_at_the_ends_of_the_bars() -> None:
    found = ean13.read_picture(enlarged(DIGITS[4]))
    assert found is not None
    left, right = 20 + 11 * 3 - 0.5, 20 + (11 + 95) * 3 - 0.5
    ends = np.sort(found[1][:, 0])
    assert ends == pytest.approx([left, left, right, right], abs=0.6)


@pytest.mark.parametrize(("digits", "check"), [("400638133393", "1"), ("978014300723", "4")])
def test_the_checksum_of_known_numbers(digits: str, check: str) -> None:
    assert ean13.check_digit(digits) == check


def test_every_changed_digit_changes_the_checksum() -> None:
    for place in range(12):
        for step in range(1, 10):
            changed = list(DIGITS[3])
            changed[place] = str((int(changed[place]) + step) % 10)
            assert ean13.check_digit("".join(changed[:12])) != DIGITS[3][12]


@pytest.mark.parametrize(
    ("digits", "message"),
    [("4006381333930", "must be 1"), ("12", "12 or 13 digits"), ("40063813339a", "twelve digits")],
)
def test_wrong_numbers_are_refused(digits: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ean13.with_check_digit(digits)


def test_a_damaged_bar_is_not_guessed() -> None:
    modules = ean13.bars(DIGITS[2])
    generator = np.random.default_rng(4)
    for place in generator.integers(4, 90, 30):
        damaged = modules.copy()
        damaged[place : place + 2] ^= True
        row = np.pad(np.where(damaged, 0.0, 255.0), 12, constant_values=255).repeat(4)
        stripe = ean13.read_line(row)
        assert stripe is None or stripe.digits == DIGITS[2]


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (60, 60)])
def test_pictures_without_bars_have_none(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, size).astype(np.uint8)
    assert ean13.read_picture(noise) is None
    assert ean13.read_picture(np.zeros(size, dtype=np.uint8)) is None
