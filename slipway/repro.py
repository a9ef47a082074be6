"""Run `dvc repro` for projects, some side by side; one that fails does not stop the others."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from slipway import home
from slipway.project import Project, discover

_printing = threading.Lock()
# Advice of DVC's that holds for a person at the keyboard, not here.
ADVICE = ("To track", "git add", "To enable", "dvc config", "Use `dvc push`")


def dvc_environment() -> dict[str, str]:
    """Stages call `python`: the one that runs this, even when its venv is not activated."""
    scripts = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", "")
    return {**os.environ, "PATH": f"{scripts}{os.pathsep}{path}", "PYTHONUNBUFFERED": "1"}


def repro(projects: Sequence[Project], *, jobs: int) -> list[str]:
    """Bring `projects` up to date; returns the names of those that failed.

    DVC locks what a stage touches, so disjoint projects run side by side.
    """
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        codes = list(pool.map(_one, projects))
    failed = [project.name for project, code in zip(projects, codes, strict=True) if code]
    if not failed:
        _leaderboard()
    return failed


def _leaderboard() -> None:
    """Its stage alone: the projects not asked for stay as they are.

    Where some were never trained it is written without its stage, whose lock would else name half
    of what it depends on; in an image there is no such page.
    """
    root, tell = home.root(), _labelled("leaderboard")
    page = yaml.safe_load((root / "params.yaml").read_text())["leaderboard"]["file"]
    if all((each.folder / "work" / "receipt.json").is_file() for each in discover()):
        dvc("repro", "--quiet", "--single-item", "leaderboard", tell=tell)
    elif (root / page).is_file():
        words = ("-m", "slipway", "leaderboard", page)
        python(*words, tell=tell, folder=root, environment=dvc_environment())


def _one(project: Project) -> int:
    start = time.perf_counter()
    target = project.folder.relative_to(home.root()) / "dvc.yaml"
    code = dvc("repro", str(target), tell=_labelled(project.name))
    state = f"failed (exit {code})" if code else "up to date"
    with _printing:
        print(f"{project.name}: {state}, {time.perf_counter() - start:.1f} s", flush=True)
    return code


def _labelled(label: str) -> Callable[[str], None]:
    """Prints a line with `label` before it."""

    def tell(told: str) -> None:
        with _printing:
            print(told if told.startswith(f"{label}: ") else f"{label}: {told}", flush=True)

    return tell


def dvc(
    *words: str,
    tell: Callable[[str], None],
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run dvc in `folder`, the root if none is given; each line goes to `tell` as it comes.

    It waits for the repository's lock; by itself DVC gives up after 3 s, too few on a busy machine.
    Returns its exit status.
    """

    def worth_telling(line: str) -> None:
        told = line.strip()
        if told and not told.startswith(ADVICE):
            tell(told)

    return python(
        *("-m", "dvc", "--wait-for-lock", *words),
        tell=worth_telling,
        folder=folder or home.root(),
        environment=environment or dvc_environment(),
    )


def python(
    *words: str, tell: Callable[[str], None], folder: Path, environment: Mapping[str, str]
) -> int:
    """Run this Python in `folder`; what it says and complains goes to `tell`, line by line.

    Returns its exit status.
    """
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
    )
    assert process.stdout is not None
    for line in process.stdout:
        tell(line.rstrip())
    return process.wait()
