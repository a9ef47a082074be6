"""Timings of this machine, which the leaderboard shows next to the metrics."""

import json
import re
from pathlib import Path

import pytest

from slipway.project import Project, find
from slipway.projects import measured, overview
from slipway.projects.measured import Measured, NotTrainedHere
from slipway.training.workspace import Workspace
from tests.small_models import SmallModels
from tests.workspaces import linked


@pytest.fixture
def own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the measurements in the test's folder instead of this checkout."""
    monkeypatch.setattr(measured, "file", lambda: tmp_path / "measured.json")


@pytest.fixture
def loans(
    own_file: None, small_models: SmallModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """A small project, trained in a folder of this test."""
    work = linked(small_models.works["loans"], tmp_path / "loans")
    monkeypatch.setattr(Workspace, "for_project", classmethod(lambda _, project: work))
    return work.project


def test_a_project_of_pictures_is_timed(
    own_file: None, small_models: SmallModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its examples hold pictures as base64."""
    work = linked(small_models.works["shapes"], tmp_path / "shapes")
    monkeypatch.setattr(Workspace, "for_project", classmethod(lambda _, project: work))
    assert measured.measure([work.project])["shapes"].p50_ms > 0


def test_a_project_is_timed(loans: Project) -> None:
    found = measured.measure([loans])["loans"]
    timing = json.loads((Workspace.for_project(loans).volatile / "timing.json").read_text())
    assert found.fit_seconds == pytest.approx(timing["fit_seconds"], abs=0.05)
    assert 0 < found.p50_ms <= found.p99_ms
    assert measured.read() == {"loans": found}


def test_measurements_of_other_projects_are_kept(loans: Project) -> None:
    other = Measured(fit_seconds=1.5, p50_ms=0.25, p99_ms=3.5, drift="steady")
    measured.file().write_text(json.dumps({"other": other.model_dump()}))
    assert measured.measure([loans])["other"] == other
    assert set(measured.read()) == {"other", "loans"}


def test_an_untrained_project_is_named(loans: Project) -> None:
    (Workspace.for_project(loans).volatile / "timing.json").unlink()
    with pytest.raises(NotTrainedHere, match="loans was not trained .*: slipway repro loans"):
        measured.measure([loans])


def test_the_leaderboard_shows_timings(own_file: None) -> None:
    known = Measured(fit_seconds=1.5, p50_ms=0.25, p99_ms=3.5, drift="steady")
    measured.file().write_text(json.dumps({"titanic": known.model_dump()}))
    rows = overview.leaderboard().splitlines()
    [row] = [row for row in rows if row.startswith("| [titanic]")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    titles = [cell.strip() for cell in rows[4].strip("|").split("|")]
    row_by_title = dict(zip(titles, cells, strict=True))
    metrics = json.loads((find("titanic").folder / "metrics.json").read_text())["metrics"]
    interval = f"{metrics['accuracy_low']:.4g} to {metrics['accuracy_high']:.4g}"
    assert row_by_title["interval"] == interval
    assert row_by_title["baseline"] == f"{metrics['baseline_accuracy']:.4g}"
    assert row_by_title["data"] == "[titanic](../pipelines/datasets/titanic.yaml)"
    assert (row_by_title["trained in"], row_by_title["p50, p99"], row_by_title["drift"]) == (
        "1.5 s",
        "0.25, 3.5 ms",
        "steady",
    )
    lock = (find("titanic").folder / "dvc.lock").read_text()
    bytes_of_weights = re.search(r"path: work/weights\n\s+hash: md5\n.*\n\s+size: (\d+)", lock)
    assert bytes_of_weights
    assert row_by_title["size"] == f"{int(bytes_of_weights[1]) / 1e3:,.1f} KB"
    [other] = [row for row in rows if row.startswith("| [spam]")]
    assert other.endswith("|  |  |  |")
