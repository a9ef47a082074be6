"""`slipway train --profile full` trains beside the committed results and never changes them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from slipway.dependencies.lock import md5
from slipway.project import Project, find
from slipway.projects.check import shortfalls
from slipway.projects.scratch_training import StageFailed, run_stages, separate_registry
from slipway.registry import tracking
from slipway.stages.full_profile import full_params, has_full_profile, read_full_profile
from tests import small_models
from tests.conftest import PROJECTS, ROOT, by_name

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("slipway/projects/*.py", "slipway/stages/*", "pipelines/*/full.yaml")

QUICK = "fit: {folds: 2, repeats: 1}\n"
SMALL = small_models.FOLDER


@pytest.fixture
def titanic(tmp_path: Path) -> Project:
    """Titanic in a separate repository with this checkout's library, and a full profile."""
    place = tmp_path / "pipelines" / "ml" / "titanic"
    shutil.copytree(find("titanic").folder, place, ignore=shutil.ignore_patterns("work"))
    for name in ("slipway", "infra", "pipelines/datasets", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (place / "full.yaml").write_text(QUICK)
    return Project(place)


def train(project: Project, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    top = project.folder.parents[2]
    return subprocess.run(
        [sys.executable, "-m", "slipway", "train", project.name, "--profile", "full", *words],
        cwd=top,
        env={**os.environ, "PYTHONPATH": str(top), **variables},
        capture_output=True,
        text=True,
    )


def files(project: Project) -> dict[str, str]:
    return {file.name: md5(file) for file in project.folder.iterdir()}


def test_it_registers_a_version_unpromoted_and_leaves_the_project_as_it_is(
    titanic: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path / "home"))
    # MLflow sets it for child processes, so it may name the registry of an earlier test.
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    before, kept = files(titanic), tmp_path / "kept"
    done = train(titanic, "--register", "--output", str(kept))
    assert done.returncode == 0, done.stdout + done.stderr
    device, *lines = done.stdout.splitlines()
    assert device == "titanic: the full profile trains on cpu"
    timed = [line.split()[0] for line in lines if line.endswith(" s")]
    assert timed == ["prepare", "fit", "evaluate", "register"]
    accuracy = next(line.split() for line in lines if line.startswith("accuracy"))
    assert len(accuracy) == 5
    assert accuracy[3:] == [">=", "0.78"]
    assert lines[-1] == "gate met, registered, not promoted"
    assert files(titanic) == before
    assert (kept / "work" / "weights" / "model.onnx").is_file()
    registry = tracking.client()
    (version,) = registry.search_model_versions("name='titanic'")
    assert version.tags["profile"] == "full"
    assert registry.get_run(version.run_id).data.params["folds"] == "2"
    for alias in (tracking.CHAMPION, tracking.CHALLENGER):
        assert tracking.version_of(registry, "titanic", alias) is None


def test_below_the_gate_nothing_is_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path / "home"))
    place = tmp_path / "pipelines" / "small" / "loans"
    shutil.copytree(small_models.project("loans").folder, place)
    (tmp_path / "pipelines" / "datasets").symlink_to(SMALL / "pipelines" / "datasets")
    for name in ("slipway", "infra", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    params = yaml.safe_load((place / "params.yaml").read_text())
    params["gate"]["accuracy"] = ">= 1.5"
    (place / "params.yaml").write_text(yaml.safe_dump(params))
    (place / "full.yaml").write_text("fit: {steps: 9}\n")
    done = train(Project(place), "--register", SLIPWAY_DATASETS=str(SMALL / "data"))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "gate not met, not registered: accuracy >= 1.5, got" in done.stderr
    assert "register" not in done.stdout
    assert not (tmp_path / "home").exists()


def test_a_stage_that_fails_is_shown_with_its_error(titanic: Project, tmp_path: Path) -> None:
    (titanic.folder / "full.yaml").write_text("prepare: {test_share: half}\n")
    lines: list[str] = []
    with pytest.raises(StageFailed, match=r"titanic: prepare failed\n(.*\n)*.*half"):
        run_stages(
            titanic,
            tmp_path / "out",
            separate_registry(tmp_path, {**os.environ, "PYTHONPATH": str(tmp_path)}),
            options=("--profile", "full"),
            tell=lines.append,
        )
    assert "half" in lines[-1]


def test_only_what_the_profile_names_changes(titanic: Project) -> None:
    committed, full = titanic.params, full_params(titanic)
    assert full.fit == {**committed.fit, "folds": 2, "repeats": 1}
    assert full.model_dump(exclude={"fit"}) == committed.model_dump(exclude={"fit"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fits: {folds: 3}", "full: full.yaml: fits: Extra inputs are not permitted"),
        ("fit: 3", "full: full.yaml: fit: Input should be a valid dictionary"),
        ("fit: {fold: 3}", "full: full.yaml: fit.fold: train.py's fit has no such argument"),
        ("prepare: {x: 1}", "full: full.yaml: prepare.x: data.py's splits has no such argument"),
        ("fit: {", "full: full.yaml: while parsing"),
        ("# nothing", "full: full.yaml: it must change prepare or fit"),
        ("- fit", "full: full.yaml: it must change prepare or fit"),
    ],
)
def test_the_check_names_the_field_that_is_wrong(titanic: Project, text: str, message: str) -> None:
    assert not any("full.yaml" in line for line in shortfalls(titanic))
    (titanic.folder / "full.yaml").write_text(text)
    assert any(message in line for line in shortfalls(titanic)), shortfalls(titanic)


@pytest.mark.parametrize("project", [*filter(has_full_profile, PROJECTS)], ids=by_name)
def test_committed_profiles_change_something(project: Project) -> None:
    profile, params = read_full_profile(project), project.params
    assert {**params.fit, **profile.fit} != params.fit or {
        **params.prepare,
        **profile.prepare,
    } != params.prepare


def test_a_stage_never_writes_full_results_into_the_project(titanic: Project) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "slipway", "fit", str(titanic.folder), "--profile", "full"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "--profile needs --into" in done.stderr


def test_without_a_full_profile_the_command_says_so(titanic: Project) -> None:
    (titanic.folder / "full.yaml").unlink()
    done = train(titanic)
    assert done.returncode == 1
    assert done.stderr == (
        "slipway: titanic has no full.yaml, so there is no full profile to train\n"
    )
