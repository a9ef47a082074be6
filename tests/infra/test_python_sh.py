"""`python.sh` finds a Python 3.11, or says how to install one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

FOLDER = ROOT / "infra" / "environment"
SYSTEM = ("/usr/bin/python3.11", "/usr/local/bin/python3.11")


def script(tmp_path: Path) -> Path:
    """A copy without absolute paths of Pythons, so that this machine's own are ignored."""
    text = (FOLDER / "python.sh").read_text()
    for number, file in enumerate(SYSTEM):
        assert file in text
        text = text.replace(file, str(tmp_path / f"system-{number}"))
    copy = tmp_path / "python.sh"
    copy.write_text(text)
    return copy


def program(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


def python(file: Path, version: str) -> Path:
    """Write a program that responds like a Python of this version."""
    return program(file, f'echo "{version} {file}"')


def find(tmp_path: Path, **variables: object) -> "subprocess.CompletedProcess[str]":
    """Run the script with only `bin` on PATH."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    env = {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path)}
    return subprocess.run(
        ["/bin/sh", script(tmp_path)],
        env=env | {name: str(value) for name, value in variables.items()},
        capture_output=True,
        text=True,
    )


def test_without_python_it_says_how_to_install_one(tmp_path: Path) -> None:
    done = find(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("environment: Python 3.11 is needed and was not found.")
    for way in (
        "sudo apt install python3.11 python3.11-venv",
        "uv python install 3.11",
        "pyenv install 3.11",
        "make PYTHON=/path/to/python3.11",
    ):
        assert way in done.stderr
    # The shell prints no errors.
    assert ": not found" not in done.stderr


@pytest.mark.parametrize(
    "place",
    [
        "bin/python3.11",
        "system-0",
        "system-1",
        "bin/python3",
        ".pyenv/versions/3.11.9/bin/python3.11",
    ],
)
def test_each_usual_place_is_tried(tmp_path: Path, place: str) -> None:
    wanted = python(tmp_path / place, "3.11")
    done = find(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{wanted}\n", "")


def test_another_version_and_what_does_not_run_are_passed_over(tmp_path: Path) -> None:
    python(tmp_path / "bin" / "python3", "3.12")
    # pyenv's python3.11 exists but does not run if no 3.11 is selected.
    program(
        tmp_path / "bin" / "python3.11", "echo 'pyenv: python3.11: command not found' >&2; exit 127"
    )
    assert find(tmp_path).returncode == 1
    wanted = python(tmp_path / "system-1", "3.11")
    done = find(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{wanted}\n", "")


def test_uv_is_tried_last_and_downloads_nothing(tmp_path: Path) -> None:
    wanted = python(tmp_path / "of uv" / "python3.11", "3.11")
    program(
        tmp_path / "bin" / "uv",
        f'[ "$UV_PYTHON_DOWNLOADS $*" = "never python find 3.11" ] && echo "{wanted}"',
    )
    assert find(tmp_path).stdout == f"{wanted}\n"
    own = python(tmp_path / "bin" / "python3.11", "3.11")
    assert find(tmp_path).stdout == f"{own}\n"


def test_a_python_that_is_named_is_taken_or_refused(tmp_path: Path) -> None:
    python(tmp_path / "bin" / "python3.11", "3.11")
    wanted = python(tmp_path / "mine", "3.11")
    assert find(tmp_path, PYTHON=wanted).stdout == f"{wanted}\n"
    older = python(tmp_path / "bin" / "older", "3.9")
    for named, message in (
        (older, "is Python 3.9"),
        ("older", "is Python 3.9"),
        ("no", "does not run"),
    ):
        done = find(tmp_path, PYTHON=named)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"PYTHON={named} {message}" in done.stderr


def test_of_a_virtual_environment_it_names_the_python_that_made_it(tmp_path: Path) -> None:
    """`make` puts .venv first on PATH, and .venv cannot be created from itself."""
    done = find(tmp_path, PYTHON=sys.executable)
    found = Path(done.stdout.strip())
    assert found.is_file()
    assert not found.is_relative_to(sys.prefix)


def test_a_python_without_venv_is_named(tmp_path: Path) -> None:
    """Debian has ensurepip in a separate package, python3.11-venv."""
    (tmp_path / "ensurepip.py").write_text("raise ModuleNotFoundError('ensurepip')")
    done = subprocess.run(
        [sys.executable, FOLDER / "environment.py", "install", "--into", tmp_path / "venv"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "has no venv module; on Debian: apt install python3.11-venv" in done.stderr
    assert "Traceback" not in done.stderr
