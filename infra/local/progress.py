"""Show the training of `make up`: a live table in a terminal, a line per change elsewhere."""

import sys
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from slipway.stage_events import Observer, Training


class StageProgress(Observer, ABC):
    """Shows the stages of projects, and what is served. Used as a context, by several threads."""

    def __init__(self) -> None:
        self.stages_started = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave what is shown as it is."""

    @abstractmethod
    def say(self, text: str) -> None:
        """Print lines that do not belong to a project's progress."""

    def stage_started(self, project: str, stage: str) -> None:
        self.stages_started += 1

    def line(self, project: str, text: str) -> None:
        # Projects print to their logs. The leaderboard prints only errors.
        if project == "leaderboard":
            self.say(f"{project}: {text}")

    def ended(self, training: Training) -> None:
        if training.failed:
            self.say("\n".join(f"{training.project}:   {line}" for line in training.tail))

    @abstractmethod
    def served(self, project: str, version: str) -> None:
        """The model server serves this version of the project."""

    @abstractmethod
    def not_served(self, project: str, reason: str) -> None:
        """The project is registered, but the model server does not serve it."""


class Lines(StageProgress):
    """A line for each change, with the project's name before it."""

    def __init__(self) -> None:
        super().__init__()
        self._printing = threading.Lock()

    def say(self, text: str) -> None:
        if text:
            with self._printing:
                print(text, flush=True)

    def stage_started(self, project: str, stage: str) -> None:
        super().stage_started(project, stage)
        self.say(f"{project}: {stage} started")

    def stage_ended(self, project: str, stage: str, seconds: float) -> None:
        self.say(f"{project}: {stage} {seconds:.1f} s")

    def ended(self, training: Training) -> None:
        super().ended(training)
        if training.failed:
            self.say(f"{training.project}: failed: {training.reason}")
        elif not training.stages:
            self.say(f"{training.project}: up to date")

    def served(self, project: str, version: str) -> None:
        self.say(f"{project}: served: version {version}")

    def not_served(self, project: str, reason: str) -> None:
        self.say(f"{project}: registered, not served: {reason}")


@dataclass
class ProgressRow:
    """One project of the table."""

    stage: str = "waiting"
    start: float | None = None
    end: float | None = None
    result: str = ""
    style: str = ""

    def elapsed(self, now: float) -> str:
        """Minutes and seconds since the project was started, until it ended."""
        if self.start is None:
            return ""
        seconds = int((now if self.end is None else self.end) - self.start)
        return f"{seconds // 60}:{seconds % 60:02}"


class LiveTable(StageProgress):
    """A table with a row per project, drawn four times a second. Lines scroll above it."""

    def __init__(self, projects: list[str], console: Console) -> None:
        super().__init__()
        self._rows = {name: ProgressRow() for name in projects}
        self._live = Live(
            console=console, get_renderable=self.table, refresh_per_second=4, transient=False
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def table(self) -> Table:
        """Return the table as it stands now."""
        table = Table(box=None, pad_edge=False)
        table.add_column("project", no_wrap=True)
        table.add_column("stage", no_wrap=True, min_width=8)
        table.add_column("elapsed", justify="right", no_wrap=True)
        table.add_column("result", no_wrap=True, overflow="ellipsis")
        now = time.monotonic()
        for name, row in self._rows.items():
            table.add_row(name, row.stage, row.elapsed(now), row.result, style=row.style)
        return table

    def say(self, text: str) -> None:
        if text:
            # Not wrapped, so that a command can be copied.
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def started(self, project: str) -> None:
        row = self._rows[project]
        row.stage, row.start = "checking", time.monotonic()

    def stage_started(self, project: str, stage: str) -> None:
        super().stage_started(project, stage)
        self._rows[project].stage = stage

    def ended(self, training: Training) -> None:
        super().ended(training)
        if training.failed:
            self._end(training.project, f"failed: {training.reason}", "red")
        else:
            self._rows[training.project].stage = "loading"

    def served(self, project: str, version: str) -> None:
        self._rows[project].stage = "done"
        self._end(project, f"served: version {version}", "green")

    def not_served(self, project: str, reason: str) -> None:
        self._end(project, f"registered, not served: {reason}", "yellow")

    def _end(self, project: str, result: str, style: str) -> None:
        row = self._rows[project]
        row.end, row.result, row.style = time.monotonic(), result, style


def progress(projects: list[str]) -> StageProgress:
    """Return the table if standard output is a terminal that can draw it, otherwise plain lines."""
    # Not rich's own detection: FORCE_COLOR makes it treat a pipe as a terminal.
    console = Console()
    if sys.stdout.isatty() and not console.is_dumb_terminal:
        return LiveTable(projects, console)
    return Lines()
