"""Run a command with all its descendants under one limit of memory, without any privilege.

Every tenth of a second the memory of the whole tree of processes is summed up; above the limit all
of them are stopped, then killed. What counts is anonymous and shared memory, which the kernel
cannot drop without swap. Pages of files, mapped or cached, do not count, since the kernel takes
them back when others need memory. A page that several processes share counts for each of them.
"""

import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

INTERVAL = 0.1
COUNTED = ("RssAnon:", "RssShmem:")
Ended = Literal["done", "memory", "time", "failed"]


@dataclass(frozen=True)
class Usage:
    """The time and memory that a command took, and the reason for its end."""

    ended: Ended
    seconds: float
    cpu_seconds: float
    peak_bytes: int


def resident_bytes(pid: int) -> int:
    """Return the memory of a process that counts; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(COUNTED))


def tree_of(root: psutil.Process) -> list[psutil.Process]:
    """Return a process and its descendants; none if it has ended."""
    try:
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def end_tree(root: psutil.Process, known: set[psutil.Process]) -> None:
    """Kill a process, its descendants, and the `known` ones that have lost their parent."""
    stopped: set[psutil.Process] = set()
    # A process that is stopped starts no others. So this ends when a look finds no new one.
    while found := {*known, *(each for old in {root, *known} for each in tree_of(old))} - stopped:
        for each in found:
            with suppress(psutil.NoSuchProcess):
                each.suspend()
        stopped |= found
    for each in stopped:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(stopped, timeout=30)


def run_limited(
    command: Sequence[str],
    *,
    limit: int,
    seconds: float,
    log: Path,
    env: Mapping[str, str] | None = None,
) -> Usage:
    """Run a command; end it with its descendants above `limit` bytes or after `seconds`.

    Its output goes to `log`. Processes that it leaves behind are ended.
    """
    began, peak, ended = time.perf_counter(), 0, None
    cpu: dict[psutil.Process, float] = {}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=env)
        root = psutil.Process(process.pid)
        try:
            while process.poll() is None and ended is None:
                tree = tree_of(root)
                for each in tree:
                    with suppress(psutil.NoSuchProcess):
                        times = each.cpu_times()
                        cpu[each] = times.user + times.system
                used = sum(resident_bytes(each.pid) for each in tree)
                peak = max(peak, used)
                if used > limit:
                    ended = "memory"
                elif time.perf_counter() - began > seconds:
                    ended = "time"
                else:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(INTERVAL)
        finally:
            end_tree(root, {each for each in cpu if each.is_running()})
            process.wait()
    reason: Ended = ended or ("failed" if process.returncode else "done")  # type: ignore[assignment]
    return Usage(reason, time.perf_counter() - began, sum(cpu.values()), peak)
