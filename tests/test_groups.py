"""Tests of a file run in one process, and those of a project too, whatever their file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.groups import group_of, start_first

PROJECTS = {"titanic", "spam"}


@pytest.mark.parametrize(
    ("nodeid", "group"),
    [
        ("tests/slipway/test_x.py::test_a[titanic]", "tests/slipway/test_x.py"),
        ("tests/pipelines/test_titanic.py::test_a", "titanic"),
        ("tests/pipelines/test_titanic.py::Many::test_a[1-2]", "titanic"),
        ("tests/pipelines/test_projects.py::test_a[titanic]", "titanic"),
        ("tests/pipelines/test_projects.py::test_a[x-spam]", "spam"),
        ("tests/pipelines/test_projects.py::test_whole", "tests/pipelines/test_projects.py"),
        ("tests/pipelines/test_readmes.py::test_a[titanic]", "tests/pipelines/test_readmes.py"),
    ],
)
def test_the_group_is_the_file_or_the_project(nodeid: str, group: str) -> None:
    assert group_of(nodeid, PROJECTS) == group


def test_workers_get_whole_groups(tmp_path: Path) -> None:
    """Three real workers: each file's tests were run by one of them."""
    (tmp_path / "pipelines").mkdir()
    for name in ("one", "two", "three", "four"):
        (tmp_path / f"test_{name}.py").write_text(
            "import os\nimport pytest\n\n\n"
            "@pytest.mark.parametrize('number', range(9))\n"
            "def test_it(number):\n"
            f"    with open({str(tmp_path / name)!r}, 'a') as file:\n"
            "        file.write(os.environ['PYTEST_XDIST_WORKER'] + '\\n')\n"
        )
    printed = run_pytest(
        *(tmp_path, "-p", "xdist.plugin", "-n3", "--dist=loadscope", "--no-loadscope-reorder")
    )
    assert "36 passed" in printed
    used = [(tmp_path / name).read_text().split() for name in ("one", "two", "three", "four")]
    assert [len(each) for each in used] == [9] * 4
    assert [len(set(each)) for each in used] == [1] * 4


def run_pytest(folder: Path, *options: str) -> str:
    """Run pytest in `folder`, with this plugin alone; return what it printed."""
    (folder / "conftest.py").write_text('pytest_plugins = ["tests.groups"]\n')
    (folder / "pyproject.toml").write_text("")
    inherited = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *options],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_dear_files_start_first_and_those_of_projects_do_not() -> None:
    measured = {
        "tests/test_a.py": 60.0,
        "tests/test_b.py": 1.0,
        "tests/test_c.py": 300.0,
        "tests/pipelines/test_projects.py": 250.0,
        "starting and collecting": 90.0,
    }
    assert start_first(measured) == ["tests/test_c.py", "tests/test_a.py"]


def test_the_collected_tests_are_in_that_order(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / f"test_{name}.py").write_text("def test_a(): pass\n\n\ndef test_b(): pass\n")
    wanted = ["test_one.py", "test_three.py", "test_two.py"]
    assert collected(tmp_path) == wanted
    (tmp_path / "docs").mkdir()
    measured = {"tests": 6, "files": {"test_two.py": 80, "test_three.py": 90, "test_one.py": 2}}
    (tmp_path / "docs" / "testing.json").write_text(json.dumps(measured))
    assert collected(tmp_path) == ["test_three.py", "test_two.py", "test_one.py"]


def collected(folder: Path) -> list[str]:
    """Return the files in the order of their tests, each of which has two."""
    lines = run_pytest(folder, "--collect-only").splitlines()
    files = [line.partition("::")[0] for line in lines if "::" in line]
    assert files[::2] == files[1::2]
    return files[::2]
