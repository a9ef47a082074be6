"""The kit for picture classifiers: metrics, augmentation, and a study that is killed."""

import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, log_loss
from torch import nn

from slipway.contract.graph import open_graph
from slipway.kits.augmentation import dimmed, mirrored, shifted
from slipway.kits.class_report import class_scores
from slipway.kits.classes import ClassRecord
from slipway.kits.image_classification.study import PictureStudy
from slipway.kits.images import ImageRecord, image_batch
from slipway.kits.metrics.classes import class_metrics, share_error
from slipway.kits.pixel_tensors import brightness
from slipway.media import encode_png
from slipway.training import LabelledRows
from tests.conftest import ROOT


class Patch(ImageRecord, size=(6, 6), mode="L"):
    """A grey patch."""


class Half(ClassRecord, labels=("left", "right")):
    """The brighter half."""


@dataclass(frozen=True)
class Recipe:
    hidden: int


RECIPES = {"baseline": Recipe(0), "small": Recipe(4), "large": Recipe(16)}


def network(recipe: Recipe) -> nn.Module:
    if not recipe.hidden:
        return nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
    layers = [nn.Conv2d(1, recipe.hidden, 3, padding=1), nn.BatchNorm2d(recipe.hidden), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(36 * recipe.hidden, 2))


def patches(count: int = 60) -> LabelledRows[Patch, str]:
    generator = np.random.default_rng(0)
    records, labels = [], []
    for row in range(count):
        image = generator.integers(0, 120, (6, 6)).astype(np.uint8)
        side = row % 2
        image[:, 3 * side : 3 * side + 3] += 100
        records.append(Patch(image=encode_png(image)))
        labels.append(Half.labels[side])
    return LabelledRows(records, labels)


def study(weights: Path) -> PictureStudy[Recipe]:
    weights.mkdir(parents=True, exist_ok=True)
    return PictureStudy(
        Half, network, weights=weights, seed=5, augment=lambda images, recipe: shifted(images)
    )


def run(weights: Path) -> None:
    study_ = study(weights)
    study_.compare(patches(), RECIPES, held_out=20, epochs=3)
    study_.refit_best(patches())


KILLED = """
import os, signal, sys
from pathlib import Path
from slipway.deep import Checkpoint
from tests.slipway.kits import test_classification as here

saved = Checkpoint.save
def save(self, accelerator, scheduler, curves):
    saved(self, accelerator, scheduler, curves)
    if self.folder.name.startswith("small") and len(curves["loss"]) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
Checkpoint.save = save
here.run(Path(sys.argv[1]))
"""


def test_a_killed_study_continues_to_the_same_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killed, whole = tmp_path / "killed" / "weights", tmp_path / "whole" / "weights"
    done = subprocess.run([sys.executable, "-c", KILLED, killed], cwd=ROOT, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    checkpoints = killed.parent / "volatile" / "checkpoints"
    assert sorted(each.name.partition("-")[0] for each in checkpoints.iterdir()) == [
        *("baseline", "small")
    ]
    run(killed)
    lines = capsys.readouterr().out.splitlines()
    # The finished candidate is not trained again, and the second one goes on after two epochs.
    assert not any(line.startswith("baseline: ") for line in lines)
    assert [line.split()[2] for line in lines if line.startswith("small: ")] == ["3"]
    run(whole)
    assert (killed / "model.onnx").read_bytes() == (whole / "model.onnx").read_bytes()
    assert not checkpoints.exists()


def test_the_study_exports_the_chosen_network_with_probabilities(tmp_path: Path) -> None:
    rows = patches()
    tried = study(tmp_path / "weights")
    candidates = tried.compare(rows, RECIPES, held_out=20, epochs=6, subset=30)
    assert [each.parameters["rows"] for each in candidates] == [30] * 3
    assert all(len(each.curves["accuracy"]) == 6 for each in candidates)
    accuracy = candidates[1].metrics["accuracy"]
    assert candidates[1].metrics["accuracy_se"] == share_error(accuracy, 20)
    tried.add_metrics("small", {"own": 1.0})
    fitted = tried.refit_best(rows)
    assert {each.name: each.metrics.get("own") for each in fitted.candidates} == {
        "baseline": None,
        "small": 1.0,
        "large": None,
    }
    graph = open_graph(tmp_path / "weights" / "model.onnx")
    found = Half.from_probabilities(graph.run(image_batch(rows.records))["probabilities"])
    assert class_scores(found, rows.labels)["accuracy"] > 0.9
    framework = fitted.framework_predict(rows.records)
    assert [each.label for each in framework] == [each.label for each in found]


def test_class_metrics_are_scikit_learns() -> None:
    generator = np.random.default_rng(1)
    y_prob = generator.dirichlet([1, 2, 3], 200)
    y_true = generator.integers(0, 3, 200)
    found, y_pred = class_metrics(y_prob, y_true), y_prob.argmax(axis=1)
    assert found["accuracy"] == accuracy_score(y_true, y_pred)
    assert found["macro_f1"] == f1_score(y_true, y_pred, average="macro")
    assert found["log_loss"] == pytest.approx(log_loss(y_true, y_prob))


def test_the_calibration_error_is_the_mean_gap_over_bins() -> None:
    confidence = np.array([0.95, 0.95, 0.55, 0.55])
    y_prob = np.stack([confidence, 1 - confidence], axis=1)
    found = class_metrics(y_prob, np.array([0, 0, 0, 1]))["calibration_error"]
    assert found == pytest.approx((0.05 + 0.05) / 2)


def test_a_shifted_picture_moves_by_at_most_one_pixel() -> None:
    torch.manual_seed(0)
    images = torch.zeros(50, 1, 28, 28)
    images[:, 0, 10, 20] = 1
    moved = shifted(images)
    places = moved.flatten(1).argmax(dim=1)
    assert moved.sum(dim=(1, 2, 3)).tolist() == [1] * 50
    assert {(int(at) // 28 - 10, int(at) % 28 - 20) for at in places} == {
        (down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)
    }


def test_mirrored_and_dimmed_pictures_stay_pictures() -> None:
    torch.manual_seed(0)
    images = torch.rand(40, 3, 4, 4)
    flipped = mirrored(images)
    same = [torch.equal(*pair) for pair in zip(flipped, images, strict=True)]
    turned = [torch.equal(one, other.flip(2)) for one, other in zip(flipped, images, strict=True)]
    assert {*zip(same, turned, strict=True)} == {(True, False), (False, True)}
    darker = dimmed(images, by=0.5)
    assert 0 <= float(darker.min()) < float(darker.max()) <= 1


def test_brightness_has_the_bytes_that_serving_computes() -> None:
    values = torch.arange(256, dtype=torch.uint8)
    served = np.arange(256, dtype=np.uint8).astype(np.float32)
    served /= 255
    assert (brightness(values).numpy() == served).all()
