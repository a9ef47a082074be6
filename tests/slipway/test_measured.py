"""Times of this machine, beside figures that are the same on every machine."""

import json
import re
from pathlib import Path

import pytest

from slipway import measured, overview
from slipway.measured import Measured, NotTrainedHere
from slipway.project import Project, find
from slipway.training.workspace import Workspace
from tests.small_models import SmallModels
from tests.workspaces import linked


@pytest.fixture
def own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is measured beside the test, not in this checkout."""
    monkeypatch.setattr(measured, "file", lambda: tmp_path / "measured.json")


@pytest.fixture
def loans(
    own_file: None, small_models: SmallModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """A small project, trained in a folder of this test's own."""
    work = linked(small_models.works["loans"], tmp_path / "loans")
    monkeypatch.setattr(Workspace, "of", classmethod(lambda _, project: work))
    return work.project


def test_times_are_those_of_this_machine(loans: Project) -> None:
    found = measured.measure([loans])["loans"]
    timing = json.loads((Workspace.of(loans).volatile / "timing.json").read_text())
    assert found.fit_seconds == pytest.approx(timing["fit_seconds"], abs=0.05)
    assert 0 < found.p50_ms <= found.p99_ms
    assert measured.read() == {"loans": found}


def test_what_is_known_of_others_stays(loans: Project) -> None:
    other = Measured(fit_seconds=1.5, p50_ms=0.25, p99_ms=3.5, drift="steady")
    measured.file().write_text(json.dumps({"other": other.model_dump()}))
    assert measured.measure([loans])["other"] == other
    assert set(measured.read()) == {"other", "loans"}


def test_what_was_not_trained_here_is_named(loans: Project) -> None:
    (Workspace.of(loans).volatile / "timing.json").unlink()
    with pytest.raises(NotTrainedHere, match="loans was not trained .*: slipway repro loans"):
        measured.measure([loans])


def test_the_leaderboard_shows_them_beside_data_and_size(own_file: None) -> None:
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
