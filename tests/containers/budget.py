"""Run the quick tests of containers within so many seconds, and say what was not run.

    python -m tests.containers.budget --seconds 1200

The whole tier takes 40 minutes from nothing, more than CI has left. Here run the tests marked
`quick_container`: the images first, then what is in them, then the stack of docker-compose.yml,
whose builds find most of their layers in Docker's cache by then.

The budget is of the clock, and not a test's: when it is over, the test that runs is given `GRACE`
seconds to end, then it is interrupted, and pytest tears down what is up. A tier that is merely not
finished does not fail the run. A test that failed does.
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
    """End the session when the time is over, and remember what came to an end."""

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
        """Interrupt nothing any more: what is up must be torn down in order."""
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
        """The chosen tests that did not come to an end."""
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
    # Engines before 23 build without BuildKit unless it is asked for; make exports it as well.
    os.environ.setdefault("DOCKER_BUILDKIT", "1")
    return run([f"tests/containers/{name}" for name in FILES], Budget(seconds))


if __name__ == "__main__":
    sys.exit(main())
