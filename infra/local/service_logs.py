"""`slipway logs`: the logs of the services that `make up` started."""

import time
from collections.abc import Iterator
from pathlib import Path

from infra.local.platform import services
from slipway import home
from slipway.fault import Fault
from slipway.names import unknown

POLL_SECONDS = 0.3
# The last lines are searched in this much of a log.
TAIL_BYTES = 2**20


def files() -> dict[str, Path]:
    """Return the log of each service and of each training that has one, by name."""
    found = {each.name: each.log for each in services() if each.log.is_file()}
    trained = sorted((home.home() / "logs").glob("train-*.log"))
    return {**found, **{file.stem: file for file in trained}}


def log_of(name: str) -> Path:
    """Return the log of a service.

    Raises:
        Fault: there is none of that name; the message suggests another.
    """
    found = files()
    if name not in found:
        raise Fault(unknown("log", name, list(found)))
    return found[name]


def tail(file: Path, count: int) -> list[str]:
    """Return the last lines of a log."""
    with file.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - TAIL_BYTES))
        lines = stream.read().decode(errors="replace").splitlines()
    return lines[-count:]


def follow(file: Path) -> Iterator[str]:
    """Yield the lines that are added to a log from now on, without end."""
    with file.open(errors="replace") as stream:
        stream.seek(0, 2)
        part = ""
        while True:
            part += stream.readline()
            if part.endswith("\n"):
                yield part[:-1]
                part = ""
            else:
                time.sleep(POLL_SECONDS)
