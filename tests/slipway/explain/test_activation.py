"""Class-activation maps of a network that was trained, exported and opened like any other."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from slipway.contract.graph import open_graph
from slipway.contract.model import Model
from slipway.explain.activation import activation_map
from slipway.explain.parts import Budget
from slipway.explain.pictures import explain_picture
from slipway.kits.image_classification.pooled import (
    PooledClassifier,
    PooledStudy,
    WithActivationMaps,
)
from slipway.kits.images import image_batch
from tests.slipway.explain.picture_models import OnePatch, Picture, finish
from tests.slipway.kits.test_classification import Half, Patch, patches


def network(pools: bool) -> nn.Module:
    if not pools:
        return nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
    features = nn.Sequential(Columns(), nn.Conv2d(1, 8, 3, stride=3), nn.ReLU())
    return PooledClassifier(features, 8, 2)


class Columns(nn.Module):
    """Turns the left half's brightness negative: pooled positions do not know where they are."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        signs = torch.cat([-torch.ones(3), torch.ones(3)])
        return images * signs


class Halves(Model):
    """Tells the brighter half."""

    def __init__(self, weights: Path) -> None:
        self.graph = open_graph(weights / "model.onnx")

    def predict(self, model_input: list[Patch]) -> list[Half]:
        found = self.graph.run(image_batch(model_input))
        return Half.from_probabilities(found["probabilities"])

    def activation_maps(self, record: Patch) -> dict[str, np.ndarray]:
        [maps] = self.graph.run(image_batch([record]))["activation_maps"]
        return dict(zip(Half.labels, maps, strict=True))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Halves:
    weights = tmp_path_factory.mktemp("pooled") / "weights"
    weights.mkdir()
    study = PooledStudy(Half, network, weights=weights, seed=5)
    study.compare(patches(), {"baseline": True}, held_out=20, epochs=20)
    study.refit_best(patches())
    return Halves(weights)


def test_the_positions_add_up_to_the_logits_of_the_probabilities(model: Halves) -> None:
    for record in patches().records[:8]:
        [prediction] = model.predict([record])
        found = {label: activation_map(model, record, label) for label in Half.labels}
        logits = np.array([each.logit for each in found.values() if each])
        softmax = np.exp(logits) / np.exp(logits).sum()
        assert softmax == pytest.approx(list(prediction.probabilities.values()), abs=1e-6)
        for each in found.values():
            assert each
            assert np.array(each.cells).shape == (2, 2)
            assert np.sum(each.cells) == pytest.approx(each.logit, abs=1e-9)


def test_the_explanation_shows_the_side_that_is_bright(model: Halves) -> None:
    record = patches().records[1]
    found = finish(explain_picture(model, record, Budget(seconds=60)))
    assert found.explained == "right"
    assert found.activation_map
    assert found.activation_map.label == "right"
    cells = np.array(found.activation_map.cells)
    assert cells[:, 1].sum() > cells[:, 0].sum()


def test_other_models_and_labels_have_no_map(model: Halves) -> None:
    record = patches().records[0]
    assert activation_map(OnePatch(), Picture(), "on") is None
    assert activation_map(model, record, "top") is None


def test_a_network_that_does_not_pool_has_one_position() -> None:
    flat = network(False).eval()
    images = torch.rand(3, 1, 6, 6)
    probabilities, maps = WithActivationMaps(flat)(images)
    assert maps.shape == (3, 2, 1, 1)
    assert torch.equal(probabilities, flat(images).softmax(dim=1))
