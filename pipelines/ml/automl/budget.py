"""A search in a process of its own, which is stopped when its time or memory is used up.

The process is spawned: one that is forked after OpenMP has started its threads hangs on them.
The search writes each finished trial to a file, so only the last one is lost when it is stopped.
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
    """What a search may use: fits end it reproducibly, seconds and megabytes are safeguards."""

    fits: int
    seconds: float
    megabytes: int


@dataclass(frozen=True)
class Trial:
    """One point tried. `score` is None if it was pruned or needed too much memory."""

    settings: dict[str, Any]
    score: float | None
    fits: int
    """Fits used by the search so far, including this trial."""
    ended: str
    """`complete`, `pruned` or `memory`."""


@dataclass(frozen=True)
class SearchResult:
    """The trials of a search. `ended` is done, time or memory; only `done` is reproducible."""

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


def run(search: Search, budget: Budget, **arguments: Any) -> SearchResult:
    """Call `search(record, fits=..., **arguments)` in a process of its own.

    The process imports `search` by its name, so it must be a module's function. The search calls
    `record` with each trial.

    Raises:
        RuntimeError: the search failed for another reason than its memory.
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
            raise RuntimeError(f"search {search.__name__} ended with exit code {process.exitcode}")
        # A line without an end was being written when the process was stopped.
        kept = [Trial(**json.loads(line)) for line in file if line.endswith("\n")]
    return SearchResult(kept, ended)


def _child(search: Search, file: Path, budget: Budget, arguments: dict[str, Any]) -> None:
    limit_memory(budget.megabytes)
    with file.open("a") as stream:

        def record(trial: Trial) -> None:
            stream.write(json.dumps(vars(trial), default=float) + "\n")
            stream.flush()
            # Without this, the search would go on after its parent was killed.
            if (parent := parent_process()) and not parent.is_alive():
                sys.exit(f"{search.__name__}: the process that started the search is gone")

        try:
            search(record, fits=budget.fits, **arguments)
        except MemoryError:
            sys.exit(OUT_OF_MEMORY)


def limit_memory(megabytes: int) -> None:
    """Limit this process to `megabytes` more data than it holds now. Works on Linux only.

    Allocating more raises MemoryError. The limit is on data, not on addresses (`RLIMIT_AS`): the
    libraries map gigabytes that they never touch.
    """
    status = Path("/proc/self/status").read_text().splitlines()
    (held,) = (int(line.split()[1]) for line in status if line.startswith("VmData:"))
    limit = held * 1024 + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
