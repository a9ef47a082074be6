"""The events that training reports while it runs: a project's stage started, ended or failed."""

import re
import time
from collections import deque
from dataclasses import dataclass

STAGES = ("prepare", "fit", "evaluate", "register")
RUNNING = re.compile(r"Running stage '(?:.*:)?(\w+)'")
# DVC prints these for a stage that it skips, and for its lock when a stage has ended.
NOT_RUNNING = ("Stage '", "Updating lock file", "Generating lock file")
PROGRESS_BAR = re.compile(r"\d+%\s*\|")
TAIL_LINES = 15


@dataclass(frozen=True)
class Training:
    """The end of the training of one project."""

    project: str
    stages: tuple[str, ...]
    """The stages that ran; the others were up to date."""
    seconds: float
    reason: str = ""
    """The reason that it failed; empty if it did not."""
    tail: tuple[str, ...] = ()
    """The last lines of the output of a training that failed."""

    @property
    def failed(self) -> bool:
        return bool(self.reason)


class Observer:
    """Follows the training of projects. The methods are called by the thread that trains."""

    def started(self, project: str) -> None:
        """DVC starts to look at the project."""

    def line(self, project: str, text: str) -> None:
        """DVC or a stage printed a line."""

    def stage_started(self, project: str, stage: str) -> None:
        """A stage that is out of date started."""

    def stage_ended(self, project: str, stage: str, seconds: float) -> None:
        """The stage succeeded."""

    def ended(self, training: Training) -> None:
        """The project is up to date, or its training failed."""


class StageReader:
    """Follows the output of one `dvc repro`: which stages run, and why it fails."""

    def __init__(self, project: str, observer: Observer) -> None:
        self._project, self._observer = project, observer
        self._start = time.monotonic()
        self._stage, self._stage_start = "", 0.0
        self._stages: list[str] = []
        self._cause = ""
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)

    def read(self, line: str) -> None:
        """Process the next line."""
        self._observer.line(self._project, line)
        if not PROGRESS_BAR.search(line):
            self._tail.append(line)
        self._blame(line)
        if found := RUNNING.match(line):
            self._end_stage()
            self._stage, self._stage_start = found[1], time.monotonic()
            self._stages.append(found[1])
            self._observer.stage_started(self._project, found[1])
        elif line.startswith(NOT_RUNNING):
            self._end_stage()

    def end(self, status: int) -> Training:
        """Return how the training ended, from the exit status of `dvc repro`."""
        reason = (self._cause or f"dvc repro ended with status {status}") if status else ""
        if not status:
            self._end_stage()
        return Training(
            project=self._project,
            stages=tuple(self._stages),
            seconds=time.monotonic() - self._start,
            reason=reason,
            tail=tuple(self._tail) if status else (),
        )

    def _blame(self, line: str) -> None:
        # Slipway names the cause; DVC only names the stage that failed, after it.
        if line.startswith("slipway: "):
            self._cause = line.removeprefix("slipway: ")
        elif line.startswith("ERROR: ") and not self._cause:
            self._cause = line.removeprefix("ERROR: ")

    def _end_stage(self) -> None:
        if self._stage:
            seconds = time.monotonic() - self._stage_start
            self._observer.stage_ended(self._project, self._stage, seconds)
            self._stage = ""
