"""Own Canny against OpenCV's, pixel by pixel, and the rules for its thresholds."""

import cv2
import numpy as np
import pytest

from pipelines.cv.edges_and_shapes import canny, drawings


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    generator = np.random.default_rng(6)
    made = drawings.draw(generator, "noise", 20).image
    noise = generator.integers(0, 256, (90, 130)).astype(np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    steps = np.kron(generator.integers(0, 256, (9, 7)), np.ones((8, 8))).astype(np.uint8)
    return [cv2.cvtColor(made, cv2.COLOR_RGB2GRAY), noise, smooth, steps]


@pytest.mark.parametrize(
    ("low", "high"), [(100, 200), (20, 60), (0, 50), (300, 150), (0, 0), (37.5, 80.3), (900, 1400)]
)
def test_every_pixel_equals_opencvs(pictures: list[np.ndarray], low: float, high: float) -> None:
    for picture in pictures:
        expected = cv2.Canny(picture, low, high, L2gradient=True) > 0
        assert np.array_equal(canny.canny(picture, low, high), expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (2, 2), (3, 50)])
def test_narrow_pictures_equal_opencvs(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, size).astype(np.uint8)
    expected = cv2.Canny(picture, 50, 100, L2gradient=True) > 0
    assert np.array_equal(canny.canny(picture, 50, 100), expected)


def test_sobel_equals_opencvs(pictures: list[np.ndarray]) -> None:
    for picture in pictures:
        right, down = canny.sobel(picture)
        border = cv2.BORDER_REPLICATE
        assert np.array_equal(right, cv2.Sobel(picture, cv2.CV_64F, 1, 0, borderType=border))
        assert np.array_equal(down, cv2.Sobel(picture, cv2.CV_64F, 0, 1, borderType=border))


@pytest.mark.parametrize("sigma", [0.8, 1.5, 3.0])
def test_smoothing_is_near_opencvs(pictures: list[np.ndarray], sigma: float) -> None:
    side = 2 * int(np.ceil(3 * sigma)) + 1
    for picture in pictures:
        expected = cv2.GaussianBlur(picture, (side, side), sigma, borderType=cv2.BORDER_REPLICATE)
        difference = np.abs(canny.smooth(picture, sigma).astype(int) - expected)
        # OpenCV smooths bytes with weights of eight bits, and rounds twice.
        assert difference.max() <= 2
        assert difference.mean() < 0.4
    assert canny.smooth(pictures[0], 0) is pictures[0]


def test_weak_edges_count_only_where_they_touch_strong_ones() -> None:
    weak = np.zeros((9, 40), dtype=bool)
    weak[2, 2:30] = weak[6, 2:30] = True
    strong = np.zeros_like(weak)
    strong[2, 29] = True
    assert np.array_equal(canny.connected(weak, strong)[2], weak[2])
    assert not canny.connected(weak, strong)[6].any()


def test_otsu_equals_opencvs(pictures: list[np.ndarray]) -> None:
    for picture in pictures:
        expected, _ = cv2.threshold(picture, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
        assert canny.otsu(picture, 256.0) == expected


def test_the_rule_by_noise_leaves_noise_out() -> None:
    noise = np.random.default_rng(2).normal(120, 25, (200, 200))
    gray = canny.smooth(np.clip(noise, 0, 255).astype(np.uint8), 1.5)
    found = {name: canny.canny(gray, *rule(gray)).mean() for name, rule in canny.RULES.items()}
    assert found["noise"] < 0.001 < 0.02 < found["gradient"]


@pytest.mark.parametrize("rule", list(canny.RULES))
def test_rules_answer_for_pictures_without_contrast(rule: str) -> None:
    for level in (0, 255):
        flat = np.full((5, 6), level, dtype=np.uint8)
        low, high = canny.RULES[rule](flat)
        assert 0 <= low <= high
        assert not canny.canny(flat, low, high).any()
