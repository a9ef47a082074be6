"""Measure the CPU seconds of each test, and print them by folder and by file at the end of a run.

    make test                                   prints the table, writes .slipway/test-cpu.json
    python -m tests.cpu_times docs/testing.md   writes the table into the page, and its figures
    beside it

A test costs what its process and the processes that it waited for have used while it ran, with the
fixtures that were set up and torn down for it: `getrusage` of RUSAGE_SELF and RUSAGE_CHILDREN. A
server that outlives its test is counted when it is waited for, so it shows at the last test that
used it, mostly of the same file. CPU seconds depend less than the clock on what else the machine
does, and show the cost of a tier; no test fails because of them.
"""

import argparse
import json
import os
import resource
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / ".slipway" / "test-cpu.json"
# Set by the Makefile to the name of the tier. Without it nothing is written, so that a run of one
# file does not replace the figures of all.
TIER = "SLIPWAY_TEST_TIER"
START, END = "<!-- cpu times -->", "<!-- /cpu times -->"
DEAREST = 10
# Time that belongs to no test: starting Python, importing the test files, xdist.
STARTING = "starting and collecting"
KEY = "slipway_cpu"


def used() -> float:
    """Return the CPU seconds of this process and of the processes that it has waited for."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in both)


class CpuTimes:
    """Collect CPU seconds by file, in one process or from the workers of pytest-xdist."""

    def __init__(self) -> None:
        self.by_file: dict[str, float] = defaultdict(float)
        self.tests = 0
        self.lost = 0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        before = used()
        try:
            return (yield)
        finally:
            # Without the group that pytest-xdist appends to a node id.
            file = item.path.relative_to(item.config.rootpath).as_posix()
            self.by_file[file] += used() - before
            self.tests += 1

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[KEY] = {"files": self._with_start(), "tests": self.tests}

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Add a worker's measurements; those of a crashed worker are lost."""
        measured = getattr(node, "workeroutput", {}).get(KEY)
        if measured is None:
            self.lost += 1
            return
        self.tests += measured["tests"]
        for file, seconds in measured["files"].items():
            self.by_file[file] += seconds

    def _with_start(self) -> dict[str, float]:
        return {**self.by_file, STARTING: max(0.0, used() - sum(self.by_file.values()))}

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, config: pytest.Config
    ) -> None:
        if not self.tests:
            return
        # With workers, only what they measured: this process waits for theirs after this point.
        files = self.by_file if STARTING in self.by_file else self._with_start()
        found = {name: round(seconds, 2) for name, seconds in sorted(files.items())}
        terminalreporter.section("CPU seconds by folder")
        for name, seconds in by_folder(found).items():
            terminalreporter.write_line(f"{seconds:9.1f}  {name}")
        if self.lost:
            terminalreporter.write_line(f"without {self.lost} workers that crashed")
        terminalreporter.section(f"the {DEAREST} dearest files, in CPU seconds")
        for name, seconds in dearest(found).items():
            terminalreporter.write_line(f"{seconds:9.1f}  {name}")
        if tier := os.environ.get(TIER):
            FILE.parent.mkdir(parents=True, exist_ok=True)
            written = {"tier": tier, "tests": self.tests, "lost": self.lost, "files": found}
            FILE.write_text(json.dumps(written, indent=1) + "\n")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(CpuTimes(), "slipway-cpu-times")


def by_folder(files: Mapping[str, float]) -> dict[str, float]:
    """Return CPU seconds by folder of `tests/`, the dearest first, and their sum as the last."""
    sums: dict[str, float] = defaultdict(float)
    for file, seconds in files.items():
        sums[file if file == STARTING else str(Path(*Path(file).parent.parts[:2]))] += seconds
    ordered = dict(sorted(sums.items(), key=lambda item: -item[1]))
    return {**ordered, "all": sum(files.values())}


def dearest(files: Mapping[str, float]) -> dict[str, float]:
    """Return the files with the most CPU seconds, the dearest first."""
    tests = {name: seconds for name, seconds in files.items() if name != STARTING}
    return dict(sorted(tests.items(), key=lambda item: -item[1])[:DEAREST])


def markdown(measured: Mapping[str, Any]) -> str:
    """Return the block that docs/testing.md holds between its marks."""
    files = measured["files"]
    lines = [f"`make {measured['tier']}` ran {measured['tests']:,} tests.", ""]
    for title, rows in (("folder", by_folder(files)), ("file", dearest(files))):
        lines += [f"| {title} | CPU seconds |", "| --- | ---: |"]
        lines += [f"| {_cell(name)} | {seconds:,.1f} |" for name, seconds in rows.items()]
        lines.append("")
    return "\n".join([START, "", *lines, END])


def _cell(name: str) -> str:
    return f"`{name}`" if name.startswith("tests") else name


def write(page: Path, measured: Mapping[str, Any]) -> None:
    """Replace the block between the marks of a page, and keep its figures as JSON beside it.

    Raises:
        ValueError: the page has no marks.
    """
    before, start, rest = page.read_text().partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"{page} has no place for the table: add {START} and {END}")
    page.write_text(before + markdown(measured) + after)
    page.with_suffix(".json").write_text(json.dumps(measured, indent=1) + "\n")


def main() -> None:
    """Write the last measurement of a whole tier into a page."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("page", type=Path)
    page = parser.parse_args().page
    if not FILE.is_file():
        parser.exit(1, f"there is no {FILE}: run `make test` first\n")
    write(page, json.loads(FILE.read_text()))


if __name__ == "__main__":
    main()
