"""Measure one server in one round: start, check, load, stop."""

import base64
import os
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from benchmarks import work, wrk
from benchmarks.rival import Call, NotRun, Rival
from benchmarks.server import GENERATOR_CORE, SERVER_CORE, on_core, serving
from benchmarks.subject import Subject
from infra.load import process
from infra.load.generator import Figures, LoadSpec
from infra.load.process import GeneratorFailed
from slipway import home

GRACE = 60
# Probabilities are float32, and some responses have their decimal form.
TOLERANCE = 1e-6


class Settings(BaseModel):
    """The loads that every server gets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rounds: int = Field(default=3, ge=1)
    seconds: float = Field(default=6.0, gt=0, description="Seconds of each load")
    warm_seconds: float = Field(default=2.0, gt=0)
    connections: int = Field(default=32, ge=1)
    rates: tuple[int, ...] = (200, 500, 1000)
    open_connections: int = Field(default=64, ge=1)


class Measurement(BaseModel):
    """Memory in MiB, times in seconds, latencies in milliseconds."""

    model_config = ConfigDict(extra="forbid")

    ready_seconds: float
    idle_rss: float
    idle_pss: float
    loaded_rss: float
    loaded_pss: float
    closed: Figures
    cpu_microseconds: float
    """CPU time of the server's processes per request of the closed loop."""
    open: dict[str, Figures]
    """Results of the open loop, by rate."""
    rows_per_second: dict[str, float]
    """Rows a second with 1,000 rows in one call, by the format in which they are sent."""
    refused: dict[str, str] = {}
    """Formats for many rows that the server did not handle correctly, with the reason."""


def measure(rival: Rival, subject: Subject, settings: Settings) -> Measurement:
    """Run all loads. Raises NotRun: the server does not start, or its predictions are wrong."""
    with serving(rival) as server:
        check(rival, subject.rows, subject.probabilities(subject.rows))
        idle = server.memory()
        requests = [rival.single.request(row, rival.port) for row in singly(subject.rows)]
        own = generate(rival, rival.single, requests, settings, settings.warm_seconds)
        if not own.per_second:
            raise NotRun(f"{rival.name} gave no response in the warm-up: {own.errors}")
        used = server.cpu_seconds()
        closed = closed_loop(rival, requests, subject, settings)
        used = server.cpu_seconds() - used
        opened = {
            str(rate): generate(
                rival, rival.single, requests, settings, settings.seconds, rate=rate
            )
            for rate in settings.rates
        }
        rows, refused = batches(rival, subject, settings)
        server.check_pinned()
        loaded = server.memory()
        return Measurement(
            ready_seconds=server.ready_seconds,
            idle_rss=idle.rss,
            idle_pss=idle.pss,
            loaded_rss=loaded.rss,
            loaded_pss=loaded.pss,
            closed=closed,
            cpu_microseconds=used * 1e6 / max(1.0, closed.per_second * settings.seconds),
            open=opened,
            rows_per_second=rows,
            refused=refused,
        )


def singly(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[place : place + 1] for place in range(len(rows))]


def check(rival: Rival, rows: np.ndarray, expected: np.ndarray) -> None:
    """Check that the server's predictions are the model's for every record.

    Raises:
        NotRun: some prediction differs.
    """
    found = np.concatenate([rival.single.predict(row, rival.port) for row in singly(rows)])
    if rival.runs_model:
        compare(rival.single, found, expected)


def compare(call: Call, found: np.ndarray, expected: np.ndarray) -> None:
    if found.size != expected.size:
        raise NotRun(f"{call.path} returns {found.size} predictions for {expected.size} rows")
    error = float(np.abs(found.ravel() - expected).max())
    if error > TOLERANCE:
        raise NotRun(f"{call.path} predictions differ from the model's by up to {error:.2g}")


def closed_loop(
    rival: Rival, requests: Sequence[bytes], subject: Subject, settings: Settings
) -> Figures:
    if not wrk.present():
        return generate(rival, rival.single, requests, settings, settings.seconds)
    with on_core(GENERATOR_CORE):
        return wrk.closed(
            f"http://{home.LOOPBACK}:{rival.port}{rival.single.path}",
            [rival.single.write(row).body for row in singly(subject.rows)],
            connections=settings.connections,
            seconds=settings.seconds,
            scratch=work.folder() / "bodies.txt",
        )


def generate(
    rival: Rival,
    call: Call,
    requests: Sequence[bytes],
    settings: Settings,
    seconds: float,
    *,
    rate: float | None = None,
    connections: int | None = None,
    nice: int = 0,
) -> Figures:
    """Run the load generator in a separate process on the other core."""
    usual = settings.connections if rate is None else settings.open_connections
    spec = LoadSpec(
        host=home.LOOPBACK,
        port=rival.port,
        requests=[base64.b64encode(each).decode() for each in requests],
        key=call.key,
        connections=connections or usual,
        seconds=seconds,
        rate=rate,
        nice=nice,
    )
    with on_core(GENERATOR_CORE):
        try:
            return process.generate(spec)
        except GeneratorFailed as error:
            raise NotRun(str(error)) from error


def batches(
    rival: Rival, subject: Subject, settings: Settings
) -> tuple[dict[str, float], dict[str, str]]:
    """Return rows a second for each format, one call after the other, and the formats that
    failed."""
    rows: dict[str, float] = {}
    refused: dict[str, str] = {}
    expected = subject.probabilities(subject.batch)
    for name, call in rival.many.items():
        try:
            compare(call, call.predict(subject.batch, rival.port), expected)
        except (NotRun, OSError, ValueError) as error:
            refused[name] = str(error)
            continue
        request = [call.request(subject.batch, rival.port)]
        found = generate(rival, call, request, settings, settings.seconds / 2, connections=1)
        if found.errors:
            refused[name] = f"errors under load: {found.errors}"
        else:
            rows[name] = found.per_second * len(subject.batch)
    return rows, refused


def raw_rows_per_second(subject: Subject, settings: Settings) -> float:
    """Run the same rows through the session without a server, on the servers' core."""
    file = work.folder() / "rows.npy"
    np.save(file, subject.batch)
    with on_core(SERVER_CORE):
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.raw", file, str(settings.seconds / 2)],
            capture_output=True,
            check=True,
            cwd=home.root(),
            env={**os.environ, "BENCHMARK_MODEL": str(subject.graph)},
            timeout=settings.seconds + GRACE,
        )
    return float(done.stdout)
