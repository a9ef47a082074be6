"""Fashion-MNIST: each recipe takes one step more, and pictures come with the names of labels."""

import numpy as np
import torch

from pipelines.dl.fashion_mnist import report, train
from pipelines.dl.fashion_mnist.model import LABELS, Garment
from slipway.kits.images import image_batch
from slipway.media import encode_png


def test_recipes_add_one_step_each() -> None:
    settings = [vars(recipe).values() for recipe in train.RECIPES.values()]
    steps = [sum(value is True for value in values) for values in settings]
    assert steps == list(range(len(steps)))


def test_every_recipe_is_a_network_from_pixels_to_labels() -> None:
    garment = Garment(image=encode_png(np.zeros((28, 28), dtype=np.uint8)))
    images = torch.from_numpy(image_batch([garment] * 2)["images"])
    for recipe in train.RECIPES.values():
        assert train.network(recipe)(train.augment(images, recipe)).shape == (2, len(LABELS))


def test_the_drawn_augmentation_is_that_of_the_last_recipe() -> None:
    images = torch.rand(8, 1, 28, 28)
    torch.manual_seed(1)
    trained = train.augment(images, train.RECIPES["flip_shift"])
    torch.manual_seed(1)
    assert torch.equal(report.augmented(images), trained)
