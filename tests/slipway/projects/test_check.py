"""`slipway check` finds each kind of failure, and the project skeleton passes it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from slipway.dependencies.dvcfile import dvc_yaml
from slipway.dependencies.generate import generate
from slipway.project import Project
from slipway.projects.check import repository_shortfalls, shortfalls
from slipway.projects.scaffold import create
from tests.conftest import ROOT


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A repository without projects, with the library and locks of this checkout."""
    (tmp_path / "slipway").symlink_to(ROOT / "slipway")
    # A copy: a test generates pins.json anew.
    environment = Path("infra", "environment")
    shutil.copytree(ROOT / environment, tmp_path / environment)
    return tmp_path


@pytest.fixture
def project(top: Path) -> Project:
    """A copy of Titanic in a separate repository."""
    place = top / "pipelines" / "ml" / "titanic"
    ignored = shutil.ignore_patterns("work", "__pycache__")
    shutil.copytree(ROOT / "pipelines" / "ml" / "titanic", place, ignore=ignored)
    return Project(place)


def replace(file: str, old: str, new: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1))

    return damage


def test_the_unchanged_copy_passes(project: Project) -> None:
    assert shortfalls(project) == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "train.py").unlink(), "files: no train.py"),
        (replace("model.py", "Limits: ", "Bounds: "), "card: model.py's docstring has no line \"L"),
        (replace("model.py", "the Titanic?", "the Titanic."), "card: the first line"),
        (
            replace("model.py", "import numpy as np", "import pandas"),
            "imports pandas; serving lacks it",
        ),
        (
            replace("model.py", "import numpy as np", "from . import data"),
            "data.py line 3 imports pandas; serving lacks it",
        ),
        (
            replace("model.py", "import numpy as np", "import cv2"),
            "imports cv2; serving lacks it without requires: [vision] in params.yaml",
        ),
        (replace("train.py", "import numpy as np", "import services"), "imports services"),
        (
            replace("data.py", "import pandas", "import pipelines.ml.spam.data\nimport pandas"),
            "projects must be independent",
        ),
        (
            replace("dvc.yaml", "cmd: python", "cmd: python3"),
            "(prepare lacks python -m slipway prepare; prepare has python3 -m slipway prepare too",
        ),
        (replace("dvc.yaml", "stages:", "stages: ["), "(it cannot be read)"),
        (
            replace("train.py", "import numpy as np", "import numpy as np\n\nfrom . import data"),
            "dvc: dvc.yaml is not up to date with the imports: run `slipway check --write`",
        ),
        (
            replace("data.py", "SCHEMA = ", "def other(name):\n    fetch(name)\n\n\nSCHEMA = "),
            "write the name as a string literal in the call",
        ),
        (
            replace("train.py", "import numpy as np", "import slipway.reporting.plots"),
            "fit: fit imports slipway/reporting/plots.py",
        ),
        (
            replace("train.py", "import numpy as np", "from . import report"),
            "fit: fit imports report.py",
        ),
        (replace("params.yaml", "dataset: titanic", "dataset: olympic"), "no data set 'olympic'"),
        (replace("params.yaml", "parity_error", "parity_err"), "no condition on parity_error"),
        (replace("params.yaml", "primary:", "primry:"), "primry"),
        (replace("params.yaml", '>= 0.78"', '>= 0.99"'), "gate not met: accuracy >= 0.99, got"),
        (
            replace("metrics.json", '"baseline_accuracy"', '"baseline_precision"'),
            "test_baseline: metrics.json has no baseline_accuracy: score the baseline on the test",
        ),
        (
            replace("metrics.json", '"baseline_accuracy": 0', '"baseline_accuracy": 1'),
            "is not better than the baseline's 1.",
        ),
        (
            replace("metrics.json", '"accuracy_low"', '"accuracy_least"'),
            "interval: metrics.json has no accuracy_low and accuracy_high",
        ),
        (
            replace("metrics.json", '"accuracy_low": 0', '"accuracy_low": 1'),
            "is outside its interval 1.",
        ),
        (
            replace("params.yaml", "gate:\n  #", 'gate:\n  accuracy_low: ">= 0.1"\n  #'),
            'reasons: no comment says why the gate is accuracy_low: ">= 0.1"',
        ),
        (replace("README.md", "| accuracy | ", "| accuracy | 9"), "run `slipway readme`"),
        (replace("README.md", "<!-- results -->", ""), "lacks the marks for results"),
        (lambda folder: (folder / "big.bin").write_bytes(b"x" * 200_001), "over 200 kB"),
        (lambda folder: (folder / "metrics.json").unlink(), "metrics: no metrics.json"),
        (
            lambda folder: (folder / "long.py").write_text(
                '"""Says."""\n\n# So.\n' + "a = 1\n" * 301
            ),
            "lines: long.py has 301 lines of code, over 300: split it",
        ),
    ],
)
def test_each_failure_is_found(
    project: Project, damage: Callable[[Path], None], message: str
) -> None:
    damage(project.folder)
    assert any(message in line for line in shortfalls(project)), shortfalls(project)


def test_a_new_file_is_a_dependency_once_it_is_generated(project: Project) -> None:
    train, dvc = project.folder / "train.py", project.folder / "dvc.yaml"
    (project.folder / "families.py").write_text("SIZE = 7\n")
    train.write_text(f"from . import families\n{train.read_text()}")
    stale = [
        "ml/titanic: dvc: dvc.yaml is not up to date with the imports: run `slipway check --write` "
        "(fit lacks families.py)"
    ]
    assert shortfalls(project) == stale
    top = project.folder.parents[2]
    # pins.json is that of this checkout, and up to date.
    assert list(generate(top, [project])) == [dvc]
    assert shortfalls(project) == []
    assert "      - families.py\n" in dvc.read_text()
    assert list(generate(top, [project])) == []


def test_a_model_may_import_siblings_and_what_it_requires(project: Project) -> None:
    model, params = project.folder / "model.py", project.folder / "params.yaml"
    (project.folder / "edges.py").write_text("import cv2\nimport av\n")
    model.write_text(model.read_text().replace("import numpy as np", "from . import edges", 1))
    lines = [line for line in shortfalls(project) if ": imports: " in line]
    assert lines == [
        "ml/titanic: imports: edges.py line 1 imports cv2; serving lacks it without requires: "
        "[vision] in params.yaml",
        "ml/titanic: imports: edges.py line 2 imports av; serving lacks it without requires: "
        "[audio or vision] in params.yaml",
    ]
    params.write_text(f"{params.read_text()}requires: [vision]\n")
    assert not [line for line in shortfalls(Project(project.folder)) if ": imports: " in line]


def test_the_stages_depend_on_the_parameters_of_slow_models_and_media(project: Project) -> None:
    params = project.folder / "params.yaml"
    before = dvc_yaml(project)
    assert "      - parity\n" not in before
    assert "slipway/quality/media_differences.py" not in before
    params.write_text(f"{params.read_text()}parity: {{kind: boxes}}\nbatch: 16\n")
    stages = yaml.safe_load(dvc_yaml(Project(project.folder)))["stages"]
    assert {"batch", "parity"} <= set(filter(is_text, stages["fit"]["params"]))
    assert "batch" in stages["evaluate"]["params"]
    assert "../../../slipway/quality/media_differences.py" in stages["fit"]["deps"]
    assert "../../../slipway/quality/media_differences.py" not in stages["evaluate"]["deps"]


def is_text(value: object) -> bool:
    return isinstance(value, str)


def test_without_parity_the_gate_needs_no_condition_on_it(project: Project) -> None:
    params = project.folder / "params.yaml"
    lines = params.read_text().splitlines()
    without = [line for line in lines if not line.strip().startswith("parity_")]
    params.write_text("\n".join([*without, ""]))
    gates = [line for line in shortfalls(Project(project.folder)) if ": gate: " in line]
    assert gates == [
        "ml/titanic: gate: the gate has no condition on parity_error",
        "ml/titanic: gate: the gate has no condition on parity_agreement",
    ]
    params.write_text(f"{params.read_text()}parity: {{kind: none, reason: it has no weights}}\n")
    assert not [line for line in shortfalls(Project(project.folder)) if ": gate: " in line]


def test_pins_that_differ_from_the_locks_are_found(tmp_path: Path) -> None:
    locks = tmp_path / "infra" / "environment" / "locks"
    shutil.copytree(ROOT / "infra" / "environment" / "locks", locks)
    assert repository_shortfalls(tmp_path) == []
    lock = locks / "development.txt"
    lock.write_text(lock.read_text().replace("scikit-learn==", "scikit-learn==9"))
    (found,) = repository_shortfalls(tmp_path)
    assert "pins.json is not up to date with the locks" in found


def test_an_exemption_needs_a_check_that_exists_and_fails(project: Project) -> None:
    file = project.folder / "params.yaml"
    original = file.read_text()
    (project.folder / "dvc.yaml").write_text("stages: {}\n")
    file.write_text(original + "exempt: {dvc: another way}\n")
    assert shortfalls(Project(project.folder)) == []
    file.write_text(original + "exempt: {dvc: another way, size_of: none}\n")
    assert shortfalls(Project(project.folder)) == [
        "ml/titanic: exempt: no check is called 'size_of'"
    ]
    file.write_text(original + "exempt: {dvc: another way, card: none}\n")
    assert shortfalls(Project(project.folder)) == [
        "ml/titanic: exempt: card passes: remove its exemption"
    ]


def test_the_skeleton_only_lacks_its_metrics(top: Path) -> None:
    for place in ("ml/one", "dl/two", "cv/three"):
        failures = shortfalls(Project(create(place, top)))
        assert failures == [f"{place}: metrics: no metrics.json: run dvc repro and commit it"]


@pytest.mark.parametrize("place", ["one", "ml/", "ml/One", "xx/one", "ml/1", "ml/a b", "ml/../x"])
def test_bad_names_are_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(ValueError, match="a project is one of"):
        create(place, tmp_path)


def test_a_name_must_be_unique_across_tracks(top: Path) -> None:
    create("ml/one", top)
    with pytest.raises(FileExistsError, match="pipelines/ml/one exists"):
        create("dl/one", top)
