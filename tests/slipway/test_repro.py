"""Running DVC for several projects in parallel."""

import os
import shutil
import threading
import time
from pathlib import Path
from threading import Timer

import psutil
import pytest
import yaml
import zc.lockfile

from slipway.processes import Children, Stopped
from slipway.project import discover, find
from slipway.repro import dvc, repro, training_log
from slipway.stage_events import Observer, StageReader, Training
from tests.conftest import ROOT, copy_checkout
from tests.services.server_fixture import TrainingRepository
from tests.waiting import PATIENCE, until


def test_a_run_waits_while_another_holds_the_lock(tmp_path: Path) -> None:
    lines: list[str] = []
    assert dvc("init", "--no-scm", "--quiet", tell=lines.append, folder=tmp_path) == 0, lines
    stage = {"cmd": "echo done > made.txt", "outs": ["made.txt"]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"make": stage}}))
    (tmp_path / ".dvc" / "tmp").mkdir(exist_ok=True)
    held = zc.lockfile.LockFile(str(tmp_path / ".dvc" / "tmp" / "lock"))
    # Twice as long as DVC waits by default.
    seconds, start = 6.0, time.monotonic()
    Timer(seconds, held.close).start()
    assert dvc("repro", tell=lines.append, folder=tmp_path) == 0, lines
    assert time.monotonic() - start >= seconds
    assert (tmp_path / "made.txt").read_text() == "done\n"


@pytest.fixture
def untrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one project that was never trained."""
    for name in ("pyproject.toml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    place = tmp_path / "pipelines" / "ml" / "titanic"
    shutil.copytree(
        find("titanic").folder, place, ignore=shutil.ignore_patterns("work", "__pycache__")
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_with_an_untrained_project_the_leaderboard_is_written_without_a_lock(
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


def test_a_failing_leaderboard_is_reported_and_the_old_one_stays(
    untrained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = untrained / "docs" / "leaderboard.md"
    page.parent.mkdir()
    page.write_text("before\n")
    (untrained / "pipelines" / "ml" / "titanic" / "params.yaml").write_text("dataset: 1\n")
    assert repro([], jobs=1) == []
    assert "leaderboard: " in capsys.readouterr().out
    assert page.read_text() == "before\n"


class Recorder(Observer):
    """Records what is reported."""

    def __init__(self) -> None:
        self.events: list[tuple[str, ...]] = []
        self.trainings: list[Training] = []

    def started(self, project: str) -> None:
        self.events.append((project, "started"))

    def stage_started(self, project: str, stage: str) -> None:
        self.events.append((project, stage, "started"))

    def stage_ended(self, project: str, stage: str, seconds: float) -> None:
        self.events.append((project, stage, "ended"))

    def ended(self, training: Training) -> None:
        self.trainings.append(training)


def read(lines: list[str], status: int) -> tuple[Recorder, Training]:
    recorder = Recorder()
    reader = StageReader("titanic", recorder)
    for line in lines:
        reader.read(line)
    return recorder, reader.end(status)


def test_the_stages_that_run_are_parsed_from_dvcs_output() -> None:
    recorder, training = read(
        [
            "Stage 'pipelines/ml/titanic/dvc.yaml:prepare' didn't change, skipping",
            "Running stage 'pipelines/ml/titanic/dvc.yaml:fit':",
            "> python -m slipway fit",
            "titanic: * boosting  accuracy 0.8",
            "Updating lock file 'pipelines/ml/titanic/dvc.lock'",
            "Stage 'pipelines/ml/titanic/dvc.yaml:evaluate' is cached - skipping run",
            "Running stage 'pipelines/ml/titanic/dvc.yaml:register':",
        ],
        0,
    )
    assert recorder.events == [
        ("titanic", "fit", "started"),
        ("titanic", "fit", "ended"),
        ("titanic", "register", "started"),
        ("titanic", "register", "ended"),
    ]
    assert training.stages == ("fit", "register")
    assert not training.failed


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["slipway: gate not met", "ERROR: failed to reproduce 'register'"], "gate not met"),
        (["ERROR: failed to reproduce 'fit'"], "failed to reproduce 'fit'"),
        (["Killed"], "dvc repro ended with status 255"),
    ],
)
def test_a_failure_has_a_reason_and_the_last_lines(lines: list[str], reason: str) -> None:
    running = "Running stage 'pipelines/ml/titanic/dvc.yaml:fit':"
    bar = "Loading weights:  45%|####      | 45/100"
    recorder, training = read([running, bar, *lines], 255)
    assert training.reason == reason
    assert training.tail == (running, *lines)
    assert ("titanic", "fit", "ended") not in recorder.events


def test_stop_ends_a_process_with_its_children(tmp_path: Path) -> None:
    children, lines = Children(), []
    command = ["bash", "-c", "sleep 1000 & echo $!; wait"]
    stopped: list[bool] = []

    def run() -> None:
        with pytest.raises(Stopped):
            children.run(command, tell=lines.append, folder=tmp_path, environment=os.environ)
        stopped.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: lines)
    sleeper = psutil.Process(int(lines[0]))
    children.stop()
    thread.join(PATIENCE)
    assert stopped
    until(lambda: not sleeper.is_running() or sleeper.status() == psutil.STATUS_ZOMBIE)
    with pytest.raises(Stopped):
        children.run(command, tell=lines.append, folder=tmp_path, environment=os.environ)


def test_a_failing_project_does_not_stop_the_others_and_its_output_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = TrainingRepository(tmp_path)
    copy_checkout(repository.folder, "params.yaml")
    own_home = repository.home("home")
    monkeypatch.chdir(repository.folder)
    for name, value in repository.variables(own_home, 1).items():
        monkeypatch.setenv(name, value)
    flowers, petals = discover()
    (flowers.folder / "train.py").write_text("raise ValueError('no flowers today')\n")
    recorder = Recorder()
    assert repro([flowers, petals], jobs=2, observer=recorder) == ["flowers"]
    reasons = {each.project: each.reason for each in recorder.trainings}
    assert reasons == {"flowers": "no flowers today", "petals": ""}
    stages = ("prepare", "fit", "evaluate", "register")
    assert [each for each in recorder.events if each[0] == "petals"] == [
        ("petals", "started"),
        *[("petals", stage, state) for stage in stages for state in ("started", "ended")],
    ]
    assert "Running stage 'pipelines/ml/petals/dvc.yaml:fit':" in training_log("petals").read_text()
    assert "ValueError: no flowers today" in training_log("flowers").read_text()

    # Without an observer every line is printed; a project that is up to date needs no DVC.
    assert repro([petals], jobs=1) == []
    printed = capsys.readouterr().out
    assert "didn't change" not in printed
    assert "petals: up to date, " in printed
    file = petals.folder / "train.py"
    file.write_text(f"{file.read_text()}\n# changed\n")
    assert repro([petals], jobs=1) == []
    printed = capsys.readouterr().out
    assert "petals: Stage 'pipelines/ml/petals/dvc.yaml:prepare' didn't change, skipping" in printed
    assert "petals: Running stage 'pipelines/ml/petals/dvc.yaml:fit':" in printed
