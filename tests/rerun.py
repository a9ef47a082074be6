"""Run pytest; run what failed once more, alone; print what then passes as `FLAKY: <node id>`.

    python -m tests.rerun ARGUMENTS OF PYTEST

The second run starts in a fresh process without pytest-xdist, so neither the load of other workers
nor what an earlier test left in memory is there. A test that fails twice fails the run. So do, at
once, a test file that cannot be collected, a worker that crashed, an interrupted run, and more than
`MOST` failures, which are no accident.

A file marked `in_order` is repeated as a whole, since its tests build on the ones before them.
The last line is pytest's closing line with the figures of both runs; the exit status decides.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

MOST = 50
IN_ORDER = "in_order"
# Where the second run writes what it found.
RESULT = "SLIPWAY_RERUN_RESULT"
# The node ids that failed in the first run, for the second to print which of them passed.
FAILED = "SLIPWAY_RERUN_FAILED"
# Figures of the first run that describe the tests of a whole tier. A rerun must not replace them.
TIER = "SLIPWAY_TEST_TIER"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Add to the report how the test is named on a command line.

    Reports travel from the workers with their attributes.
    """
    report = yield
    assert item.parent is not None
    report.exact_id = f"{item.parent.nodeid}::{item.name}"
    module = item.getparent(pytest.Module)
    whole_file = module is not None and item.get_closest_marker(IN_ORDER) is not None
    report.rerun_id = module.nodeid if module and whole_file else report.exact_id
    return report


class Recorder:
    """Remember what failed, in the process that sees all reports."""

    def __init__(self) -> None:
        self.failed: dict[str, str] = {}
        """Node ids of failed tests, and what to run again for each."""
        self.passed: set[str] = set()
        self.fatal: list[str] = []
        """The reason why nothing is run again."""
        self.counts: dict[str, int] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = getattr(report, "exact_id", report.nodeid)
        if report.failed:
            self.failed[name] = getattr(report, "rerun_id", name)
        elif report.when == "call" and report.passed:
            self.passed.add(name)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.fatal.append(f"{report.nodeid or 'a test file'} could not be collected")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        if error:
            self.fatal.append(f"the worker {node.gateway.id} crashed")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        categories = ("failed", "passed", "skipped", "xfailed", "xpassed", "error")
        self.counts = {name: len(terminalreporter.stats.get(name, ())) for name in categories}
        if RESULT in os.environ:
            for name in self.flaky(json.loads(os.environ[FAILED])):
                terminalreporter.write_line(f"FLAKY: {name}")

    def flaky(self, failed_first: list[str]) -> list[str]:
        """Return which of the tests that failed in the first run have passed now."""
        return [name for name in failed_first if name in self.passed - self.failed.keys()]


def run(arguments: list[str]) -> tuple[int, Recorder]:
    """Run pytest in this process; returns its exit status and what was recorded."""
    recorder = Recorder()
    status = pytest.main([*arguments, "-p", "tests.rerun"], plugins=[recorder])
    return int(status), recorder


def main(arguments: list[str]) -> int:
    """Run pytest once or twice, and return the exit status that decides."""
    began = time.monotonic()
    status, first = run(arguments)
    if status != pytest.ExitCode.TESTS_FAILED:
        return status
    if first.fatal:
        print(f"nothing is run again: {'; '.join(first.fatal)}", flush=True)
        return status
    if len(first.failed) > MOST:
        print(f"nothing is run again: {len(first.failed)} failures are over {MOST}", flush=True)
        return status
    again = list(dict.fromkeys(first.failed.values()))
    print(f"\nrun again, alone: {' '.join(again)}", flush=True)
    second = _second_run(again, list(first.failed))
    if second is None:
        print("the second run came to no result", flush=True)
        return status
    flaky, counts = second
    # As pytest counts: the tests of the first run, with what the second one found of the failed.
    passed = first.counts["passed"] + len(set(flaky) - first.passed)
    still = len(first.failed) - len(flaky)
    new = max(0, counts["failed"] + counts["error"] - still)
    figures = Counter(failed=still + new, passed=passed, rerun=len(first.failed))
    figures.update({name: first.counts[name] for name in ("skipped", "xfailed", "xpassed")})
    print(_closing_line(figures, time.monotonic() - began), flush=True)
    return int(pytest.ExitCode.TESTS_FAILED if figures["failed"] else pytest.ExitCode.OK)


def _second_run(again: list[str], failed: list[str]) -> tuple[list[str], dict[str, int]] | None:
    """Run these node ids in a process of their own; None if it did not run them to the end."""
    with TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        environment = {**os.environ, RESULT: str(result), FAILED: json.dumps(failed)}
        environment.pop(TIER, None)
        command = [sys.executable, "-m", "tests.rerun", "--second", "-p", "no:xdist", *again]
        subprocess.run(command, env=environment)
        if not result.is_file():
            return None
        found: dict[str, Any] = json.loads(result.read_text())
        return found["flaky"], found["counts"]


def second(arguments: list[str]) -> int:
    """Run pytest, and write which of the tests that failed before have passed."""
    status, recorder = run(arguments)
    finished = status in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    if finished and not recorder.fatal:
        flaky = recorder.flaky(json.loads(os.environ[FAILED]))
        result = {"flaky": flaky, "counts": recorder.counts}
        Path(os.environ[RESULT]).write_text(json.dumps(result))
    return status


def _closing_line(figures: Counter[str], seconds: float) -> str:
    """Return a line like pytest's last, `==== 3 passed, 1 rerun in 2.10s ====`."""
    text = ", ".join(f"{number} {name}" for name, number in figures.items() if number)
    minutes, rest = divmod(round(seconds), 60)
    clock = f" ({minutes // 60}:{minutes % 60:02}:{rest:02})" if minutes else ""
    return f" {text} in {seconds:.2f}s{clock} ".center(80, "=")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--second"]:
        sys.exit(second(sys.argv[2:]))
    sys.exit(main(sys.argv[1:]))
