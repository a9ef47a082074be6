"""The processes of a service: which they are, their memory, and how often workers restarted."""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil

RESTARTS = re.compile(r"^slipway_worker_restarts_total\S* (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Seen:
    """The processes of a service at one time."""

    bytes: dict[str, int]
    """Resident memory by the process's name and id."""
    restarts: float
    """The sum of the supervisor's counter; 0 where there is no supervisor."""


def see(process: psutil.Process, parts: tuple[str, ...], metrics: Callable[[], str]) -> Seen:
    """Look at the process and at those of its children whose command line has one of `parts`.

    Others end by themselves: batch jobs, training runs, models in processes of their own.
    """
    watched = {f"main {process.pid}": process}
    for child in process.children(recursive=True):
        with suppress(psutil.Error):  # it ended just now
            words = child.cmdline()
            for part in parts:
                if part in words:
                    watched[f"{part} {child.pid}"] = child
    resident = {}
    for name, each in watched.items():
        with suppress(psutil.Error):
            resident[name] = each.memory_info().rss
    restarts = sum(float(value) for value in RESTARTS.findall(metrics()))
    return Seen(resident, restarts)
