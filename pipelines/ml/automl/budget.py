"""A search in a process of its own, which is stopped when its time or memory is used up.

The process is spawned: one that is forked after OpenMP has started its threads hangs on them.
Whatever it has found is on file by then, a line a trial: being stopped loses the last one alone.
"""

import json
import resource
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

OUT_OF_MEMORY = 17


@dataclass(frozen=True)
class Budget:
    """What a search may use: fits make it end alike everywhere, seconds and memory guard it."""

    fits: int
    seconds: float
    megabytes: int


@dataclass(frozen=True)
class Trial:
    """One point tried. `score` is None where it was pruned or asked for too much memory."""

    settings: dict[str, Any]
    score: float | None
    fits: int
    """Used by the search up to and with this one."""
    ended: str
    """complete, pruned or memory."""


@dataclass(frozen=True)
class Found:
    """What a search told. `ended`: done, time or memory; only `done` comes out alike again."""

    trials: list[Trial]
    ended: str

    @property
    def scored(self) -> list[Trial]:
        return [each for each in self.trials if each.score is not None]

    @property
    def best(self) -> Trial | None:
        return max(self.scored, key=lambda each: each.score or 0.0, default=None)


Journal = Callable[[Trial], None]
Search = Callable[..., None]


def run(search: Search, budget: Budget, **arguments: Any) -> Found:
    """Call `search(tell, fits=..., **arguments)` in a process of its own.

    `search` is found by its name there, so it stands in a module. `tell` keeps a trial.

    Raises:
        RuntimeError: the search failed otherwise than by its memory.
    """
    with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as file:
        given = (search, Path(file.name), budget, arguments)
        process = get_context("spawn").Process(target=_child, args=given, daemon=True)
        process.start()
        process.join(budget.seconds)
        ended = "done"
        if process.is_alive():
            process.kill()
            process.join()
            ended = "time"
        elif process.exitcode == OUT_OF_MEMORY:
            ended = "memory"
        elif process.exitcode:
            raise RuntimeError(f"search {search.__name__} ended with {process.exitcode}")
        # A last line without its end was being written when the process was stopped.
        kept = [Trial(**json.loads(line)) for line in file if line.endswith("\n")]
    return Found(kept, ended)


def _child(search: Search, file: Path, budget: Budget, arguments: dict[str, Any]) -> None:
    limit_memory(budget.megabytes)
    with file.open("a") as stream:

        def tell(trial: Trial) -> None:
            stream.write(json.dumps(vars(trial), default=float) + "\n")
            stream.flush()
            # Nobody stops it otherwise when who started it was killed.
            if (parent := parent_process()) and not parent.is_alive():
                sys.exit(f"{search.__name__}: who started the search is gone")

        try:
            search(tell, fits=budget.fits, **arguments)
        except MemoryError:
            sys.exit(OUT_OF_MEMORY)


def limit_memory(megabytes: int) -> None:
    """So much data above what this process holds now; more is a MemoryError. Linux alone.

    Of data, not of addresses (`RLIMIT_AS`): the libraries map gigabytes that they never touch.
    """
    status = Path("/proc/self/status").read_text().splitlines()
    (held,) = (int(line.split()[1]) for line in status if line.startswith("VmData:"))
    limit = held * 1024 + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
