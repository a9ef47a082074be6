"""Cats and dogs: no copy in two splits, changes that keep the animal, and early stopping."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pipelines.dl.cats_dogs import augmentation, data, report, stopping, train
from pipelines.dl.cats_dogs.model import LABELS, Pet, PetPhoto
from slipway.datasets import fetch
from slipway.deep import Plan
from slipway.media import decode_image, encode_png
from slipway.training import LabelledRows

GENERATOR = np.random.default_rng(4)


def picture(side: int = 24) -> np.ndarray:
    return GENERATOR.integers(0, 256, (side, side, 3)).astype(np.uint8)


def test_copies_are_left_out_once_also_when_mirrored() -> None:
    one, other = picture(), picture()
    pictures = [one, other, one[:, ::-1], one // 2]
    kept = data.distinct([encode_png(np.ascontiguousarray(each)) for each in pictures])
    assert kept.tolist() == [True, True, False, False]


def test_no_photograph_is_in_two_splits_and_both_animals_are_in_each() -> None:
    rows = data.splits(fetch("cats_dogs_2k"))
    assert {split: len(each) for split, each in rows.items()} == {"train": 1500, "test": 501}
    learned, tested = (
        np.stack([data.thumbnail(record.image) for record, _ in rows[split]])
        for split in ("train", "test")
    )
    assert (learned @ tested.T).max() < data.SAME
    for pairs in rows.values():
        labels = [label for _, label in pairs]
        assert labels[:4] == ["cat", "dog"] * 2
        assert abs(labels.count("cat") - labels.count("dog")) <= 1


def test_changes_keep_size_range_and_even_pictures() -> None:
    torch.manual_seed(1)
    images = torch.rand(6, 3, 20, 20)
    changed = augmentation.changed(images)
    assert changed.shape == images.shape
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 1
    even = torch.full((4, 3, 20, 20), 0.4)
    assert torch.allclose(augmentation.moved(even), even, atol=1e-6)


def test_half_of_the_pictures_are_mirrored_and_none_is_turned_upside_down() -> None:
    torch.manual_seed(2)
    ramp = torch.linspace(0, 1, 32)
    right, down = ramp.expand(400, 3, 32, 32), ramp[:, None].expand(400, 3, 32, 32)
    slopes = augmentation.moved(right)[:, 0].mean(dim=1).diff(dim=1).mean(dim=1)
    assert 150 < int((slopes < 0).sum()) < 250
    assert bool((augmentation.moved(down)[:, 0].mean(dim=2).diff(dim=1).mean(dim=1) > 0).all())


def rows(count: int = 24) -> LabelledRows[Any, Any]:
    labels = [LABELS[place % 2] for place in range(count)]
    images = [picture(16) // 2 + np.uint8(100 * (label == "dog")) for label in labels]
    return LabelledRows([PetPhoto(image=encode_png(each)) for each in images], labels)


RECIPES = {"plain": stopping.Recipe(4, stops=True)}


def network(recipe: stopping.Recipe) -> nn.Module:
    return train.network(recipe, width=8)


def study(folder: Path) -> stopping.StoppingStudy:
    def plan(recipe: stopping.Recipe, epochs: int) -> Plan:
        return Plan(epochs, 0.01, batch=8)

    weights = folder / "weights"
    weights.mkdir(parents=True, exist_ok=True)
    return stopping.StoppingStudy(Pet, network, weights=weights, seed=3, plan=plan)


def test_the_stopped_candidate_has_the_loss_of_the_best_epoch(tmp_path: Path) -> None:
    compared = study(tmp_path)
    compared.compare_stopping(rows(), RECIPES, held_out=8)
    whole, stopped = compared.tried
    losses = whole.curves["log_loss"]
    assert stopped.name == "plain_stopped"
    assert stopped.metrics["log_loss"] == pytest.approx(min(losses), abs=1e-6)
    assert stopped.parameters["epochs"] == len(stopped.curves["log_loss"]) == np.argmin(losses) + 1
    assert whole.metrics["log_loss"] == pytest.approx(losses[-1], abs=1e-6)
    assert set(whole.curves) >= {"train_log_loss", "train_accuracy", "accuracy"}


def test_a_killed_comparison_continues_to_the_same_candidates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled = rows()
    straight = study(tmp_path / "straight")
    straight.compare_stopping(labelled, RECIPES, held_out=8)
    killed = study(tmp_path / "killed")
    keep, calls = stopping.keep_best, iter(range(9))

    def keep_two(file: Path, module: nn.Module, loss: float) -> None:
        keep(file, module, loss)
        if next(calls) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(stopping, "keep_best", keep_two)
        with pytest.raises(KeyboardInterrupt):
            killed.compare_stopping(labelled, RECIPES, held_out=8)
    resumed = study(tmp_path / "killed")
    resumed.compare_stopping(labelled, RECIPES, held_out=8)
    assert resumed.tried == straight.tried


def test_every_recipe_takes_a_further_step() -> None:
    plain, augmented, regularized = train.recipes(1, 2, 3).values()
    assert (plain.augmented, augmented.augmented, regularized.augmented) == (False, True, True)
    assert (augmented.dropout, augmented.weight_decay) == (0, 0)
    assert min(regularized.dropout, regularized.weight_decay) > 0
    images = torch.rand(2, 3, 64, 64)
    assert train.network(regularized)(images).shape == (2, len(LABELS))


def test_pictures_that_are_shown_may_be_shown() -> None:
    shapes = [decode_image(each.image).shape for each in report.EXAMPLES]
    assert shapes == [(32, 32, 3), (300, 451, 3)]
    assert [label for _, label in report.cifar_pets()[:4]] == ["cat", "dog"] * 2
