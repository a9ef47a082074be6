"""Find and end the processes of a run, by a variable in their environment.

If the trainer or the run's first process is killed, the others live on without their parent, and
process ids alone do not identify them: the system may have given those to other processes since.
"""

import os
from contextlib import suppress

import psutil

MARK = "SLIPWAY_TRAINER_RUN"


def members(run: str) -> list[psutil.Process]:
    """Return the living processes of the run, without the calling one."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get(MARK) == run:
                found.append(process)
    return found


def terminate(run: str) -> int:
    """Send SIGTERM to the run's processes; return how many there were."""
    return _each(run, "terminate")


def kill(run: str) -> int:
    """Send SIGKILL to the run's processes until none is left; return how many there were."""
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
