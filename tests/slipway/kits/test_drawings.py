"""Drawings and photographs come out in the form of MNIST's pictures, whatever they are like."""

import numpy as np
import pytest

from slipway.kits.digit_strokes import STROKES, draw_digit, photographed
from slipway.kits.drawings import (
    BOX,
    CENTER,
    SIDE,
    centered_digit,
    digit_batch,
    drawing_features,
    stroke_width,
)
from slipway.kits.images import ImageRecord
from slipway.media import encode_png


def alike(one: np.ndarray, other: np.ndarray) -> float:
    """Return the correlation of two pictures."""
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


@pytest.mark.parametrize("digit", STROKES)
def test_size_place_and_colors_do_not_matter(digit: str) -> None:
    usual = centered_digit(draw_digit(digit))
    small = draw_digit(digit, side=500, height=100, place=(390, 10), stroke=10)
    dark = draw_digit(digit, ink=20, paper=230)
    faint = draw_digit(digit, ink=120, paper=60)
    for other in (small, dark, faint):
        assert alike(centered_digit(other), usual) > 0.95


@pytest.mark.parametrize("digit", STROKES)
def test_the_digit_fills_the_square_around_its_center_of_mass(digit: str) -> None:
    centered = centered_digit(draw_digit(digit)).astype(float)
    rows, columns = (np.flatnonzero(centered.any(axis=axis)) for axis in (1, 0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == BOX
    for axis in (0, 1):
        mass = centered.sum(axis=1 - axis)
        assert abs(mass @ np.arange(SIDE) / mass.sum() - CENTER) <= 0.5 + 1e-9


def test_a_centered_digit_stays() -> None:
    for digit in STROKES:
        centered = centered_digit(draw_digit(digit))
        assert np.array_equal(centered_digit(centered), centered)


def test_thin_strokes_are_thickened() -> None:
    thin = draw_digit("7", side=800, height=700, stroke=5)
    assert stroke_width(centered_digit(thin)) > 1.8


def test_stroke_width_is_that_of_a_bar() -> None:
    bar = np.zeros((100, 60))
    bar[:, 20:28] = 1
    # A straight outline is the shortest; the estimate is that of any direction.
    assert stroke_width(bar) == pytest.approx(8 * 4 / np.pi, rel=0.1)


def test_noise_and_light_from_one_side_are_not_ink() -> None:
    generator = np.random.default_rng(3)
    for digit in STROKES:
        centered = centered_digit(draw_digit(digit))
        assert alike(centered_digit(photographed(centered, generator)), centered) > 0.8


HOSTILE = {
    "one pixel": np.zeros((1, 1), np.uint8),
    "black": np.zeros((28, 28), np.uint8),
    "white": np.full((300, 75), 255, np.uint8),
    "gradient": np.tile(np.arange(256, dtype=np.uint8), (64, 1)),
    "noise": np.random.default_rng(0).integers(0, 256, (90, 360)).astype(np.uint8),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_picture_without_a_digit_is_black(name: str) -> None:
    assert not centered_digit(HOSTILE[name]).any()


def test_a_fine_line_across_a_large_picture_is_not_lost() -> None:
    wide = np.zeros((1000, 4000), np.uint8)
    wide[5:995, 10:3990][np.arange(990), np.arange(990) * 4] = 3
    centered = centered_digit(wide)
    assert centered.max() == 255
    assert np.flatnonzero(centered.any(axis=0)).size == BOX


def test_a_single_speck_fills_the_square() -> None:
    speck = np.zeros((50, 200), np.uint8)
    speck[20, 30] = 9
    assert np.count_nonzero(centered_digit(speck) == 255) == BOX**2


def test_batches_and_features_are_those_of_the_centered_digits() -> None:
    class Note(ImageRecord, size=(28, 28), mode="L"):
        """A drawing."""

    one, empty = draw_digit("1"), np.zeros((9, 36), np.uint8)
    batch = digit_batch([Note(image=encode_png(each)) for each in (one, empty)])["images"]
    assert batch.shape == (2, 1, SIDE, SIDE)
    assert batch.dtype == np.float32
    assert np.array_equal(np.round(batch[0, 0] * 255), centered_digit(one))
    features = drawing_features(np.round(batch * 255).astype(np.uint8))
    assert features["ink"] == pytest.approx(batch.mean(axis=(1, 2, 3)), abs=1e-6)
    width = np.flatnonzero(batch[0, 0].any(axis=0))
    assert features["width"].tolist() == [np.ptp(width) + 1, 0]
