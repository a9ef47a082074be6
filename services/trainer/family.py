"""The processes of a run: found by what their environment says, whoever their parent is now.

Killing the trainer, or the run's first process, leaves the others behind; process ids alone
would not tell them from strangers that were given the same ids later.
"""

import os
from contextlib import suppress

import psutil

MARK = "SLIPWAY_TRAINER_RUN"


def members(run: str) -> list[psutil.Process]:
    """Those that live, without the one that asks."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get(MARK) == run:
                found.append(process)
    return found


def ask_to_end(run: str) -> int:
    """SIGTERM to all of them; how many there were."""
    return _each(run, "terminate")


def kill(run: str) -> int:
    """SIGKILL to all of them, until there are none; how many there were."""
    count = found = _each(run, "kill")
    while found:
        psutil.wait_procs(members(run), timeout=1)
        found = _each(run, "kill")
        count += found
    return count


def _each(run: str, signal: str) -> int:
    found = members(run)
    for process in found:
        with suppress(psutil.Error):
            getattr(process, signal)()
    return len(found)
