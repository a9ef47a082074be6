"""Run the quick container tests within a time budget, and print what was not run.

    python -m tests.containers.budget --seconds 1200

The whole tier takes 40 minutes without a build cache, more than CI has left. This runs the tests
marked `quick_container`: the images, then their contents, then the stack of docker-compose.yml,
whose builds find most of their layers in Docker's cache by then.

The budget is wall-clock time of the whole run: when it is over, the running test has `GRACE`
seconds to end before it is interrupted, and pytest tears down its fixtures. An unfinished tier does
not fail the run; a failed test does.
"""

import argparse
import os
import signal
import sys
import threading

import pytest

FILES = ("test_images.py", "test_contents.py", "test_stack.py")
MARKER = "quick_container"
# As long as a container may take to start or to stop; a build that hangs takes longer.
GRACE = 120.0


class Budget:
    """Ends the session when the time is over, and records which tests ended."""

    def __init__(self, seconds: float, grace: float = GRACE) -> None:
        self.seconds, self.grace = seconds, grace
        self.over = False
        self.failed: set[str] = set()
        self.done: set[str] = set()
        self.chosen: list[str] = []
        self.deselected: list[str] = []
        self._timers: list[threading.Timer] = []

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._after(self.seconds, self._end, session)
        self._after(self.seconds + self.grace, os.kill, os.getpid(), signal.SIGINT)

    def _after(self, seconds: float, function: object, *arguments: object) -> None:
        timer = threading.Timer(seconds, function, arguments)  # type: ignore[arg-type]
        timer.daemon = True
        timer.start()
        self._timers.append(timer)

    def _end(self, session: pytest.Session) -> None:
        self.over = True
        session.shouldstop = f"the {self.seconds:.0f} seconds for containers are over"

    def pytest_sessionfinish(self) -> None:
        """Cancel the timers: fixtures must be torn down without interruption."""
        for timer in self._timers:
            timer.cancel()

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self.deselected += [item.nodeid for item in items]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.chosen = [item.nodeid for item in session.items]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)
        if report.when == "teardown":
            self.done.add(report.nodeid)

    @property
    def unfinished(self) -> list[str]:
        """Return the selected tests that did not end."""
        return [name for name in self.chosen if name not in self.done]

    def status(self, pytests: int) -> int:
        """Return the exit status that decides, given pytest's own."""
        if self.failed:
            return int(pytest.ExitCode.TESTS_FAILED)
        ended_early = pytests in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.OK)
        if self.over and self.chosen and ended_early:
            return int(pytest.ExitCode.OK)
        return pytests

    def print_what_was_not_run(self) -> None:
        """Print each chosen test that did not end, with the reason, and what was not chosen."""
        reason = "see above"
        if self.over:
            reason = f"the {self.seconds:.0f} s for containers were over"
        for name in self.unfinished:
            print(f"NOT RUN: {name}: {reason}")
        if self.deselected:
            print(
                f"NOT RUN: {len(self.deselected)} tests without the marker {MARKER}, "
                "test_registry.py and test_chaos.py: `make test-compose` runs them"
            )


def run(arguments: list[str], budget: Budget) -> int:
    """Run pytest with the budget; returns the exit status that decides."""
    # What a shell without a terminal starts in the background ignores SIGINT, which ends the grace.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    status = budget.status(int(pytest.main(["-m", MARKER, *arguments], plugins=[budget])))
    budget.print_what_was_not_run()
    return status


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the quick tests of containers.")
    parser.add_argument("--seconds", type=float, required=True, help="the budget")
    seconds = parser.parse_args().seconds
    # Docker engines before 23 use BuildKit only if this is set; make exports it as well.
    os.environ.setdefault("DOCKER_BUILDKIT", "1")
    return run([f"tests/containers/{name}" for name in FILES], Budget(seconds))


if __name__ == "__main__":
    sys.exit(main())
