"""Runs one job in a process of its own: `python -m slipway.scoring.worker <job folder>`.

Its last line on standard error says why it failed. Started with a pipe as standard input it ends
when that closes, for whoever started it is gone then, and for no polite signal before.
"""

import os
import signal
import stat
import sys
import threading
import time
import traceback
from pathlib import Path

from slipway import home
from slipway.contract.shipped import Shipped
from slipway.registry.digest import digest
from slipway.scoring.jobs import Place
from slipway.scoring.score import WorkTaken, score

# Requests come first: the work shares the cores with the server.
NICE = 10
# A runner that was killed takes its worker with it, unless that is deep in a computation.
HANDOVER_SECONDS = 30.0


class ModelGone(Exception):
    """The model's folder is not there any more, or its bytes are not those of the job."""


def run(folder: Path) -> None:
    """Raises:
    ModelGone: the model is not the one that the job was made for.
    Exception: as `score` does.
    """
    place = Place(folder)
    job = place.read()
    shipped = Shipped(job.model_folder)
    name = f"{job.project} v{job.version}"
    if not shipped.code.is_file():
        raise ModelGone(f"{name} is not on this disk any more; create the job again")
    has = digest(shipped.parts)
    if has != job.digest:
        raise ModelGone(f"{name}: digest {has[:12]}, wanted {job.digest[:12]}; nothing was run")
    give_up = time.monotonic() + HANDOVER_SECONDS
    while True:
        try:
            score(
                shipped=shipped,
                version=job.version,
                source=place.source(job),
                target=place.target(job),
                work=place.work,
                keep=job.keep,
            )
            return
        except WorkTaken:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.1)


def end_with_parent() -> None:
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        # Whoever stops the server asks all of its processes; here that would look like a crash.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        threading.Thread(target=_wait_for_end, daemon=True).start()


def _wait_for_end() -> None:
    while os.read(0, 4096):
        pass
    # At once: parts are whole or not there.
    os._exit(1)


def main() -> None:
    home.silence_telemetry()
    os.nice(NICE)
    end_with_parent()
    try:
        run(Path(sys.argv[1]))
    except Exception as error:
        if not type(error).__module__.startswith("slipway"):
            traceback.print_exc()
        print(f"{type(error).__name__}: {error}".replace("\n", " "), file=sys.stderr, flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
