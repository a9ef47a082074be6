"""Measure the steps of a batch request: `python -m benchmarks.batch_cost`.

Runs a worker of the model server in this process with a timer around its steps, and sends 1,000
rows a call from the generator on the other core. Prints the table for the README.
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
from contextlib import contextmanager
from typing import Any

from benchmarks import registry, server, subject
from benchmarks.measure import Settings, generate, raw_rows_per_second
from benchmarks.rival import Rival
from benchmarks.roster import ROSTER, SLIPWAY
from infra.load import machine
from services.predict.worker_env import LISTEN
from slipway import home

WAY = "V2 binary columns"
CALL = "one call, as the caller sees it"
REST = "HTTP: 240 KB in, 9 KB out, event loop, routing, metrics"


class Clock:
    """The seconds spent in each step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def on(self, step: str, holder: Any, name: str) -> Iterator[None]:
        """Time `holder.name` as `step` until the block ends."""
        plain: Callable[..., Any] = getattr(holder, name)

        @functools.wraps(plain)
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return plain(*args, **kwargs)
            finally:
                self.seconds[step] += time.perf_counter() - start

        setattr(holder, name, timed)
        try:
            yield
        finally:
            setattr(holder, name, plain)


def main() -> None:
    home.silence_telemetry()
    registry.empty()
    built, settings = subject.build(), Settings()
    raw = len(built.batch) / raw_rows_per_second(built, settings)
    with ROSTER[SLIPWAY].opened(built) as rival:
        os.environ.update(rival.environment)
        with server.on_core(server.SERVER_CORE), listening(rival.port), registry_sync():
            calls, steps = measure(rival, built, settings)
    seconds = settings.seconds / calls
    print(f"{machine.describe()}\n\n| step | ms | share |\n| --- | ---: | ---: |")
    steps[REST] = seconds - sum(steps.values())
    for step, taken in sorted(steps.items(), key=lambda item: -item[1]):
        print(f"| {step} | {taken * 1000:.2f} | {taken / seconds:.0%} |")
    print(f"| {CALL} | {seconds * 1000:.2f} | |")
    print(f"| `session.run` alone, in a separate process | {raw * 1000:.2f} | |")


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


def measure(
    rival: Rival, built: subject.Subject, settings: Settings
) -> tuple[float, dict[str, float]]:
    """Return the number of requests served, and the seconds per request of each step."""
    from services.predict import predictor, recording, worker
    from services.predict.oip import codec
    from services.predict.oip.bounds import Bounds
    from services.predict.settings import Settings as Served
    from slipway.contract.graph import OnnxRuntimeGraph
    from slipway.predictions.writer import PredictionLog

    call, clock, found = rival.many[WAY], Clock(), []

    def load() -> None:
        try:
            while not server.responds(rival.port, rival.ready):
                time.sleep(0.1)
            request = [call.request(built.batch, rival.port)]
            for seconds in (settings.warm_seconds, settings.seconds):
                clock.seconds.clear()
                found.append(generate(rival, call, request, settings, seconds, connections=1))
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    with (
        clock.on("the graph: `session.run`", OnnxRuntimeGraph, "run"),
        clock.on("tensors read from the body", codec, "decode"),
        clock.on("constraints of 30 fields checked", Bounds, "check"),
        clock.on("predictions as JSON for the record", predictor, "to_json"),
        clock.on("the record's line, SHA-256 of the input in it", recording, "line"),
        clock.on("the record written", PredictionLog, "append"),
        clock.on("predictions as tensors", codec, "encode"),
    ):
        loading = threading.Thread(target=load)
        loading.start()
        asyncio.run(worker.serve(Served.from_environment()))
        loading.join()
    served = found[-1].per_second * settings.seconds
    return served, {step: taken / served for step, taken in clock.seconds.items()}


if __name__ == "__main__":
    main()
