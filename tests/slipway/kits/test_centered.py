"""The middle square of pictures of any shape, and the linear classifier of few pixels."""

import numpy as np
import pytest

from slipway.kits.centered import centered_square, square_batch, square_feed, square_pixels
from slipway.kits.images import ImageRecord, image_batch, pixel_batch
from slipway.kits.pixel_baseline import fit_linear, linear_probabilities, small_pixels
from slipway.media import encode_jpeg, encode_png


class SquareShot(ImageRecord, size=(16, 16), max_side=4096):
    """A picture of any shape."""


def shot(pixels: np.ndarray) -> SquareShot:
    return SquareShot(image=encode_png(pixels.astype(np.uint8)))


def test_the_middle_is_cut_out() -> None:
    wide = np.zeros((16, 64, 3))
    wide[:, 24:40] = 200
    assert (centered_square(wide) == 200).all()
    assert (square_pixels(shot(wide).image, 16) == 200).all()
    assert (square_pixels(shot(wide.transpose(1, 0, 2)).image, 16) == 200).all()


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 400, 3), (7, 3, 3), (400, 100, 3), (5, 5)])
def test_every_shape_becomes_the_square_of_the_network(shape: tuple[int, ...]) -> None:
    batch = square_batch([shot(np.full(shape, 90))])
    assert batch.shape == (1, 3, 16, 16)
    assert (batch == 90).all()


def test_black_stays_black() -> None:
    assert not square_feed([shot(np.zeros((30, 40, 3)))])["images"].any()


def test_squares_are_read_as_the_kit_of_pictures_reads_them() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (96, 96, 3)).astype(np.uint8)
    records = [SquareShot(image=encode_jpeg(noise)), shot(noise)]
    assert np.array_equal(square_batch(records), pixel_batch(records))
    assert np.array_equal(square_feed(records)["images"], image_batch(records)["images"])


def test_small_pixels_are_means_of_parts() -> None:
    pixels = np.zeros((16, 16, 3))
    pixels[:8, 8:] = 255
    red = small_pixels([shot(pixels)], 2).reshape(3, 2, 2)[0]
    assert red.tolist() == [[0, 1], [0, 0]]


def test_the_linear_classifier_tells_bright_from_dark() -> None:
    generator = np.random.default_rng(2)
    labels = np.arange(40) % 2
    shots = [shot(generator.integers(0, 100, (16, 16, 3)) + 150 * label) for label in labels]
    linear = fit_linear(shots[:30], labels[:30], 4)
    y_prob = linear_probabilities(linear, shots[30:], 4)
    assert np.array_equal(y_prob.argmax(axis=1), labels[30:])
    assert y_prob.sum(axis=1) == pytest.approx(1)
