"""Run a search in a process of its own, which is stopped when its time or memory is used up.

The process is spawned: one that is forked after OpenMP has started its threads hangs on them.
"""

import resource
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

Ended = Literal["done", "killed"]


@dataclass(frozen=True)
class Trial:
    """Settings that were tried; `score` is None if they needed more memory than the limit."""

    settings: dict[str, Any]
    score: float | None
    rows: int
    """Rows that the trial learned from."""


Record = Callable[[Trial], None]


class SearchFailed(Exception):
    """The search ended with an error; the message is its traceback."""


def search_within(
    search: Callable[..., None], arguments: dict[str, Any], *, seconds: float, megabytes: int
) -> tuple[list[Trial], Ended]:
    """Call `search(record, **arguments)`, and return what it recorded within the time.

    The process imports `search` by its name. It gets `megabytes` more data than its libraries take,
    and beyond them a MemoryError; on Linux only. After `seconds` it is killed.

    Raises:
        SearchFailed: the search raised an error, or its process died.
    """
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = (search, arguments, sender, megabytes)
    process = context.Process(target=_child, args=child, daemon=True)
    process.start()
    sender.close()
    deadline = time.monotonic() + seconds
    trials: list[Trial] = []
    try:
        while receiver.poll(max(0.0, deadline - time.monotonic())):
            message = receiver.recv()
            if message is None:
                return trials, "done"
            if isinstance(message, str):
                raise SearchFailed(message)
            trials.append(message)
    except EOFError as error:
        process.join()
        raise SearchFailed(
            f"its process ended with exit code {process.exitcode}; with {megabytes} MB it may lack "
            "memory"
        ) from error
    finally:
        process.kill()
        process.join()
    return trials, "killed"


def _child(
    search: Callable[..., None], arguments: dict[str, Any], sender: Connection, megabytes: int
) -> None:
    limit_memory(megabytes)
    try:
        search(sender.send, **arguments)
        sender.send(None)
    except BrokenPipeError:
        # The process that started the search is gone.
        return
    except Exception:
        sender.send(traceback.format_exc())


def limit_memory(megabytes: int) -> None:
    """Limit this process to `megabytes` more data than it holds now.

    The limit is on data, not on addresses: libraries map gigabytes that they never touch.
    """
    status = Path("/proc/self/status")
    if not status.is_file():
        return
    lines = status.read_text().splitlines()
    (held,) = (int(line.split()[1]) for line in lines if line.startswith("VmData:"))
    limit = held * 1024 + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
