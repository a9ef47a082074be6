"""Times of this machine, beside figures that are the same on every machine."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from slipway import measured, overview
from slipway.measured import Measured, NotTrainedHere
from slipway.project import Project, find
from slipway.training import stages
from slipway.training.workspace import Workspace


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    work = Workspace.tiny(find("titanic"), tmp_path_factory.mktemp("trained"))
    for stage in (stages.prepare, stages.fit, stages.evaluate):
        stage(work)
    return work


@pytest.fixture
def titanic(trained: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """As trained on few rows, in place of what this checkout has of it."""
    work = replace(trained, folder=tmp_path / "titanic")
    shutil.copytree(trained.folder, work.folder)
    monkeypatch.setattr(Workspace, "of", classmethod(lambda _, project: work))
    monkeypatch.setattr(measured, "file", lambda: tmp_path / "measured.json")
    return work.project


def test_times_are_those_of_this_machine(titanic: Project) -> None:
    found = measured.measure([titanic])["titanic"]
    timing = json.loads((Workspace.of(titanic).volatile / "timing.json").read_text())
    assert found.fit_seconds == pytest.approx(timing["fit_seconds"], abs=0.05)
    assert 0 < found.p50_ms <= found.p99_ms
    assert measured.read() == {"titanic": found}


def test_what_is_known_of_others_stays(titanic: Project) -> None:
    other = Measured(fit_seconds=1.5, p50_ms=0.25, p99_ms=3.5, drift="steady")
    measured.file().write_text(json.dumps({"other": other.model_dump()}))
    assert measured.measure([titanic])["other"] == other
    assert set(measured.read()) == {"other", "titanic"}


def test_what_was_not_trained_here_is_named(titanic: Project) -> None:
    (Workspace.of(titanic).volatile / "timing.json").unlink()
    with pytest.raises(NotTrainedHere, match="titanic was not trained .*: slipway repro titanic"):
        measured.measure([titanic])


def test_the_leaderboard_shows_them_beside_data_and_size(titanic: Project) -> None:
    known = Measured(fit_seconds=1.5, p50_ms=0.25, p99_ms=3.5, drift="steady")
    measured.file().write_text(json.dumps({"titanic": known.model_dump()}))
    rows = overview.leaderboard().splitlines()
    [row] = [row for row in rows if row.startswith("| [titanic]")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    titles = [cell.strip() for cell in rows[4].strip("|").split("|")]
    told = dict(zip(titles, cells, strict=True))
    assert told["data"] == "[titanic](../pipelines/datasets/titanic.yaml)"
    assert (told["trained in"], told["p50, p99"], told["drift"]) == (
        "1.5 s",
        "0.25, 3.5 ms",
        "steady",
    )
    lock = (find("titanic").folder / "dvc.lock").read_text()
    bytes_of_weights = re.search(r"path: work/weights\n\s+hash: md5\n.*\n\s+size: (\d+)", lock)
    assert bytes_of_weights
    assert told["size"] == f"{int(bytes_of_weights[1]) / 1e3:,.1f} KB"
    [other] = [row for row in rows if row.startswith("| [spam]")]
    assert other.endswith("|  |  |  |")
