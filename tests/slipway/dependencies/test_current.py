"""`slipway repro` skips a project if and only if `dvc repro` would run none of its stages."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from slipway.dependencies import pins
from slipway.dependencies.lock import is_current
from slipway.repro import dvc_environment
from tests.services.server_fixture import TrainingRepository

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("slipway/dependencies/*", "slipway/repro.py", "slipway/projects/skeletons/*")


@pytest.fixture(scope="module")
def training_repository(tmp_path_factory: pytest.TempPathFactory) -> TrainingRepository:
    """A small repository whose project `flowers` was trained by DVC."""
    training_repository = TrainingRepository(tmp_path_factory.mktemp("training_repository"))
    done = dvc(training_repository, "repro", "--quiet", "pipelines/ml/flowers/dvc.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    return training_repository


def dvc(training_repository: TrainingRepository, *words: str) -> "subprocess.CompletedProcess[str]":
    place = training_repository.folder.parent / "home"
    if not place.exists():
        training_repository.home("home")
    return subprocess.run(
        [sys.executable, "-m", "dvc", *words],
        cwd=training_repository.folder,
        env={
            **dvc_environment(),
            **training_repository.variables(place, 1),
            "PYTHONPATH": str(training_repository.folder),
            "DVC_SITE_CACHE_DIR": str(training_repository.folder / ".dvc" / "tmp" / "site"),
        },
        capture_output=True,
        text=True,
    )


def current_for_dvc(training_repository: TrainingRepository) -> bool:
    done = dvc(training_repository, "status", "--json", "pipelines/ml/flowers/dvc.yaml")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) == {}


def replaced(file: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1))

    return change


def removed(file: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        place = folder / file
        shutil.rmtree(place) if place.is_dir() else place.unlink()

    return change


def another_pin(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder.parents[2] / pins.FILE
        file.write_text(json.dumps(json.loads(file.read_text()) | {name: "99.0"}))

    return change


def appended(file: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        place = (folder / file).resolve()
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("a") as stream:
            stream.write("\n")

    return change


STALE: dict[str, Callable[[Path], None]] = {
    "code": appended("train.py"),
    "shared code": appended("../../../slipway/training/parity.py"),
    "data set": appended("../../datasets/iris.yaml"),
    "parameter": replaced("params.yaml", "power: 1", "power: 2"),
    "removed parameter": replaced("params.yaml", "prepare: {every: 5}\n", ""),
    "pin": another_pin("numpy"),
    "command": replaced("dvc.yaml", "slipway fit", "slipway fit ."),
    "added dependency": replaced(
        "dvc.yaml", "      - train.py\n", "      - train.py\n      - data.py\n"
    ),
    "added output": replaced(
        "dvc.yaml", "outs: [work/receipt.json]", "outs: [work/r, work/receipt.json]"
    ),
    "output changed": appended("work/weights/centres.json"),
    "removed output": removed("work/receipt.json"),
    "removed folder": removed("work/data"),
    "added file in an output": appended("work/data/more.txt"),
    "metric changed": replaced("metrics.json", '"accuracy"', '"accuracies"'),
    "removed lock": removed("dvc.lock"),
}
SAME: dict[str, Callable[[Path], None]] = {
    "removed dependency": replaced(
        "dvc.yaml", "      - ../../../pipelines/datasets/iris.yaml\n", ""
    ),
    "nothing": lambda folder: None,
    "readme": appended("README.md"),
    "parameter that no stage uses": replaced(
        "params.yaml", "environment: training", "environment: torch"
    ),
    "a library that it does not import": another_pin("river"),
    "an untracked file": appended("notes.txt"),
}


@pytest.mark.parametrize("change", [*STALE, *SAME])
def test_slipway_and_dvc_agree(
    training_repository: TrainingRepository, change: str, tmp_path: Path
) -> None:
    folder = training_repository.folder / "pipelines" / "ml" / "flowers"
    kept = {
        folder: tmp_path / "project",
        training_repository.folder / "slipway": tmp_path / "slipway",
    }
    others = [
        training_repository.folder / pins.FILE,
        training_repository.folder / "pipelines" / "datasets" / "iris.yaml",
    ]
    texts = {file: file.read_text() for file in others}
    for place, copy in kept.items():
        shutil.copytree(place, copy)
    try:
        {**STALE, **SAME}[change](folder)
        assert is_current(folder) == current_for_dvc(training_repository) == (change in SAME)
    finally:
        for place, copy in kept.items():
            shutil.rmtree(place)
            shutil.copytree(copy, place)
        for file, text in texts.items():
            file.write_text(text)


def test_a_project_with_other_dvc_features_is_left_to_dvc(
    training_repository: TrainingRepository, tmp_path: Path
) -> None:
    folder = tmp_path / "flowers"
    shutil.copytree(training_repository.folder / "pipelines" / "ml" / "flowers", folder)
    replaced("dvc.yaml", "train.py", "${file}")(folder)
    assert not is_current(folder)
    shutil.rmtree(folder)
    shutil.copytree(training_repository.folder / "pipelines" / "ml" / "flowers", folder)
    (folder / "feedback.dvc").write_text("outs: []\n")
    assert not is_current(folder)
