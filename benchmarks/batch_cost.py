"""Measure the steps of a batch request: `python -m benchmarks.batch_cost`.

Runs a worker of the model server in this process with a timer around its steps, and sends 1,000
rows a call from the generator on the other core, in each format. Prints the tables for the README.
"""

import asyncio
import functools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks import registry, server, subject
from benchmarks.measure import Settings, generate, raw_rows_per_second
from benchmarks.rival import Rival
from benchmarks.roster import ROSTER, SLIPWAY
from infra.load import machine
from services.predict.worker_env import LISTEN
from slipway import home

WAYS = ("V2 binary columns", "JSON records")
CALL = "by the clock, as the caller sees a call"
REST = "HTTP, event loop, routing, metrics"


class Clock:
    """The processor time of each step, without the steps inside it.

    It is that of the thread: other work on the machine disturbs it less than the time of the clock.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner = threading.local()

    @contextmanager
    def on(self, step: str, holder: Any, name: str) -> Iterator[None]:
        """Time `holder.name` as `step` until the block ends."""
        plain: Callable[..., Any] = getattr(holder, name)

        @functools.wraps(plain)
        def timed(*args: Any, **kwargs: Any) -> Any:
            outer, self._inner.seconds = getattr(self._inner, "seconds", 0.0), 0.0
            start = time.thread_time()
            try:
                return plain(*args, **kwargs)
            finally:
                taken = time.thread_time() - start
                self.seconds[step] += taken - self._inner.seconds
                self._inner.seconds = outer + taken

        setattr(holder, name, timed)
        try:
            yield
        finally:
            setattr(holder, name, plain)


@dataclass(frozen=True)
class Cost:
    """Seconds of a call."""

    seconds: float
    cpu_seconds: float
    """Processor time of the worker, of all its threads."""
    steps: dict[str, float]
    """Processor time by step."""


def main() -> None:
    home.silence_telemetry()
    registry.empty()
    built, settings = subject.build(), Settings()
    raw = len(built.batch) / raw_rows_per_second(built, settings)
    with ROSTER[SLIPWAY].opened(built) as rival:
        os.environ.update(rival.environment)
        with server.on_core(server.SERVER_CORE), listening(rival.port), registry_sync():
            costs = measure(rival, built, settings)
    print(machine.describe())
    for way, cost in costs.items():
        report(way, cost)
    print(f"\n`session.run` alone, in a separate process: {raw * 1000:.2f} ms")


def report(way: str, cost: Cost) -> None:
    """Print the table of a format."""
    print(f"\n| {way} | CPU ms | share |\n| --- | ---: | ---: |")
    steps = {REST: cost.cpu_seconds - sum(cost.steps.values()), **cost.steps}
    for step, taken in sorted(steps.items(), key=lambda item: -item[1]):
        print(f"| {step} | {taken * 1000:.2f} | {taken / cost.cpu_seconds:.0%} |")
    print(f"| all steps | {cost.cpu_seconds * 1000:.2f} | |")
    print(f"| {CALL} | {cost.seconds * 1000:.2f} | |")


@contextmanager
def listening(port: int) -> Iterator[None]:
    """Open the socket that a worker receives from its supervisor."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((home.LOOPBACK, port))
        held.listen()
        os.environ[LISTEN] = str(os.dup(held.fileno()))
        yield


@contextmanager
def registry_sync() -> Iterator[None]:
    """Run the process that fetches the model and writes the snapshot, as beside any worker."""
    process = subprocess.Popen([sys.executable, "-m", "services.predict.registry_sync"])
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def measure(rival: Rival, built: subject.Subject, settings: Settings) -> dict[str, Cost]:
    """Return the cost of a call in each format."""
    from services.predict import worker
    from services.predict.settings import Settings as Served

    clock, costs = Clock(), {}

    def load() -> None:
        try:
            while not server.responds(rival.port, rival.ready):
                time.sleep(0.1)
            for way in WAYS:
                costs[way] = load_way(way, clock, rival, built, settings)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    with ExitStack() as stack:
        for step, holder, name in timed_functions():
            stack.enter_context(clock.on(step, holder, name))
        loading = threading.Thread(target=load)
        loading.start()
        asyncio.run(worker.serve(Served.from_environment()))
        loading.join()
    return costs


def load_way(
    way: str, clock: Clock, rival: Rival, built: subject.Subject, settings: Settings
) -> Cost:
    """Send batches in a format, one after the other, and return the cost of a call."""
    call = rival.many[way]
    request = [call.request(built.batch, rival.port)]
    generate(rival, call, request, settings, settings.warm_seconds, connections=1)
    clock.seconds.clear()
    used = time.process_time()
    found = generate(rival, call, request, settings, settings.seconds, connections=1)
    used = time.process_time() - used
    calls = found.per_second * settings.seconds
    steps = {step: taken / calls for step, taken in clock.seconds.items()}
    return Cost(settings.seconds / calls, used / calls, steps)


def timed_functions() -> list[tuple[str, Any, str]]:
    """Return the steps that are timed: what each does, and the function that does it."""
    from services.predict import engine, predictor, recording
    from services.predict.json_columns.path import ColumnPath
    from services.predict.json_columns.reader import ColumnReader
    from services.predict.json_columns.writer import RowWriter
    from services.predict.oip import codec
    from services.predict.oip.bounds import Bounds
    from slipway.contract.graph import OnnxRuntimeGraph
    from slipway.predictions.writer import PredictionLog

    return [
        ("the graph: `session.run`", OnnxRuntimeGraph, "run"),
        ("tensors read from the body", codec, "decode"),
        ("constraints of 30 fields checked", Bounds, "check"),
        ("predictions as JSON for the record", predictor, "to_json"),
        ("the record's line, SHA-256 of the input in it", recording, "line"),
        ("the record written", PredictionLog, "append"),
        ("predictions as tensors", codec, "encode"),
        ("JSON parsed into Python objects", ColumnReader, "_parse"),
        ("30 columns made of them and checked", ColumnReader, "read"),
        ("the model around its graph", ColumnPath, "predict"),
        ("predictions as JSON", RowWriter, "write"),
        ("records validated", engine.Engine, "parse"),
    ]


if __name__ == "__main__":
    main()
