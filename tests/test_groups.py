"""Tests of a file run in one process, and those of a project too, whatever their file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.groups import group_of

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
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["tests.groups"]\n')
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pyproject.toml").write_text("")
    for name in ("one", "two", "three", "four"):
        (tmp_path / f"test_{name}.py").write_text(
            "import os\nimport pytest\n\n\n"
            "@pytest.mark.parametrize('number', range(9))\n"
            "def test_it(number):\n"
            f"    with open({str(tmp_path / name)!r}, 'a') as file:\n"
            "        file.write(os.environ['PYTEST_XDIST_WORKER'] + '\\n')\n"
        )
    inherited = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "xdist.plugin", "-n3"),
            *("--dist=loadscope", "--no-loadscope-reorder"),
        ],
        cwd=tmp_path,
        env={**inherited, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
    )
    assert "36 passed" in done.stdout, done.stdout + done.stderr
    used = [(tmp_path / name).read_text().split() for name in ("one", "two", "three", "four")]
    assert [len(each) for each in used] == [9] * 4
    assert [len(set(each)) for each in used] == [1] * 4
