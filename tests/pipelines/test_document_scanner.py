"""The document scanner's geometry against OpenCV's own functions, and its pages."""

from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from pipelines.cv.document_scanner import corners, page, photos, report
from pipelines.cv.document_scanner.metrics import corner_error, corner_metrics
from pipelines.cv.document_scanner.model import DocumentScanner, Photo, Scan, Sheet
from slipway.media import Point, decode_image, encode_png

QUAD = np.array([[60.0, 40.0], [540.0, 90.0], [500.0, 430.0], [110.0, 400.0]])


@pytest.fixture
def made() -> photos.MadePhoto:
    generator = np.random.default_rng(3)
    background = generator.integers(40, 140, (480, 640, 3)).astype(np.uint8)
    return photos.make_photo(cv2.GaussianBlur(background, (0, 0), 5), generator, blank=False)


@pytest.fixture
def scanner() -> DocumentScanner:
    scanner = DocumentScanner()
    scanner._find = corners.METHODS["all_fitted"]
    return scanner


def test_the_homography_equals_that_of_opencv() -> None:
    target = np.array([[0, 0], [299, 0], [299, 399], [0, 399]], dtype=np.float32)
    expected = cv2.getPerspectiveTransform(QUAD.astype(np.float32), target)
    assert np.allclose(page.homography(QUAD, (300, 400)), expected, rtol=1e-5, atol=1e-8)


def test_corners_are_found_to_a_pixel(made: photos.MadePhoto) -> None:
    found = corners.METHODS["all_fitted"](decode_image(made.jpeg))
    assert made.corners is not None
    assert corner_error(found.corners, made.corners) < 1.5
    assert found.confidence > 0.8


@pytest.mark.parametrize("turn", range(4))
def test_corners_are_ordered_clockwise_from_the_upper_left(turn: int) -> None:
    shuffled = np.roll(QUAD, turn, axis=0)[::-1]
    assert np.array_equal(corners.clockwise(shuffled), QUAD)


def test_the_page_shows_what_was_printed(made: photos.MadePhoto) -> None:
    assert made.corners is not None
    assert made.sheet is not None
    flat = page.flatten(decode_image(made.jpeg), made.corners, photos.SHEET)
    # Smoothed, since letters of 12 pixels are blurred in the photograph; the borders are left out.
    seen, printed = (
        cv2.GaussianBlur(each, (0, 0), 3)[20:-20, 20:-20].astype(float).ravel()
        for each in (cv2.cvtColor(page.enhance(flat, "contrast"), cv2.COLOR_RGB2GRAY), made.sheet)
    )
    assert np.corrcoef(seen, printed)[0, 1] > 0.85


def test_black_and_white_has_two_levels(made: photos.MadePhoto) -> None:
    image = page.enhance(decode_image(made.jpeg), "black_white")
    assert set(np.unique(image)) <= {0, 255}


def test_contrast_evens_out_a_shadow() -> None:
    white = np.full((300, 300, 3), 200, dtype=np.uint8)
    white[:, 150:] = 120
    even = page.enhance(white, "contrast")
    assert even[:, :120].mean() == pytest.approx(even[:, 180:].mean(), abs=3)


@pytest.mark.parametrize(("paper", "ratio"), [("a4", 2**0.5), ("letter", 11 / 8.5)])
def test_paper_sets_the_proportions(paper: str, ratio: float) -> None:
    wide, high = page.page_size(QUAD, paper, longest=640)
    assert max(wide, high) / min(wide, high) == pytest.approx(ratio, rel=0.01)


def test_a_scan_holds_the_page_and_its_pdf(
    made: photos.MadePhoto, scanner: DocumentScanner
) -> None:
    (scan,) = scanner.predict([Photo(image=made.jpeg, paper="a4")])
    assert scan.found
    assert scan.document.startswith(b"%PDF")
    wide, high = Image.open(BytesIO(scan.page)).size
    assert max(wide, high) / min(wide, high) == pytest.approx(2**0.5, rel=0.01)


def test_a_picture_without_a_sheet_stays_whole(scanner: DocumentScanner) -> None:
    picture = encode_png(np.random.default_rng(0).integers(0, 255, (90, 120, 3)).astype(np.uint8))
    (scan,) = scanner.predict([Photo(image=picture)])
    assert not scan.found
    assert [(each.x, each.y) for each in scan.corners] == [(0, 0), (119, 0), (119, 89), (0, 89)]


@pytest.mark.parametrize("size", [(32, 32), (32, 2000), (2000, 32)])
def test_odd_sizes_are_scanned(size: tuple[int, int], scanner: DocumentScanner) -> None:
    wide, high = size
    picture = encode_png(np.full((high, wide, 3), 255, dtype=np.uint8))
    assert scanner.predict([Photo(image=picture)])[0].page


def test_a_damaged_picture_is_refused(made: photos.MadePhoto) -> None:
    with pytest.raises(ValidationError, match="image"):
        Photo(image=made.jpeg[:300])


def test_metrics_count_a_missed_sheet_and_a_false_one() -> None:
    true = [QUAD, QUAD, np.empty((0, 2))]
    metrics = corner_metrics([QUAD + 1, QUAD, QUAD], [True, False, True], true)
    assert metrics == {
        "close_share": 0.5,
        "corner_error_median": pytest.approx(2**0.5),
        "false_sheets": 1.0,
    }


def test_a_photograph_is_the_same_for_the_same_seed() -> None:
    background = np.full((480, 640, 3), 90, dtype=np.uint8)
    one, other = (
        photos.make_photo(background, np.random.default_rng(8), blank=False) for _ in range(2)
    )
    assert one.jpeg == other.jpeg


def test_the_baseline_is_right_where_the_sheet_fills_the_photograph() -> None:
    wide, high = photos.PHOTO_SIZE
    whole = [(0, 0), (wide - 1, 0), (wide - 1, high - 1), (0, high - 1)]
    inner = [(100, 50), (400, 50), (400, 450), (100, 450)]
    sheets = [[Point(x=x, y=y) for x, y in each] for each in (whole, inner, inner, inner)]
    flat = encode_png(np.zeros((32, 32, 3), np.uint8))
    scans = [
        Scan(page=flat, document=page.to_pdf(flat), found=True, confidence=1, corners=each)
        for each in (*sheets[:3], sheets[0])
    ]
    scores = report.score(predictions=scans, labels=[Sheet(corners=each) for each in sheets])
    assert (scores["close_share"], scores["baseline_close_share"]) == (0.75, 0.25)
    assert scores["close_share_low"] < 0.75 < scores["close_share_high"]
