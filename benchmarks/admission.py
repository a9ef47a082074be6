"""Measure the time per request for API keys and rate limits: `python -m benchmarks.admission`.

Prints the table for the README; a step that takes 2 microseconds or more fails.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.at_rates import spread
from infra.load import machine
from slipway.access import keys
from slipway.access.keys import Keyring
from slipway.access.limits import Limiter

LIMIT = 2.0
ROUNDS, TURNS = 5, 500


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        taken = measure(steps(Path(name)))
    print(f"{machine.describe()}\n\n| step | microseconds |\n| --- | ---: |")
    for step, found in taken.items():
        print(f"| {step} | {spread(found)} |")
    slow = [step for step, found in taken.items() if statistics.median(found) >= LIMIT]
    sys.exit(f"limit not met: under {LIMIT:g} microseconds: {', '.join(slow)}" if slow else 0)


def steps(folder: Path) -> dict[str, Callable[[], object]]:
    """Return each step as the server runs it for a caller that it has seen before."""
    file = folder / "keys.json"
    free, text = keys.create("free", ["predict"], file=file)
    held, _ = keys.create("held", ["predict"], rate=1e6, burst=1e9, file=file)
    ring, limiter, presented = Keyring(file), Limiter(folder), text.encode()
    return {
        "look up the key": lambda: ring.authenticate(presented),
        "check the scope": lambda: ring.require(free, "predict"),
        "rate limit, key without one": lambda: limiter.take(free),
        "rate limit, request admitted": lambda: limiter.take(held),
    }


def measure(steps: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Return the microseconds of each step in each round."""
    found: dict[str, list[float]] = {step: [] for step in steps}
    for _ in range(ROUNDS):
        for step, call in steps.items():
            found[step].append(microseconds(call))
    return found


def microseconds(call: Callable[[], object]) -> float:
    """Return the best of many rounds of a millisecond each: others share the processor."""
    best = float("inf")
    for _ in range(280):
        started = time.perf_counter_ns()
        for _ in range(TURNS):
            call()
        best = min(best, (time.perf_counter_ns() - started) / TURNS / 1000)
    return best


if __name__ == "__main__":
    main()
