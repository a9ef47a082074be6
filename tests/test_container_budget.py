"""Test the budget of the container tests with a suite without containers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

# The second test waits forever, until the budget ends it.
SUITE = """
import threading

import pytest

pytestmark = pytest.mark.quick_container


@pytest.fixture(scope="module")
def stack():
    yield
    print("torn down")


def test_first(stack):
    assert {first}


def test_endless(stack):
    threading.Event().wait()


def test_last(stack):
    pass
"""
PLAIN = """
import pytest


@pytest.mark.quick_container
def test_quick():
    pass


def test_slow():
    pass
"""
# The clock starts when the endless test does, so no slow machine ends the first one.
PROGRAM = """
import sys

from tests.containers.budget import Budget, run


class Late(Budget):
    def pytest_sessionstart(self, session):
        self.session = session

    def pytest_runtest_logstart(self, nodeid):
        if nodeid.endswith("test_endless"):
            super().pytest_sessionstart(self.session)


sys.exit(run(["-s", "-p", "no:cacheprovider"], Late(float(sys.argv[1]), grace=0.5)))
"""


def budgeted(folder: Path, suite: str, seconds: float) -> subprocess.CompletedProcess[str]:
    """Run the suite in a separate folder, without this run's settings."""
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    quick_container\n")
    (folder / "test_suite.py").write_text(suite)
    inherited = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(seconds)],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(("first", "status"), [("True", 0), ("False", 1)])
def test_an_unfinished_tier_fails_only_if_a_test_did(
    tmp_path: Path, first: str, status: int
) -> None:
    done = budgeted(tmp_path, SUITE.format(first=first), 1)
    assert done.returncode == status, done.stdout + done.stderr
    assert "torn down" in done.stdout
    reason = "the 1 s for containers were over"
    assert f"NOT RUN: test_suite.py::test_endless: {reason}" in done.stdout
    assert f"NOT RUN: test_suite.py::test_last: {reason}" in done.stdout
    assert "test_first: the 1 s" not in done.stdout


def test_within_the_budget_all_marked_tests_run(tmp_path: Path) -> None:
    done = budgeted(tmp_path, PLAIN, 3600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed, 1 deselected" in done.stdout
    assert "NOT RUN: 1 tests without the marker quick_container" in done.stdout


def test_a_file_that_cannot_be_collected_fails_the_run(tmp_path: Path) -> None:
    done = budgeted(tmp_path, "import nowhere\n", 3600)
    assert done.returncode == 2, done.stdout + done.stderr
