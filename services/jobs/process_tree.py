"""Find and end the processes of a job, by a variable in their environment.

If the engine or the job's first process is killed, the others live on without their parent, and
process ids alone do not identify them: the system may have given those to other processes since.
"""

import os
from contextlib import suppress

import psutil

MARK = "SLIPWAY_JOB"


def members(job: str) -> list[psutil.Process]:
    """Return the living processes of the job, without the calling one."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get(MARK) == job:
                found.append(process)
    return found


def terminate(job: str) -> int:
    """Send SIGTERM to the job's processes; return how many there were."""
    return _each(job, "terminate")


def kill(job: str) -> int:
    """Send SIGKILL to the job's processes until none is left; return how many there were."""
    count = found = _each(job, "kill")
    while found:
        psutil.wait_procs(members(job), timeout=1)
        found = _each(job, "kill")
        count += found
    return count


def _each(job: str, signal: str) -> int:
    found = members(job)
    for process in found:
        with suppress(psutil.Error):
            getattr(process, signal)()
    return len(found)
