"""Own gradients against differences of the loss and torch, optimizers against torch's."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch.nn import functional

from pipelines.dl.digits_from_scratch import descent, network, torch_twin, train
from pipelines.dl.digits_from_scratch.descent import Recipe
from pipelines.dl.digits_from_scratch.model import LABELS, DrawnDigit, drawn_digits
from slipway.datasets import fetch
from slipway.kits.readers.idx import read_idx

GENERATOR = np.random.default_rng(5)
INPUTS = GENERATOR.random((40, 30))
NUMBERS = GENERATOR.integers(0, 10, 40)


def exact(activation: str) -> network.DenseNetwork:
    return network.DenseNetwork.random(
        (30, 12, 8, 10), activation, np.random.default_rng(1), dtype=np.float64
    )


@pytest.mark.parametrize("activation", network.ACTIVATIONS)
def test_backpropagation_equals_differences_of_the_loss(activation: str) -> None:
    analytic, numeric = network.gradient_check(activation, INPUTS, NUMBERS, seed=3)
    assert len(analytic) == 3 * 60 + 24 + 16 + 10
    assert network.relative_error(analytic, numeric) < 1e-8


@pytest.mark.parametrize("activation", network.ACTIVATIONS)
def test_loss_and_every_gradient_equal_those_of_torch(activation: str) -> None:
    own = exact(activation)
    twin = torch_twin.twin_of(own)
    loss = functional.cross_entropy(twin(torch.from_numpy(INPUTS)), torch.from_numpy(NUMBERS))
    loss.backward()  # type: ignore[no-untyped-call]
    assert own.loss(INPUTS, NUMBERS) == pytest.approx(loss.item(), rel=1e-13)
    gradients = own.backward(own.forward(INPUTS), NUMBERS)
    for mine, theirs in zip(gradients, twin.parameters(), strict=True):
        assert theirs.grad is not None
        assert np.allclose(mine, theirs.grad.numpy().T, rtol=1e-10, atol=1e-15)


def test_a_wrong_gradient_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    halved = network.Activation(network.sigmoid, lambda output: output * (1 - output) / 2)
    monkeypatch.setitem(network.ACTIVATIONS, "sigmoid", halved)
    assert (
        network.relative_error(*network.gradient_check("sigmoid", INPUTS, NUMBERS, seed=3)) > 0.01
    )


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_every_batch_has_the_loss_that_torch_has(optimizer: str) -> None:
    recipe = Recipe(optimizer=optimizer, rate=0.01, batch=16)
    own = exact("relu")
    twin = torch_twin.twin_of(own)
    losses = descent.descend(own, INPUTS, NUMBERS, recipe, epochs=1, seed=2)
    assert len(losses) == 3
    theirs = torch_twin.descend_in_torch(twin, INPUTS, NUMBERS, recipe, seed=2)
    assert losses == pytest.approx(theirs, rel=1e-9)


def test_an_epoch_has_every_row_once() -> None:
    parts = descent.batches(10, 4, np.random.default_rng(0))
    assert [len(each) for each in parts] == [4, 4, 2]
    assert sorted(np.concatenate(parts).tolist()) == list(range(10))
    assert len(descent.batches(10, 0, np.random.default_rng(0))) == 1


def test_a_rate_that_is_too_high_is_named() -> None:
    recipe = Recipe(rate=1e200, batch=8)
    with (
        np.errstate(all="ignore"),
        pytest.raises(ValueError, match="not finite after epoch 1: lower the learning rate"),
    ):
        descent.descend(exact("relu"), INPUTS, NUMBERS, recipe, epochs=1, seed=2)


def test_extreme_scores_stay_finite() -> None:
    scores = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4]])
    assert network.softmax(scores).tolist() == [[1, 0, 0], [1 / 3] * 3]
    assert network.cross_entropy(scores, np.array([1, 0])) == pytest.approx((2e4 + np.log(3)) / 2)
    assert network.sigmoid(np.array([-1e4, 0, 1e4])).tolist() == [0, 0.5, 1]


@pytest.mark.parametrize(
    "recipe", [Recipe("sigmoid", (7,)), Recipe("relu", (7, 5)), Recipe(hidden=())]
)
def test_the_graph_has_the_networks_probabilities(recipe: Recipe, tmp_path: object) -> None:
    own = recipe.network(784, 10, seed=4)
    file = tmp_path / "model.onnx"  # type: ignore[operator]
    train.export(own, file)
    pixels = GENERATOR.random((6, 784)).astype(np.float32)
    (found,) = onnxruntime.InferenceSession(file).run(None, {"pixels": pixels})
    assert np.allclose(found, own.probabilities(pixels), atol=1e-6)


def test_deep_networks_train_only_when_repaired() -> None:
    sizes = {}
    for name, recipe in train.DEEP.items():
        start = recipe.network(784, 10, seed=4)
        pixels = GENERATOR.random((50, 784)).astype(np.float32)
        gradients = start.backward(start.forward(pixels), np.arange(50) % 10)
        sizes[name] = float(np.abs(gradients[0]).mean())
    assert sizes["deep_sigmoid"] < 1e-8
    assert sizes["deep_relu_small"] < 1e-14
    assert sizes["deep_relu"] > 1e-5


def test_predictions_name_the_most_probable_digit() -> None:
    probabilities = np.full((1, 10), 0.02)
    probabilities[0, 7] = 0.82
    (found,) = drawn_digits(probabilities, np.eye(10)[[3]])
    assert (found.label, found.probability, found.linear_label) == ("7", 0.82, "3")
    assert list(found.probabilities) == list(LABELS)
    assert DrawnDigit.numbers(["7"]).tolist() == [7]


def test_no_picture_is_in_both_splits() -> None:
    dataset = fetch("mnist")
    train_pictures, test_pictures = (
        {each.tobytes() for each in read_idx(dataset.path(f"{part}-images-idx3-ubyte"))}
        for part in ("train", "t10k")
    )
    assert len(test_pictures) == 10_000
    assert not train_pictures & test_pictures
