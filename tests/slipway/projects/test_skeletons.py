"""`slipway new --kit` writes projects that train through all stages, one for each kit."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.project import Project
from slipway.projects.check import shortfalls
from slipway.projects.scaffold import KITS, create
from tests.conftest import ROOT
from tests.forked import ForkedRuns
from tests.services.fake_models import empty_database

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("slipway/projects/*", "slipway/kits/*", "slipway/stages/*", "slipway/deep/*")

PLACES = {"tabular": "ml", "text": "dl", "sequence": "dl", "forecasting": "dl", "generative": "dl"}
STAGES = """
import sys
from importlib import import_module
from pathlib import Path
from slipway import arithmetic
arithmetic.pin()
from slipway.project import Project
from slipway.training.workspace import Workspace
folder, into = map(Path, sys.argv[1:])
work = Workspace.tiny(Project(folder), into)
for place, stage in (("stages", "prepare"), ("stages", "fit"), ("stages", "evaluate"),
                     ("registry", "register")):
    getattr(import_module(f"slipway.{place}.{stage}"), stage)(work)
"""


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A repository without projects, with the library, locks and data sets of this checkout."""
    (tmp_path / "pipelines").mkdir()
    for name in ("slipway", "infra", "pyproject.toml", "pipelines/datasets"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@pytest.fixture(scope="module")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedRuns]:
    """A process with the heavy imports, from which each training forks."""
    with ForkedRuns(tmp_path_factory.mktemp("forked")) as runs:
        yield runs


@pytest.mark.parametrize("kit", KITS)
def test_a_kits_skeleton_trains_through_all_stages(
    kit: str, top: Path, own_home: Path, forked: ForkedRuns
) -> None:
    folder = create(f"{PLACES.get(kit, 'cv')}/my_{kit}", top, kit)
    place = folder.relative_to(top / "pipelines").as_posix()
    assert shortfalls(Project(folder)) == [
        f"{place}: metrics: no metrics.json: run dvc repro and commit it"
    ]
    if not (own_home / "mlflow.db").exists():
        shutil.copy(empty_database(), own_home / "mlflow.db")
    into = top / "trained"
    done = forked.run(STAGES, folder, into, folder=top)
    assert done.status == 0, done.output
    assert json.loads((into / "work" / "receipt.json").read_text())["project"] == f"my_{kit}"
    metrics = json.loads((into / "metrics.json").read_text())
    assert Project(folder).params.primary in metrics["metrics"]
    assert "baseline" in metrics["candidates"]
    pictures = list((into / "work" / "report").glob("*.png"))
    assert len(pictures) >= 2
    assert all(file.stat().st_size < 200_000 for file in pictures)


def test_an_unknown_kit_is_refused(top: Path) -> None:
    with pytest.raises(ValueError, match="--kit must be one of .*, got 'vision'"):
        create("cv/mine", top, "vision")


def test_the_kits_page_shows_the_skeleton_of_a_picture_classifier(top: Path) -> None:
    page = (ROOT / "docs" / "kits.md").read_text()
    folder = create("cv/digits", top, "image_classification")
    for file in ("model.py", "data.py", "train.py", "report.py"):
        assert f"`{file}`:\n\n```python\n{(folder / file).read_text()}```\n" in page


def test_the_kits_page_has_a_row_for_each_kit() -> None:
    page = (ROOT / "docs" / "kits.md").read_text()
    assert [kit for kit in KITS if f"| `{kit}` |" not in page] == []
