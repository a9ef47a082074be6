"""The dependencies of stages, found by walking imports and compared with DVC."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path

import pytest

from slipway.dependencies import pins
from slipway.dependencies.dvcfile import dvc_yaml
from slipway.dependencies.imports import imported_by
from slipway.dependencies.lock import input_differences, stages_of
from slipway.dependencies.stages import UnseenInput, stage_inputs
from slipway.project import Project, discover
from slipway.repro import dvc_environment
from tests.conftest import PROJECTS, ROOT, by_name, copy_checkout

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("slipway/dependencies/*", "slipway/repro.py")

Stages = set[tuple[str, str]]


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        file = folder / name.replace("__", "/")
        file = file.with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    write(
        tmp_path,
        slipway__drawing="import matplotlib\n",
        slipway__sums="import numpy\nfrom slipway import drawing\n",
        pipelines__ml__one__train=(
            "from typing import TYPE_CHECKING\n"
            "from .beside import name\n"
            "if TYPE_CHECKING:\n    import torch\n"
            "def late():\n    import sklearn.metrics\n"
        ),
        pipelines__ml__one__beside="import json\nname = 1\n",
    )
    (tmp_path / "slipway" / "__init__.py").write_text("")
    return tmp_path


def names(found: frozenset[Path], top: Path) -> set[str]:
    return {file.relative_to(top).as_posix() for file in found}


def test_imports_are_followed_through_files_and_into_functions(top: Path) -> None:
    found = imported_by([top / "pipelines/ml/one/train.py"], top)
    assert names(found.files, top) == {"pipelines/ml/one/train.py", "pipelines/ml/one/beside.py"}
    assert found.distributions == {"scikit-learn"}


def test_imported_members_and_parent_packages_are_included(top: Path) -> None:
    found = imported_by([top / "slipway/sums.py"], top)
    assert names(found.files, top) == {
        "slipway/__init__.py",
        "slipway/sums.py",
        "slipway/drawing.py",
    }
    assert found.distributions == {"numpy", "matplotlib"}


@pytest.mark.parametrize("project", PROJECTS, ids=by_name)
def test_each_dvc_yaml_is_up_to_date(project: Project) -> None:
    assert (project.folder / "dvc.yaml").read_text() == dvc_yaml(project)


@pytest.mark.parametrize("project", PROJECTS, ids=by_name)
def test_fit_imports_no_reporting(project: Project) -> None:
    found = stage_inputs(project, "fit")
    assert not [name for name in found.shared if name.startswith("slipway/reporting/")]
    assert "report.py" not in found.own
    assert "matplotlib" not in found.distributions


def test_a_computed_name_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "pipelines" / "ml" / "one"
    shutil.copytree(ROOT / "pipelines" / "ml" / "titanic", folder)
    shutil.copytree(ROOT / "infra/environment/locks", tmp_path / "infra/environment/locks")
    shutil.copytree(ROOT / "slipway", tmp_path / "slipway")
    file = folder / "data.py"
    file.write_text(f"{file.read_text()}\n\ndef other(name):\n    return fetch(name)\n")
    with pytest.raises(UnseenInput, match=r"data.py line \d+: write the name as a string"):
        stage_inputs(Project(folder), "prepare")


def test_pins_has_every_locked_distribution() -> None:
    versions = pins.pinned_versions(ROOT / pins.LOCK)
    found = json.loads((ROOT / pins.FILE).read_text())
    assert found.keys() == versions.keys()
    assert "torch" in found
    assert all(found[name].split(" on ")[0] == version for name, version in versions.items())
    assert not [name for name in found if "." in name]


def test_pins_are_equal_on_every_patch_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ['old; python_full_version < "3.11.3"', 'new; python_full_version >= "3.11.3"', "both"]
    monkeypatch.setattr(pins, "requires", lambda name: lines)
    assert pins._required.__wrapped__("client") == {"old", "both"}


def test_a_requirement_that_is_not_installed_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pins.missing(ROOT) == []
    installed = [each for each in distributions() if pins.normalized(each.name) != "numpy"]
    monkeypatch.setattr(pins, "distributions", lambda: installed)
    assert pins.missing(ROOT) == ["numpy"]


# The tests below use a copy of this checkout with the committed locks: DVC compares inputs with
# them, so nothing needs to be trained.


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clone") / "slipway"
    copy_checkout(folder)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return folder


def stale_for_dvc(clone: Path) -> Stages:
    """Return the stages whose inputs differ from the lock, except for untrained outputs."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json"],
        cwd=clone,
        env={
            **dvc_environment(),
            "PYTHONPATH": str(clone),
            "DVC_SITE_CACHE_DIR": str(clone / ".dvc" / "tmp" / "site"),
        },
        check=True,
        capture_output=True,
        text=True,
    )
    found = set()
    for address, changes in json.loads(done.stdout).items():
        place, _, stage = address.rpartition(":")
        changed = [
            path
            for each in changes
            if isinstance(each, dict)
            for path in each.get("changed deps", {})
            if "/work/" not in f"/{path}"
        ]
        if "changed command" in changes or changed:
            found.add((Path(place).parent.name, stage))
    return {each for each in found if each[0] in {project.name for project in discover(clone)}}


def stale_for_us(clone: Path) -> Stages:
    """Return the stages that `input_differences` finds stale."""
    return {
        (project.name, each.stage)
        for project in discover(clone)
        for each in input_differences(project.folder)
    }


def append(clone: Path, name: str) -> None:
    file = clone / name
    file.write_text(f"{file.read_text()}\n# changed\n")


def pin(clone: Path, name: str, version: str) -> None:
    """Pin another version in the lock, and regenerate pins.json."""
    lock = clone / pins.LOCK
    lines = [
        f"{name}=={version} \\" if line.startswith(f"{name}==") else line
        for line in lock.read_text().splitlines()
    ]
    if not any(line.startswith(f"{name}==") for line in lines):
        lines.append(f"{name}=={version}")
    lock.write_text("\n".join(lines) + "\n")
    (clone / pins.FILE).write_text(pins.render(pins.pins(clone)))


def with_input(clone: Path, name: str) -> Stages:
    """Return the stages whose generated dvc.yaml names the file."""
    return {
        (project.name, stage)
        for project in discover(clone)
        for stage, entry in stages_of(project.folder / "dvc.yaml").items()
        if any(str(dep).endswith(name) for dep in entry["deps"])
    }


def with_distribution(clone: Path, name: str) -> Stages:
    """Return the stages that import a distribution whose pin changes with `name`."""
    changed = {
        each
        for each in json.loads((clone / pins.FILE).read_text())
        if name in pins._closure(each, frozenset(pins.pinned_versions(clone / pins.LOCK)))
    }
    return {
        (project.name, stage)
        for project in discover(clone)
        for stage, entry in stages_of(project.folder / "dvc.yaml").items()
        for each in entry["params"]
        if isinstance(each, dict)
        for keys in each.values()
        if changed & set(keys)
    }


def stages_named(found: Stages) -> set[str]:
    return {stage for _, stage in found}


def colour(clone: Path) -> Stages:
    append(clone, "slipway/reporting/plots.py")
    found = with_input(clone, "slipway/reporting/plots.py")
    assert stages_named(found) == {"evaluate"}
    assert len(found) == len(PROJECTS)
    return found


def library(clone: Path) -> Stages:
    pin(clone, "a-new-library", "1.0")
    assert "a-new-library" in json.loads((clone / pins.FILE).read_text())
    return set()


def scikit_learn(clone: Path) -> Stages:
    found = with_distribution(clone, "scikit-learn")
    pin(clone, "scikit-learn", "99.0")
    assert ("titanic", "fit") in found
    assert ("titanic", "evaluate") in found
    assert not {("ab_test", "prepare"), ("census_federated", "register")} & found
    assert "register" not in stages_named(found)
    # Many reports do not use scikit-learn.
    assert len(found) < 0.75 * 3 * len(PROJECTS)
    return found


def deep(clone: Path) -> Stages:
    append(clone, "slipway/deep/loop.py")
    found = with_input(clone, "slipway/deep/loop.py")
    torch = with_distribution(clone, "torch")
    assert ("fashion_mnist", "fit") in found
    assert found <= torch
    # Projects of every track that train or export with torch, and none of the others.
    stale = {name for name, _ in found}
    assert stale >= {"assistant", "blood_cells", "fashion_mnist", "film_retrieval", "digits"}
    assert not stale & {"titanic", "histograms", "codes"}
    return found


def metric(clone: Path) -> Stages:
    append(clone, "slipway/reporting/metrics.py")
    found = with_input(clone, "slipway/reporting/metrics.py")
    assert stages_named(found) == {"evaluate"}
    assert {("titanic", "evaluate"), ("churn", "evaluate")} <= found
    assert ("fashion_mnist", "evaluate") not in found
    return found


def readme(clone: Path) -> Stages:
    append(clone, "pipelines/ml/titanic/README.md")
    append(clone, "README.md")
    return set()


def training(clone: Path) -> Stages:
    append(clone, "pipelines/ml/titanic/train.py")
    return {("titanic", "fit")}


def dataset(clone: Path) -> Stages:
    append(clone, "pipelines/datasets/movielens_100k.yaml")
    found = with_input(clone, "pipelines/datasets/movielens_100k.yaml")
    assert ("movies", "prepare") in found
    assert ("film_retrieval", "fit") in found
    return found


@pytest.mark.parametrize(
    "change",
    [colour, library, scikit_learn, deep, metric, readme, training, dataset],
    ids=lambda change: change.__name__,
)
def test_a_change_makes_exactly_its_dependents_stale(
    clone: Path, change: Callable[[Path], Stages]
) -> None:
    """DVC and `input_differences` both find exactly the expected stages stale."""
    watched = [
        *clone.glob("slipway/reporting/*.py"),
        *clone.glob("slipway/deep/*.py"),
        *(clone / "pipelines" / "datasets").glob("movielens*.yaml"),
        *(clone / "pipelines/ml/titanic").glob("[tR]*.*"),
        *(clone / name for name in (pins.LOCK, pins.FILE, "README.md")),
    ]
    before = {file: file.read_bytes() for file in watched}
    try:
        wanted = change(clone)
        assert stale_for_dvc(clone) == wanted
        assert stale_for_us(clone) == wanted
    finally:
        for file, content in before.items():
            file.write_bytes(content)
