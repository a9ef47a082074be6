"""DVC, run for several projects at once."""

import shutil
import time
from pathlib import Path
from threading import Timer

import pytest
import yaml
import zc.lockfile

from slipway.project import find
from slipway.repro import dvc, repro
from tests.conftest import ROOT


def test_a_run_waits_while_another_holds_the_lock(tmp_path: Path) -> None:
    told: list[str] = []
    assert dvc("init", "--no-scm", "--quiet", tell=told.append, folder=tmp_path) == 0, told
    stage = {"cmd": "echo done > made.txt", "outs": ["made.txt"]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"make": stage}}))
    (tmp_path / ".dvc" / "tmp").mkdir(exist_ok=True)
    held = zc.lockfile.LockFile(str(tmp_path / ".dvc" / "tmp" / "lock"))
    # Twice as long as DVC waits by itself.
    seconds, start = 6.0, time.monotonic()
    Timer(seconds, held.close).start()
    assert dvc("repro", tell=told.append, folder=tmp_path) == 0, told
    assert time.monotonic() - start >= seconds
    assert (tmp_path / "made.txt").read_text() == "done\n"


@pytest.fixture
def untrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one project, as committed."""
    for name in ("pyproject.toml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    place = tmp_path / "pipelines" / "ml" / "titanic"
    shutil.copytree(
        find("titanic").folder, place, ignore=shutil.ignore_patterns("work", "__pycache__")
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_where_a_project_was_never_trained_the_leaderboard_is_written_without_a_lock(
    untrained: Path,
) -> None:
    page = untrained / "docs" / "leaderboard.md"
    page.parent.mkdir()
    page.write_text("before\n")
    assert repro([], jobs=1) == []
    assert "[titanic](../pipelines/ml/titanic/README.md)" in page.read_text()
    assert not (untrained / "dvc.lock").exists()


def test_an_image_has_no_leaderboard(untrained: Path) -> None:
    assert repro([], jobs=1) == []
    assert not (untrained / "docs").exists()


def test_a_leaderboard_that_cannot_be_made_is_told_and_stays(
    untrained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = untrained / "docs" / "leaderboard.md"
    page.parent.mkdir()
    page.write_text("before\n")
    (untrained / "pipelines" / "ml" / "titanic" / "params.yaml").write_text("dataset: 1\n")
    assert repro([], jobs=1) == []
    assert "leaderboard: " in capsys.readouterr().out
    assert page.read_text() == "before\n"
