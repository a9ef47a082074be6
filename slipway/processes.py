"""Run child processes, read their output line by line, and stop them together."""

import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

STOP_SECONDS = 15.0


class Stopped(Exception):
    """Raised if the run was stopped, after which no process is started."""


class Children:
    """The processes of one run. `stop` may be called from another thread than `run`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def run(
        self,
        command: Sequence[str],
        *,
        tell: Callable[[str], None],
        folder: Path,
        environment: Mapping[str, str],
    ) -> int:
        """Run the command to its end; pass each line of its output and errors to `tell`.

        Returns the exit status.

        Raises:
            Stopped: `stop` was called, before or during the run.
        """
        process = self._start(command, folder, environment)
        try:
            assert process.stdout is not None
            for line in process.stdout:
                tell(line.rstrip())
            status = process.wait()
        finally:
            with self._lock:
                self._live.discard(process)
        if self._stopped:
            raise Stopped
        return status

    def _start(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> "subprocess.Popen[str]":
        with self._lock:
            if self._stopped:
                raise Stopped
            # In our process group, so that a signal to the group also ends the training.
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                text=True,
                errors="replace",
            )
            self._live.add(process)
        return process

    def stop(self) -> None:
        """Stop every running process with its descendants; no further one is started."""
        with self._lock:
            self._stopped = True
            live = list(self._live)
        descendants = [each for process in live for each in _descendants(process.pid)]
        for process in live:
            process.terminate()
        terminate(descendants)
        # psutil must not wait for our own children: subprocess would lose their exit status.
        for process in live:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _descendants(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return list(psutil.Process(pid).children(recursive=True))
    return []


def terminate(processes: Sequence[psutil.Process], seconds: float = STOP_SECONDS) -> None:
    """Send SIGTERM to the processes, and SIGKILL to those that have not ended in time."""
    for each in processes:
        with suppress(psutil.NoSuchProcess):
            each.terminate()
    _, left = psutil.wait_procs(processes, timeout=seconds)
    for each in left:
        with suppress(psutil.NoSuchProcess):
            each.kill()
