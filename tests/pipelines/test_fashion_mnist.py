"""Fashion-MNIST: metrics computed by hand, and augmentation that only moves pictures."""

import numpy as np
import pytest
import torch

from pipelines.dl.fashion_mnist import augmentation, train
from pipelines.dl.fashion_mnist.metrics import calibration_error
from pipelines.dl.fashion_mnist.model import SIDE


def test_the_calibration_error_is_the_mean_gap_over_bins() -> None:
    confidence = np.array([0.95, 0.95, 0.5, 0.5])
    assert calibration_error(confidence, np.array([1, 1, 1, 0])) == pytest.approx(0.05 / 2)


def test_a_shifted_picture_moves_by_at_most_one_pixel() -> None:
    torch.manual_seed(0)
    images = torch.zeros(50, 1, SIDE, SIDE)
    images[:, 0, 10, 20] = 1
    moved = augmentation.augmented(images, flip=False, shift=True)
    places = moved.flatten(1).argmax(dim=1)
    assert moved.sum(dim=(1, 2, 3)).tolist() == [1] * 50
    assert {(int(at) // SIDE - 10, int(at) % SIDE - 20) for at in places} == {
        (down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)
    }
    assert augmentation.augmented(images, flip=False, shift=False) is images


def test_recipes_add_one_step_each_and_the_accuracy_has_a_binomial_standard_error() -> None:
    steps = [sum(vars(recipe).values()) for recipe in train.RECIPES.values()]
    assert steps == list(range(len(steps)))
    assert train.accuracy_error({"accuracy": 0.8}, 400) == {"accuracy_se": pytest.approx(0.02)}
