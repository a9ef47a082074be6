"""Measure the cost of hostile callers to the others: `python -m benchmarks.hostile --minutes 60`.

Good callers send requests at a fixed rate, in windows without and with hostile callers, one after
the other. It needs an otherwise idle machine with two cores: the server runs on one, and all
callers on the other, the hostile ones with the lowest priority. Results are in `hostile.json`.
"""

import argparse
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from math import inf
from pathlib import Path
from statistics import median

from pydantic import BaseModel, ConfigDict

from benchmarks import registry, server, subject
from benchmarks.measure import Settings, generate, singly
from benchmarks.registry import NAME
from benchmarks.roster import ROSTER, SLIPWAY
from benchmarks.server import GENERATOR_CORE, Server, on_core
from infra.load import machine
from infra.load.generator import Figures
from slipway import home
from slipway.marks import replace_between

RESULTS = Path(__file__).parents[1] / "hostile.json"
README = RESULTS.with_name("README.md")
# Longer than a window, for the hostile callers' last connections.
GRACE_SECONDS = 60


def latency(figures: Figures, name: str) -> float:
    """Return a percentile in milliseconds; infinite if no request got a response."""
    found: float | None = getattr(figures, name)
    return inf if found is None else found


class Window(BaseModel):
    """The good callers' figures in a window without and in one with hostile callers."""

    model_config = ConfigDict(extra="forbid")

    calm: Figures
    hostile: Figures

    @property
    def ratio(self) -> float:
        """The 99th percentile with hostile callers, divided by that without."""
        return latency(self.hostile, "p99") / latency(self.calm, "p99")


class Results(BaseModel):
    """Memory in MiB of all processes of the server."""

    model_config = ConfigDict(extra="forbid")

    machine: dict[str, str | int | float]
    rate: float
    seconds: float
    windows: list[Window]
    attacks: dict[str, dict[str, int]]
    """Number of attacks by kind and outcome."""
    workers_replaced: int
    mib_before: float
    mib_after: float


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seconds", type=float, default=30, help="seconds of a window")
    parser.add_argument("--rate", type=float, default=200, help="good requests a second")
    arguments = parser.parse_args()
    rounds = max(1, round(arguments.minutes * 60 / arguments.seconds / 2))
    results = measure(rounds, arguments.seconds, arguments.rate)
    RESULTS.write_text(results.model_dump_json(indent=1) + "\n")
    replace_between(README, "hostile", table(results))
    print(table(results))


def measure(rounds: int, seconds: float, rate: float) -> Results:
    registry.empty()
    described = machine.describe()
    built = subject.build()
    windows: list[Window] = []
    attacks: dict[str, Counter[str]] = defaultdict(Counter)
    with ROSTER[SLIPWAY].opened(built) as rival, server.serving(rival) as running:
        requests = [rival.single.request(row, rival.port) for row in singly(built.rows)]

        def load() -> Figures:
            return generate(rival, rival.single, requests, Settings(), seconds, rate=rate)

        load()
        before, workers = running.memory().pss, worker_ids(running)
        for _ in range(rounds):
            calm = load()
            with on_core(GENERATOR_CORE):
                hostile = callers(rival.port, seconds)
            figures = load()
            text, _ = hostile.communicate(timeout=seconds + GRACE_SECONDS)
            for name, outcomes in json.loads(text).items():
                attacks[name].update(outcomes)
            windows.append(Window(calm=calm, hostile=figures))
        return Results(
            machine=described,
            rate=rate,
            seconds=seconds,
            windows=windows,
            attacks={name: dict(outcomes) for name, outcomes in attacks.items()},
            workers_replaced=len(worker_ids(running) - workers),
            mib_before=before,
            mib_after=running.memory().pss,
        )


def callers(port: int, seconds: float) -> subprocess.Popen[str]:
    """Start the hostile callers."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.hostile.callers", str(port), NAME, str(seconds)],
        cwd=home.root(),
        preexec_fn=lambda: os.nice(19),
        stdout=subprocess.PIPE,
        text=True,
    )


def worker_ids(running: Server) -> set[int]:
    """Return the ids of the processes that serve predictions."""
    return {
        each.pid for each in running.process_tree() if "services.predict.worker" in each.cmdline()
    }


def table(results: Results) -> str:
    """Return the results as Markdown."""
    rows = []
    for name in ("p50", "p99", "p999", "max"):
        calm = median(latency(each.calm, name) for each in results.windows)
        hostile = median(latency(each.hostile, name) for each in results.windows)
        rows.append(f"| {name} | {calm:.2f} | {hostile:.2f} | {hostile / calm:.2f} |")
    ratios = sorted(each.ratio for each in results.windows)
    errors = sum(sum(each.hostile.errors.values()) for each in results.windows)
    number = sum(sum(outcomes.values()) for outcomes in results.attacks.values())
    lines = [
        f"{results.machine['cpu']}, {results.machine['cores']} cores, load before the start "
        f"{results.machine['load_before']}. {len(results.windows)} windows of "
        f"{results.seconds:g} s without and with hostile callers, {results.rate:g} good requests a "
        "second; medians in milliseconds:",
        "",
        "| | without | with | ratio |",
        "| --- | ---: | ---: | ---: |",
        *rows,
        "",
        f"The ratio of the 99th percentiles is {ratios[0]:.2f} to {ratios[-1]:.2f} by window. "
        f"Errors of good requests: {errors}. {number:,} attacks; workers replaced: "
        f"{results.workers_replaced}. Memory was {results.mib_before:.0f} MiB before and "
        f"{results.mib_after:.0f} MiB after.",
        "",
        "| attack | outcomes |",
        "| --- | --- |",
    ]
    for name, outcomes in results.attacks.items():
        shown = ", ".join(f"{kind} {count:,}" for kind, count in sorted(outcomes.items()))
        lines.append(f"| {name} | {shown} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
