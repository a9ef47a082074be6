"""Runs one job in a process of its own: `python -m services.predict.batch.worker FOLDER BYTES`.

It may use `BYTES` of memory beside what its own code takes: a file of a few KB can hold gigabytes.
On failure, the last line on standard error is the reason. If standard input is a pipe, the process
ignores SIGTERM and SIGINT and ends when the pipe closes, that is, when its parent has ended.
"""

import os
import signal
import stat
import sys
import threading
import time
import traceback
from pathlib import Path

from services.jobs.memory_limit import limit_memory
from services.predict.batch.jobs import JobFolder
from services.predict.batch.score import WorkFolderBusy, score
from slipway import home
from slipway.contract.shipped import Shipped
from slipway.registry.digest import digest

# Requests take precedence: the job shares the cores with the server.
NICE = 10
# A killed runner ends its child, but later if that is inside a long computation.
LOCK_WAIT_SECONDS = 30.0


class ModelGone(Exception):
    """Raised when the model's folder is gone, or its digest is not that of the job."""


def run(folder: Path) -> None:
    """Run the job in `folder`.

    Raises:
        ModelGone: the model is not the one that the job was created for.
        Exception: raised by `score`.
    """
    place = JobFolder(folder)
    job = place.read()
    shipped = Shipped(job.model_folder)
    name = f"{job.project} v{job.version}"
    if not shipped.code.is_file():
        raise ModelGone(f"{name} is no longer on this disk; create the job again")
    actual = digest(shipped.parts)
    if actual != job.digest:
        raise ModelGone(
            f"{name}: digest {actual[:12]}, expected {job.digest[:12]}; nothing was run"
        )
    deadline = time.monotonic() + LOCK_WAIT_SECONDS
    while True:
        try:
            score(
                shipped=shipped,
                version=job.version,
                source=place.source(job),
                target=place.target(job),
                work=place.work,
                rows=job.rows_format,
                keep=job.keep,
            )
            return
        except WorkFolderBusy:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def end_with_parent() -> None:
    """End this process when the pipe on standard input closes; ignore other signals to stop."""
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        # A stop of the server signals all of its processes; ending here would look like a crash.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        threading.Thread(target=_exit_when_closed, daemon=True).start()


def _exit_when_closed() -> None:
    while os.read(0, 4096):
        pass
    # Immediately: a part is either complete or absent.
    os._exit(1)


def main() -> None:
    home.silence_telemetry()
    os.nice(NICE)
    end_with_parent()
    folder, memory = Path(sys.argv[1]), int(sys.argv[2])
    limit_memory(memory)
    try:
        run(folder)
    except MemoryError:
        print(f"it needs more than {memory // 10**6:,} MB of memory", file=sys.stderr, flush=True)
        sys.exit(1)
    except Exception as error:
        if not type(error).__module__.startswith(("slipway.", "services.")):
            traceback.print_exc()
        print(f"{type(error).__name__}: {error}".replace("\n", " "), file=sys.stderr, flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
