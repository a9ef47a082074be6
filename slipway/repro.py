"""Run `dvc repro` for projects, several in parallel; a failure does not stop the others."""

import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from slipway import home
from slipway.dependencies.lock import is_current
from slipway.processes import Children
from slipway.project import Project, discover
from slipway.stage_events import Observer, StageReader, Training

# The beginnings of DVC's hints, which are for interactive use.
HINTS = ("To track", "git add", "To enable", "dvc config", "Use `dvc push`")


def dvc_environment() -> dict[str, str]:
    """Return the environment in which `python` is this interpreter, even without an active venv."""
    scripts = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", "")
    return {**os.environ, "PATH": f"{scripts}{os.pathsep}{path}", "PYTHONUNBUFFERED": "1"}


class EveryLine(Observer):
    """Prints every line of DVC and the stages with the project's name before it."""

    def __init__(self) -> None:
        self._printing = threading.Lock()

    def line(self, project: str, text: str) -> None:
        with self._printing:
            labelled = text.startswith(f"{project}: ")
            print(text if labelled else f"{project}: {text}", flush=True)

    def ended(self, training: Training) -> None:
        state = f"failed ({training.reason})" if training.failed else "up to date"
        self.line(training.project, f"{state}, {training.seconds:.1f} s")


def repro(projects: Sequence[Project], *, jobs: int, observer: Observer | None = None) -> list[str]:
    """Bring `projects` up to date; return the names of those that failed.

    DVC locks what a stage touches, so independent projects run in parallel. Without an observer
    every line is printed. Ctrl-C stops the running projects, and no further one is started.
    """
    children, shown = Children(), observer or EveryLine()
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        try:
            ended = list(pool.map(lambda each: train(each, shown, children), projects))
        except BaseException:
            children.stop()
            raise
    failed = [training.project for training in ended if training.failed]
    if not failed:
        leaderboard(shown, children)
    return failed


def train(project: Project, observer: Observer, children: Children) -> Training:
    """Bring one project up to date, and report its stages to the observer.

    The output of DVC and the stages is also written to the project's log.

    Raises:
        slipway.processes.Stopped: `children` was stopped.
    """
    observer.started(project.name)
    reader = StageReader(project.name, observer)
    status = 0 if _is_current(project) else _dvc_repro(project, reader, children)
    training = reader.end(status)
    observer.ended(training)
    return training


def _is_current(project: Project) -> bool:
    """Return whether `dvc repro` would run none of the project's stages.

    DVC reads the whole repository before it looks at one project, which takes seconds; this takes
    milliseconds. A test compares the two results.
    """
    return is_current(project.folder)


def training_log(project: str) -> Path:
    """Return the file with the output of the project's last `dvc repro`."""
    return home.home() / "logs" / f"train-{project}.log"


def _dvc_repro(project: Project, reader: StageReader, children: Children) -> int:
    target = project.folder.relative_to(home.root()) / "dvc.yaml"
    file = training_log(project.name)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", buffering=1) as log:

        def tell(line: str) -> None:
            log.write(f"{line}\n")
            reader.read(line)

        return dvc("repro", str(target), tell=tell, children=children)


def leaderboard(observer: Observer, children: Children) -> None:
    """Bring the leaderboard up to date without training any project.

    If some projects were never trained it is written outside its DVC stage, because the stage's
    lock would name only part of its dependencies. Images have no leaderboard.
    """

    def tell(line: str) -> None:
        observer.line("leaderboard", line)

    root = home.root()
    page = yaml.safe_load((root / "params.yaml").read_text())["leaderboard"]["file"]
    if all((each.folder / "work" / "receipt.json").is_file() for each in discover()):
        dvc("repro", "--quiet", "--single-item", "leaderboard", tell=tell, children=children)
    elif (root / page).is_file():
        words = ("-m", "slipway", "leaderboard", page)
        environment = dvc_environment()
        python(*words, tell=tell, folder=root, environment=environment, children=children)


def dvc(
    *words: str,
    tell: Callable[[str], None],
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    children: Children | None = None,
) -> int:
    """Run DVC in `folder`, by default the root; pass each line of its output to `tell`.

    DVC waits for the repository's lock; by default it gives up after 3 s, too soon on a busy
    machine. Returns the exit status.
    """

    def tell_without_hints(line: str) -> None:
        text = line.strip()
        if text and not text.startswith(HINTS):
            tell(text)

    return python(
        *("-m", "dvc", "--wait-for-lock", *words),
        tell=tell_without_hints,
        folder=folder or home.root(),
        environment=environment or dvc_environment(),
        children=children,
    )


def python(
    *words: str,
    tell: Callable[[str], None],
    folder: Path,
    environment: Mapping[str, str],
    children: Children | None = None,
) -> int:
    """Run this Python interpreter in `folder`; pass each line of output and errors to `tell`.

    Returns the exit status.
    """
    runner = children or Children()
    command = (sys.executable, *words)
    return runner.run(command, tell=tell, folder=folder, environment=environment)
