"""A running service that can be fuzzed, and the check of it before, during and after."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import httpx
import psutil

from slipway.access import keys
from slipway.access.scopes import Scope
from tests.drills.fuzz.grammar import Grammar
from tests.drills.fuzz.knowledge import Knowledge
from tests.drills.fuzz.processes import Seen, see
from tests.drills.fuzz.routes import Route
from tests.drills.fuzz.runner import Failure, Outcome, Runner
from tests.drills.fuzz.verdict import MEBIBYTE, process_faults
from tests.waiting import until

# The seconds of a run, over all services.
SECONDS = float(os.environ.get("SLIPWAY_FUZZ_SECONDS", "60"))
# A part of the time in which the processes import and cache what their routes need.
WARM_UP = 0.25
# In runs of a minute, processes grew by at most 38 MiB: arenas of threads, and caches. With the
# limit on listed faults taken out of the code, a worker grew by 201 MiB.
MOST_GROWTH = 96 * MEBIBYTE
SHOWN_BYTES = 600


@dataclass
class Target:
    """A service that runs, and what the grammar needs to know of it."""

    name: str
    client: httpx.Client
    process: psutil.Process
    routes: list[Route]
    knowledge: Knowledge
    ordinary: Callable[[], Any]
    """Return what an ordinary request gets, without ids and times."""
    parts: tuple[str, ...] = ()
    """Words of the command lines of the child processes that must live on."""
    ready: str = "/v1/ready"
    grpc_port: int = 0
    grpc_methods: tuple[str, ...] = ()
    records: Path | None = None
    """The folder of the prediction log."""

    @property
    def address(self) -> tuple[str, int]:
        port = self.client.base_url.port
        assert port is not None
        return self.client.base_url.host, port

    def see(self) -> Seen:
        return see(self.process, self.parts, self._metrics)

    def _metrics(self) -> str:
        with suppress(httpx.HTTPError):
            return self.client.get("/metrics").text
        return ""


@dataclass
class Result:
    """The findings of a run."""

    target: Target
    seed: int
    outcome: Outcome
    before: Seen
    after: Seen
    faults: list[str]

    def report(self) -> str:
        """Return the counts, the memory and the faults as text."""
        name, outcome = self.target.name, self.outcome
        head = f"{name}: {outcome.requests} requests of seed {self.seed}, {outcome.failed} failed"
        memory = [
            f"  {each}: {resident / MEBIBYTE:.0f} MiB, "
            f"{(self.after.bytes.get(each, 0) - resident) / MEBIBYTE:+.0f}"
            for each, resident in self.before.bytes.items()
        ]
        recorded = (
            f"  {len(outcome.predictions)} predictions answered, "
            f"{self.after.restarts:g} workers restarted"
        )
        return "\n".join([head, outcome.table(), recorded, *memory, *self.faults])


def make_key(folder: Path) -> str:
    """Create a key of every scope in the home `folder`, and return its text."""
    return keys.create("fuzz", list(Scope), file=folder / "keys.json")[1]


def fuzz(
    target: Target,
    seconds: float,
    kept: Path,
    *,
    seed: int | None = None,
    most: int = 100_000,
    most_growth: int = MOST_GROWTH,
) -> Result:
    """Send requests for so long, then check the service; `kept` gets the failed requests.

    The seed is SLIPWAY_FUZZ_SEED, otherwise drawn.
    """
    drawn = seed if seed is not None else int(os.environ.get("SLIPWAY_FUZZ_SEED", 0))
    number = drawn or Random().randrange(1, 2**31)
    print(f"\nfuzzing {target.name}: SLIPWAY_FUZZ_SEED={number}")
    expected, first = target.ordinary(), target.see()
    methods = list(target.grpc_methods)
    grammar = Grammar(number, target.routes, target.knowledge, methods)
    runner = Runner(target.name, grammar, target.address, target.grpc_port)
    outcome = runner.run(seconds * WARM_UP, most=most)
    before = target.see()
    rest = runner.run(seconds * (1 - WARM_UP), most=most)
    outcome.merge(rest)
    faults = [_shown(each, target, number, kept) for each in outcome.failures.values()]
    if not target.process.is_running() or target.process.status() == psutil.STATUS_ZOMBIE:
        return Result(target, number, outcome, before, Seen({}, 0), [*faults, "it ended"])
    faults += _state_faults(target, expected)
    faults += _unrecorded(target, outcome)
    after = target.see()
    faults += process_faults(first, before, after, most_growth)
    return Result(target, number, outcome, before, after, faults)


def _shown(failure: Failure, target: Target, seed: int, kept: Path) -> str:
    """Keep the request in a file; return what failed, its bytes, and how to send it again."""
    request = failure.request
    kept.mkdir(parents=True, exist_ok=True)
    file = kept / f"{target.name}-{seed}-{request.number}.bin"
    file.write_bytes(request.content)
    host, port = target.address
    port = target.grpc_port if request.grpc_method or request.to_grpc_port else port
    return (
        f"FAULT {request.route}: {failure.fault} ({request.made})\n"
        f"    {failure.answer.body[:300]!r}\n"
        f"    {request.content[:SHOWN_BYTES]!r}\n"
        f"    {len(request.content)} bytes; python -m tests.drills.fuzz.replay {file} "
        f"{host}:{port} {request.grpc_method}"
    )


def _state_faults(target: Target, expected: Any) -> list[str]:
    """Return what an ordinary caller would notice."""
    try:
        ready = target.client.get(target.ready)
        found = [] if ready.status_code == 200 else [f"not ready: {ready.text[:500]}"]
        if (got := target.ordinary()) != expected:
            found.append(f"an ordinary request got {got!r:.1000} instead of {expected!r:.1000}")
    except httpx.HTTPError as error:
        return [f"an ordinary request failed: {error!r}"]
    return found


def _unrecorded(target: Target, outcome: Outcome) -> list[str]:
    """Return the answered predictions that are not in the log, in one line."""
    if target.records is None:
        return []
    from slipway.predictions.reader import records

    folder, missing = target.records, set(outcome.predictions)

    def all_found() -> bool:
        missing.difference_update(each["id"] for each in records(folder))
        return not missing

    with suppress(AssertionError):
        until(all_found, seconds=20)
    some = ", ".join(sorted(missing)[:3])
    return [f"{len(missing)} answered predictions are not on record: {some}"] if missing else []
