"""Test tests/cpu_times.py: its sums, and the table in docs/testing.md."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import cpu_times
from tests.conftest import ROOT

BUSY = """
import subprocess, sys, time

WORK = "import time\\nwhile time.process_time() < {}: pass"


def test_own_process():
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass


def test_child_process():
    subprocess.run([sys.executable, "-c", WORK.format(0.5)], check=True)
"""
MEASURED = {
    "tier": "test",
    "tests": 1234,
    "lost": 0,
    "files": {
        "tests/services/test_a.py": 10.0,
        "tests/services/web/test_b.py": 1.5,
        "tests/test_c.py": 0.25,
        cpu_times.STARTING: 4.0,
    },
}


@pytest.mark.parametrize("workers", [(), ("-p", "xdist.plugin", "-n2")], ids=["one", "workers"])
def test_own_and_childrens_seconds_are_added_up(tmp_path: Path, workers: tuple[str, ...]) -> None:
    suite = tmp_path / "tests" / "folder" / "test_busy.py"
    suite.parent.mkdir(parents=True)
    suite.write_text(BUSY)
    (tmp_path / "pytest.ini").touch()
    inherited = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    inherited.pop(cpu_times.TIER, None)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.cpu_times", *workers],
        cwd=tmp_path,
        env={**inherited, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.partition("CPU seconds by folder")[2].splitlines()
    figures = {name: float(seconds) for seconds, name in map(str.split, filter(_is_row, lines))}
    # 0.3 s of this process and 0.5 s of the child, at least; 0.1 s for what is rounded away.
    assert figures["tests/folder"] >= 0.7
    assert figures["tests/folder/test_busy.py"] == figures["tests/folder"]


def _is_row(line: str) -> bool:
    return len(line.split()) == 2 and line.split()[0].replace(".", "").isdigit()


def test_folders_stand_dearest_first_with_their_sum() -> None:
    assert list(cpu_times.by_folder(MEASURED["files"]).items()) == [
        ("tests/services", 11.5),
        (cpu_times.STARTING, 4.0),
        ("tests", 0.25),
        ("all", 15.75),
    ]


def test_the_page_gets_the_table_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{cpu_times.START}\nstale\n{cpu_times.END}\n\nafter\n")
    cpu_times.write(page, MEASURED)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "stale" not in text
    assert "`make test` ran 1,234 tests." in text
    assert "| `tests/services/test_a.py` | 10.0 |" in text
    cpu_times.write(page, MEASURED)
    assert page.read_text() == text
    assert json.loads((tmp_path / "page.json").read_text()) == MEASURED


def test_a_page_without_marks_is_an_error(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("text\n")
    with pytest.raises(ValueError, match="has no place for the table"):
        cpu_times.write(page, MEASURED)


def test_the_pages_table_is_generated() -> None:
    """The block equals what the measurement beside the page generates.

    Before the first measurement there is no such file, and the block is empty.
    """
    page = ROOT / "docs" / "testing.md"
    measured = page.with_suffix(".json")
    block = f"{cpu_times.START}\n{cpu_times.END}"
    if measured.is_file():
        block = cpu_times.markdown(json.loads(measured.read_text()))
    assert block in page.read_text()
