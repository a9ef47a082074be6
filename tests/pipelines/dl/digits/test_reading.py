"""Attacks stay within their bounds, sums are those of digits, and answers name their network."""

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import helper
from torch import nn

from pipelines.dl.digits import attacks, data, int8, networks, sums
from pipelines.dl.digits.model import OTHERS, written_digits
from slipway.datasets import fetch
from slipway.kits.readers.idx import read_idx
from slipway.training.graph import write_graph

torch.manual_seed(3)
IMAGES = torch.rand(12, 1, 28, 28)
LABELS = torch.arange(12) % 10
LINEAR = networks.network(networks.Recipe("linear")).eval()
CNN = networks.network(networks.Recipe("cnn")).eval()


def losses(module: nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return nn.functional.cross_entropy(module(images), LABELS, reduction="none")


@pytest.mark.parametrize("name", networks.RECIPES)
def test_every_recipe_is_a_network_from_pixels_to_digits(name: str) -> None:
    recipe = networks.RECIPES[name]
    assert networks.network(recipe)(networks.augment(IMAGES, recipe)).shape == (12, 10)


def test_the_gradient_of_a_linear_network_is_known() -> None:
    weights = LINEAR[1].weight.detach()
    change = LINEAR(IMAGES).softmax(dim=1).detach() - nn.functional.one_hot(LABELS, 10)
    wanted = (change @ weights).view(IMAGES.shape)
    assert torch.allclose(attacks.input_gradient(LINEAR, IMAGES, LABELS), wanted, atol=1e-6)
    attacked = (IMAGES + 0.1 * wanted.sign()).clamp(0, 1)
    assert torch.allclose(attacks.fgsm(LINEAR, IMAGES, LABELS, 0.1), attacked)


@pytest.mark.parametrize("kind", attacks.ATTACKS)
@pytest.mark.parametrize("epsilon", [0.02, 0.3])
def test_attacks_raise_the_loss_within_epsilon(kind: str, epsilon: float) -> None:
    for module in (LINEAR, CNN):
        attacked = attacks.ATTACKS[kind](module, IMAGES, LABELS, epsilon)
        assert (attacked - IMAGES).abs().max() <= epsilon + 1e-6
        assert attacked.min() >= 0
        assert attacked.max() <= 1
        assert (losses(module, attacked) > losses(module, IMAGES)).all()


def test_many_steps_find_at_least_what_one_finds() -> None:
    one, many = (attacks.ATTACKS[kind](CNN, IMAGES, LABELS, 0.1) for kind in ("fgsm", "pgd"))
    assert losses(CNN, many).mean() >= losses(CNN, one).mean() - 1e-4


def test_an_attack_of_size_zero_changes_nothing() -> None:
    plain = float((LINEAR(IMAGES).argmax(dim=1) == LABELS).float().mean())
    assert attacks.accuracy_under(attacks.pgd, LINEAR, IMAGES, LABELS, [0.0]) == [
        pytest.approx(plain)
    ]


def test_the_defense_trains_on_harder_pictures() -> None:
    torch.manual_seed(1)
    plain = nn.functional.cross_entropy(CNN(IMAGES), LABELS)
    defending = attacks.defending_loss(CNN, IMAGES, LABELS, 0.3)
    assert defending > plain
    assert attacks.defending_loss(CNN, IMAGES, LABELS, 0.0).item() == pytest.approx(plain.item())


def test_a_turn_by_nothing_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "rand", lambda *size: torch.full(size, 0.5))
    assert torch.allclose(networks.turned(IMAGES), IMAGES, atol=1e-5)


def test_a_turn_keeps_most_of_a_digit() -> None:
    bar = torch.zeros(50, 1, 28, 28)
    bar[:, :, 6:22, 12:16] = 1
    turned = networks.turned(bar)
    assert torch.allclose(turned.sum(dim=(1, 2, 3)), bar.sum(dim=(1, 2, 3)), rtol=0.3)
    assert not torch.equal(turned[0], turned[1])


def test_each_picture_is_in_one_pair() -> None:
    pairs = sums.Pairs.from_rows(IMAGES, LABELS, seed=2)
    assert len(pairs.sums) == 6
    assert sorted(pairs.images.sum(dim=(2, 3)).flatten().tolist()) == pytest.approx(
        sorted(IMAGES.sum(dim=(1, 2, 3)).tolist())
    )
    known = {
        round(float(each.sum()), 3): int(label) for each, label in zip(IMAGES, LABELS, strict=True)
    }
    for pair, total in zip(pairs.images, pairs.sums, strict=True):
        assert sum(known[round(float(each.sum()), 3)] for each in pair) == total


def test_the_probability_of_a_sum_is_that_of_all_pairs() -> None:
    adder = sums.SumByDigits().eval()
    pair = torch.cat([IMAGES[:3], IMAGES[3:6]], dim=1)
    left, right = (
        adder.reader(part).softmax(dim=1).detach().numpy() for part in (IMAGES[:3], IMAGES[3:6])
    )
    found = adder(pair).exp().detach().numpy()
    for row in range(3):
        wanted = np.convolve(left[row], right[row])
        assert found[row] == pytest.approx(wanted, rel=1e-4)
    assert sums.SumAsClass()(pair).shape == (3, sums.SUMS)


def test_a_graph_of_8_bits_predicts_nearly_the_same(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    weights = generator.standard_normal((20, 10)).astype(np.float32)
    file, images = tmp_path / "plain.onnx", generator.random((300, 20)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["images", "weights"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    constants = {"weights": weights}
    outputs = {"probabilities": 10}
    write_graph(file, nodes, inputs={"images": 20}, outputs=outputs, constants=constants)
    small = int8.int8_copy(file, images)
    plain, rounded = (int8.probabilities(each, images) for each in (file, small))
    assert 0 < np.abs(plain - rounded).max() < 0.1
    assert np.mean(plain.argmax(axis=1) == rounded.argmax(axis=1)) > 0.95


def test_each_answer_is_that_of_its_network() -> None:
    places = dict(zip(OTHERS, (1, 2, 3), strict=True))
    others = {name: np.eye(10)[[place]] for name, place in places.items()}
    (found,) = written_digits(np.eye(10)[[7]], others)
    assert (found.label, found.probability) == ("7", 1)
    assert (found.linear_label, found.mlp_label, found.defended_label) == ("1", "2", "3")


def test_no_picture_is_in_both_splits() -> None:
    dataset = fetch("mnist")
    train, test = (
        {each.tobytes() for each in read_idx(dataset.path(f"{part}-images-idx3-ubyte"))}
        for part in ("train", "t10k")
    )
    assert not train & test
    splits = data.splits(dataset, train_rows=3)
    assert len(list(splits["train"])) == 3
