"""The projects that a change affects, according to DVC on a copy of this repository."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from infra.delivery.affected import Changes, changes
from infra.delivery.revision import UnknownRevision
from slipway.project import find
from tests.slipway.checkout import KEPT, git

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("infra/delivery/*", "slipway/dependencies/*")

TITANIC = "pipelines/ml/titanic"
PROJECTS = [find(name) for name in KEPT]
EVERY = set(KEPT)


def append(file: Path, text: str = "\n# another line\n") -> None:
    file.write_text(file.read_text() + text)


def params(root: Path, **values: object) -> None:
    file = root / TITANIC / "params.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | values))


def names(found: Changes) -> set[str]:
    return {Path(project).name for project in found.reasons}


def test_nothing_changed_touches_nothing(root: Path) -> None:
    found = changes(root, "HEAD")
    assert found.reasons == {}
    assert found.unmet == {}
    assert {Path(project).name for project in found.projects} == EVERY


@pytest.mark.parametrize("file", ["data.py", "train.py", "model.py", "dvc.lock", "metrics.json"])
def test_a_projects_own_file_touches_it_alone(root: Path, file: str) -> None:
    append(root / TITANIC / file)
    assert changes(root, "HEAD").reasons == {TITANIC: (f"{TITANIC}/{file}",)}


def test_shared_code_touches_all_that_declare_it(root: Path) -> None:
    append(root / "slipway" / "training" / "parity.py")
    assert names(changes(root, "HEAD")) == EVERY


def test_code_that_some_declare_touches_those(root: Path) -> None:
    append(root / "slipway" / "deep" / "loop.py")
    stages = {project.name: (project.folder / "dvc.yaml").read_text() for project in PROJECTS}
    declaring = {name for name, text in stages.items() if "slipway/deep" in text}
    assert 0 < len(declaring) < len(EVERY)
    assert names(changes(root, "HEAD")) == declaring


@pytest.mark.parametrize(
    "file",
    [
        "README.md",
        f"{TITANIC}/README.md",
        "services/rollout/plan.py",
        "infra/environment/locks/development.txt",
        "infra/environment/locks/training.txt",
    ],
)
def test_what_no_stage_declares_touches_nothing(root: Path, file: str) -> None:
    append(root / file)
    assert changes(root, "HEAD").reasons == {}


def test_a_pinned_version_touches_those_that_import_it(root: Path) -> None:
    file = root / "infra" / "environment" / "locks" / "pins.json"
    pins = json.loads(file.read_text())
    file.write_text(json.dumps(pins | {"torch": "99.0"}, indent=1) + "\n")
    found = changes(root, "HEAD")
    assert names(found) == {"fashion_mnist", "film_retrieval"}
    assert any(
        why.endswith("pins.json torch") for why in found.reasons["pipelines/dl/fashion_mnist"]
    )


def test_a_data_set_touches_those_trained_on_it(root: Path) -> None:
    dataset = next(each.params.dataset for each in PROJECTS if each.name == "titanic")
    append(root / "pipelines" / "datasets" / f"{dataset}.yaml")
    trained = {each.name for each in PROJECTS if each.params.dataset == dataset}
    assert "titanic" in trained
    assert names(changes(root, "HEAD")) == trained


def test_of_the_parameters_those_count_that_a_stage_names(root: Path) -> None:
    params(root, tiny={"rows": 50}, starter=False)
    append(root / TITANIC / "params.yaml")
    assert changes(root, "HEAD").reasons == {}
    params(root, prepare={"seed": 12345})
    found = changes(root, "HEAD")
    assert names(found) == {"titanic"}
    assert any("params.yaml prepare" in why for why in found.reasons[TITANIC])


def test_another_data_set_by_its_name_counts(root: Path) -> None:
    params(root, dataset="iris")
    found = changes(root, "HEAD").reasons[TITANIC]
    assert "pipelines/ml/titanic/params.yaml dataset" in found


def test_another_command_touches_it(root: Path) -> None:
    file = root / TITANIC / "dvc.yaml"
    file.write_text(file.read_text().replace("slipway fit", "slipway fit ."))
    found = changes(root, "HEAD")
    assert found.reasons == {TITANIC: (f"{TITANIC}/dvc.yaml:fit cmd",)}
    assert "the command of fit" in found.unmet[TITANIC]


def test_a_file_counts_once_it_is_imported(root: Path) -> None:
    (root / "slipway" / "contract" / "more.py").write_text("")
    assert names(changes(root, "HEAD")) == set()
    (root / "slipway" / "contract" / "more.py").unlink()
    (root / "slipway" / "contract" / "lookup.py").unlink()
    assert names(changes(root, "HEAD")) == EVERY


def test_a_new_or_removed_project_is_reported(root: Path) -> None:
    (root / TITANIC).rename(root / "pipelines" / "ml" / "ships")
    found = changes(root, "HEAD")
    assert found.reasons == {"pipelines/ml/ships": ("new",)}
    assert found.removed == (TITANIC,)


def test_a_commit_counts_as_an_edit_does(root: Path) -> None:
    append(root / TITANIC / "train.py")
    git(root, "checkout", "--quiet", "--detach")
    git(root, "commit", "--quiet", "--all", "-m", "another")
    assert names(changes(root, "main")) == {"titanic"}
    assert changes(root, "HEAD").reasons == {}
    # At any time: the lock does not match these inputs.
    assert changes(root, "HEAD").unmet == {TITANIC: [f"{TITANIC}/train.py"]}


def test_a_result_changed_by_hand_waits_to_be_trained(root: Path) -> None:
    file = root / TITANIC / "metrics.json"
    file.write_text(file.read_text().replace('"accuracy": 0', '"accuracy": 1'))
    found = changes(root, "HEAD")
    assert names(found) == {"titanic"}
    assert found.unmet == {TITANIC: [f"{TITANIC}/metrics.json"]}


def test_an_unknown_revision_is_reported(root: Path) -> None:
    for name in ("nothing", "--output=stolen"):
        with pytest.raises(UnknownRevision, match="git finds no commit"):
            changes(root, name)
    assert not (root / "stolen").exists()


def test_the_command_prints_names_or_the_reasons(root: Path) -> None:
    append(root / TITANIC / "train.py")

    def output(*words: str) -> str:
        command = [sys.executable, "-m", "slipway", "affected", "--since", "main", *words]
        done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
        return done.stdout

    assert output() == "titanic\n"
    assert json.loads(output("--json")) == {"titanic": [f"{TITANIC}/train.py"]}
