"""CIFAR-10: no copy across the split, signals of layers, small copies, mirroring, and serving."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pipelines.dl.cifar10 import data, report
from pipelines.dl.cifar10.model import LABELS, Cifar10, SmallPhoto, Subject
from pipelines.dl.cifar10.network import SMALL, Recipe, SmallFirst, network, reduced
from pipelines.dl.cifar10.signals import signals
from pipelines.dl.cifar10.study import Length, Mirrored, ServedStudy
from pipelines.dl.cifar10.train import RECIPES
from slipway.datasets import fetch
from slipway.deep import Plan
from slipway.kits.readers.cifar10 import COPIES, SAME, likeness, read_all
from slipway.media import encode_png
from slipway.training import Candidate, LabelledRows

GENERATOR = torch.Generator().manual_seed(4)
IMAGES = torch.rand(32, 3, 32, 32, generator=GENERATOR)
NUMBERS = torch.arange(32) % len(LABELS)


def test_no_training_picture_is_like_a_test_picture() -> None:
    rows = {split: list(each) for split, each in data.splits(fetch("cifar10_jpeg")).items()}
    assert [len(rows[split]) for split in ("train", "test")] == [48826, 10000]
    learned, tested = ([record.image for record, _ in rows[split]] for split in ("train", "test"))
    assert likeness(learned, tested).max() < SAME
    assert [label for _, label in rows["test"][: len(LABELS)]] == list(LABELS)


def test_pictures_that_are_left_out_are_like_a_test_picture() -> None:
    parts = read_all(fetch("cifar10_jpeg").path("cifar10_jpeg.tar.xz"))
    left_out = set(COPIES.read_text().split())
    some = list(islice((each for each in parts["train"] if each.name in left_out), 100))
    alike = likeness([each.content for each in some], [each.content for each in parts["test"]])
    assert len(some) == 100
    assert alike.min() >= SAME


def test_only_the_naive_first_weights_lose_the_signal() -> None:
    """Over six convolutions with a factor of at most a third, less than a thousandth is left."""
    naive, he, batch_norm = (
        signals(RECIPES[name], IMAGES, NUMBERS) for name in ("naive", "he", "batch_norm")
    )
    assert naive.activations[-1] < naive.activations[0] / 1000
    for found in (he, batch_norm):
        assert 1 / 3 < found.activations[-1] / found.activations[0] < 3
        assert min(found.gradients) > 1000 * max(naive.gradients)


def test_he_keeps_the_mean_square_of_what_enters_a_convolution() -> None:
    # The last convolution has the most inputs, so the least depends on chance.
    layer = list(network(Recipe(batch_norm=False, width=64)).features.children())[-2]
    assert isinstance(layer, nn.Conv2d)
    values = torch.randn(16, layer.in_channels, 8, 8, generator=GENERATOR)
    kept = layer(values)[:, :, 1:-1, 1:-1].relu().square().mean()
    assert kept.item() == pytest.approx(values.square().mean().item(), rel=0.1)


def test_batch_norm_follows_every_convolution_and_makes_biases_needless() -> None:
    kinds = [type(each) for each in network(RECIPES["batch_norm"]).features.children()]
    places = [place for place, kind in enumerate(kinds) if kind is nn.Conv2d]
    assert len(places) == 7
    assert all(kinds[place + 1 : place + 3] == [nn.BatchNorm2d, nn.ReLU] for place in places)
    convolutions = [
        each for each in network(Recipe()).features.children() if isinstance(each, nn.Conv2d)
    ]
    assert all(each.bias is None for each in convolutions)
    plain = [type(each) for each in network(RECIPES["he"]).features.children()]
    assert plain == [kind for kind in kinds if kind is not nn.BatchNorm2d]


def test_a_copy_has_the_means_of_its_picture() -> None:
    rows = torch.arange(32.0).expand(2, 3, 32, 32)
    for side in (16, SMALL):
        copies = reduced(rows, side)
        assert copies.shape == (2, 3, side, side)
        # A gradient stays one; at the border, the mean has fewer neighbours.
        steps = copies[0, 0, 0].diff()[2:-2]
        assert torch.allclose(steps, torch.full((side - 5,), 32 / side), rtol=0.03)
    assert reduced(rows, 32) is rows
    # Stripes of one pixel become gray, no coarser stripes.
    stripes = (torch.arange(32) % 2).float().expand(1, 3, 32, 32)
    assert reduced(stripes, 16)[..., 2:-2].std() < 0.01


def test_copies_come_first_in_training_only_and_the_count_is_part_of_the_state() -> None:
    layer = SmallFirst(small=40)
    layer.eval()
    assert torch.equal(layer(IMAGES), IMAGES)
    layer.train()
    sides = [layer(IMAGES).shape[-1] for _ in range(4)]
    assert sides == [SMALL, SMALL, 32, 32]
    resumed = SmallFirst(small=40)
    resumed.load_state_dict(layer.state_dict())
    resumed.train()
    assert torch.equal(resumed(IMAGES), IMAGES)


def test_a_mirrored_picture_has_the_same_answer_and_mirrored_maps() -> None:
    module = Mirrored(network(Recipe(width=8)).eval())
    probabilities, maps = module(IMAGES)
    turned, turned_maps = module(IMAGES.flip(3))
    assert torch.allclose(probabilities, turned, atol=1e-6)
    assert torch.allclose(maps, turned_maps.flip(3), atol=1e-5)
    assert torch.allclose(maps.mean(dim=(2, 3)).softmax(dim=1), probabilities, atol=1e-6)


def test_the_validated_network_is_the_served_one(tmp_path: Path) -> None:
    """A label is a channel that is bright, so a brief training beats chance."""
    labels = [LABELS[place % 3] for place in range(120)]
    images = np.random.default_rng(2).integers(0, 90, (120, 32, 32, 3)).astype(np.uint8)
    for place, image in enumerate(images):
        image[:, :, place % 3] += np.uint8(120)
    rows = LabelledRows([SmallPhoto(image=encode_png(each)) for each in images], labels)
    weights = tmp_path / "weights"
    weights.mkdir()

    def plan(recipe: Recipe, epochs: int) -> Plan:
        return Plan(epochs, 0.01, batch=8)

    study = ServedStudy(Subject, network, weights=weights, seed=3, plan=plan)
    recipes = {
        "short": (Recipe(width=8), Length(1, 8)),
        "long": (Recipe(width=8, small=50), Length(2)),
    }
    tensors = study.tensors(rows)
    study.compare_lengths(tensors, recipes, held_out=40)
    short, long = study.tried
    assert (short.parameters["rows"], long.parameters["rows"]) == (8, 80)
    assert len(long.curves["accuracy"]) == long.parameters["epochs"] == 2
    reference = Candidate("baseline", {"accuracy": 1.0})
    fitted = study.serve_best(tensors, reference)
    assert [each.name for each in fitted.candidates] == ["baseline", "short", "long"]
    assert fitted.chosen == "long"

    model = Cifar10()
    model.load(weights)
    _, validation = study.split(tensors, 40)
    predictions = model.predict(validation.rows.records)
    right = np.array([each.label for each in predictions]) == np.array(validation.rows.labels)
    assert np.mean(right) == pytest.approx(long.metrics["accuracy"])
    assert long.metrics["accuracy"] > 0.6
    maps = model.activation_maps(rows.records[0])
    logits = np.array([each.mean() for each in maps.values()])
    found = np.exp(logits - logits.max())
    served = list(model.predict(rows.records[:1])[0].probabilities.values())
    assert found / found.sum() == pytest.approx(served, abs=1e-4)


def test_each_class_has_its_own_interval() -> None:
    right = np.array([True] * 8 + [False] * 2 + [True] * 10)
    found = report.by_class(right, ["cat"] * 10 + ["dog"] * 10)
    assert list(found) == ["cat", "dog"]
    assert found["cat"] == pytest.approx((0.8, 0.4902, 0.9433), abs=1e-4)
    assert found["dog"][2] == 1 > found["dog"][1] > 0.7
