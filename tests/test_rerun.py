"""Test tests/rerun.py with a suite of tests that fail once, always or never."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, pytest_plugins

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("tests/rerun.py",)

# `once` fails in the first run only: it leaves a file behind by which the second run knows.
SUITE = """
import os
from pathlib import Path

import pytest

SEEN = Path(__file__).with_name("seen")


def test_passes():
    pass


@pytest.mark.parametrize("name", ["a", "mail@b"])
def test_once(name):
    mark = SEEN / name
    if not mark.exists():
        mark.mkdir(parents=True)
        raise AssertionError("the first time")
"""
ALWAYS = """
def test_always():
    assert "left" == "right"
"""
IN_ORDER = """
from pathlib import Path

import pytest

pytestmark = pytest.mark.in_order
STEPS = []


def test_first_step():
    STEPS.append("first")


def test_second_step():
    assert STEPS == ["first"]
    mark = Path(__file__).with_name("second_step_seen")
    if not mark.exists():
        mark.touch()
        raise AssertionError("the first time")
"""
FIXTURE = """
from pathlib import Path

import pytest


@pytest.fixture
def broken_once():
    mark = Path(__file__).with_name("fixture_seen")
    if not mark.exists():
        mark.touch()
        raise OSError("the first time")


def test_with_fixture(broken_once):
    pass
"""
WORKERS = ("-p", "xdist.plugin", "--numprocesses=2", "--dist=loadscope")


def run(folder: Path, *arguments: str, **suite: str) -> subprocess.CompletedProcess[str]:
    """Run the suite's files in a separate folder, without this run's settings."""
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    in_order\n")
    for name, text in suite.items():
        (folder / f"test_{name}.py").write_text(text)
    inherited = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    inherited.pop("SLIPWAY_TEST_TIER", None)
    # The plugins of other packages take 3 CPU seconds to import, and each run starts up to four
    # processes.
    inherited["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    return subprocess.run(
        [sys.executable, "-m", "tests.rerun", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def closing(done: subprocess.CompletedProcess[str]) -> str:
    """Return the figures of the last line, without the seconds."""
    last = done.stdout.splitlines()[-1]
    found = re.fullmatch(r"=+ (.+) in [\d.]+s(?: \([\d:]+\))? =+", last)
    assert found, done.stdout + done.stderr
    return found[1]


@pytest.mark.parametrize("workers", [(), WORKERS], ids=["one process", "two workers"])
def test_what_passes_the_second_time_is_flaky(tmp_path: Path, workers: tuple[str, ...]) -> None:
    done = run(tmp_path, *workers, suite=SUITE)
    assert done.returncode == 0, done.stdout + done.stderr
    flaky = [line for line in done.stdout.splitlines() if line.startswith("FLAKY: ")]
    assert sorted(flaky) == [
        "FLAKY: test_suite.py::test_once[a]",
        "FLAKY: test_suite.py::test_once[mail@b]",
    ]
    assert closing(done) == "3 passed, 2 rerun"


def test_the_second_run_takes_the_plugins_of_this_project(tmp_path: Path) -> None:
    """It has no pytest-xdist, whose hooks one of them implements."""
    (tmp_path / "conftest.py").write_text(f"pytest_plugins = {pytest_plugins!r}\n")
    done = run(tmp_path, *WORKERS, suite=SUITE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert closing(done) == "3 passed, 2 rerun"


@pytest.mark.parametrize("workers", [(), WORKERS], ids=["one process", "two workers"])
def test_what_fails_twice_fails_the_run(tmp_path: Path, workers: tuple[str, ...]) -> None:
    done = run(tmp_path, *workers, suite=SUITE, always=ALWAYS)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.count("FLAKY: ") == 2
    assert "FLAKY: test_always" not in done.stdout
    assert closing(done) == "1 failed, 3 passed, 3 rerun"


def test_a_file_whose_tests_build_on_each_other_is_repeated_whole(tmp_path: Path) -> None:
    done = run(tmp_path, steps=IN_ORDER)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "run again, alone: test_steps.py\n" in done.stdout
    assert "FLAKY: test_steps.py::test_second_step\n" in done.stdout
    assert closing(done) == "2 passed, 1 rerun"


def test_nothing_fails_and_nothing_is_repeated(tmp_path: Path) -> None:
    done = run(tmp_path, plain="def test_passes(): pass\n")
    assert done.returncode == 0
    assert "run again, alone" not in done.stdout
    assert closing(done) == "1 passed"


@pytest.mark.parametrize("workers", [(), WORKERS], ids=["one process", "two workers"])
def test_a_file_that_cannot_be_collected_fails_the_run(
    tmp_path: Path, workers: tuple[str, ...]
) -> None:
    done = run(tmp_path, *workers, "--continue-on-collection-errors", bad="import nowhere\n")
    assert done.returncode != 0
    assert "run again, alone" not in done.stdout


def test_a_crashed_worker_fails_the_run(tmp_path: Path) -> None:
    crash = "import os\n\ndef test_crash():\n    os._exit(1)\n"
    done = run(tmp_path, *WORKERS, crash=crash, plain="def test_passes(): pass\n")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "nothing is run again: the worker gw" in done.stdout


def test_many_failures_are_not_repeated(tmp_path: Path) -> None:
    many = "import pytest\n\n@pytest.mark.parametrize('n', range(51))\ndef test_n(n): assert 0\n"
    done = run(tmp_path, many=many)
    assert done.returncode == 1
    assert "nothing is run again: 51 failures are over 50" in done.stdout


def test_an_error_of_a_fixture_is_repeated_too(tmp_path: Path) -> None:
    done = run(tmp_path, suite=FIXTURE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert closing(done) == "1 passed, 1 rerun"
