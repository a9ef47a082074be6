"""What each request pays for keys and limits: `python -m benchmarks.admission`.

Prints the table that stands in the README; a step that takes 2 microseconds or more fails it.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import machine
from benchmarks.at_rates import spread
from slipway.access import keys
from slipway.access.keys import Keyring
from slipway.access.limits import Limiter

LIMIT = 2.0
ROUNDS, TURNS = 5, 500


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        taken = measured(steps(Path(name)))
    print(f"{machine.describe()}\n\n| step | microseconds |\n| --- | ---: |")
    for step, found in taken.items():
        print(f"| {step} | {spread(found)} |")
    slow = [step for step, found in taken.items() if statistics.median(found) >= LIMIT]
    sys.exit(f"limit not met: under {LIMIT:g} microseconds: {', '.join(slow)}" if slow else 0)


def steps(folder: Path) -> dict[str, Callable[[], object]]:
    """Each as the server takes it for a caller that it has seen before."""
    file = folder / "keys.json"
    free, text = keys.create("free", ["predict"], file=file)
    held, _ = keys.create("held", ["predict"], rate=1e6, burst=1e9, file=file)
    ring, limiter, presented = Keyring(file), Limiter(folder), text.encode()
    return {
        "whose key it is": lambda: ring.authenticate(presented),
        "whether it has the scope": lambda: ring.require(free, "predict"),
        "a key without a limit": lambda: limiter.take(free),
        "a request admitted within its key's limit": lambda: limiter.take(held),
    }


def measured(steps: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Microseconds of each, round after round."""
    found: dict[str, list[float]] = {step: [] for step in steps}
    for _ in range(ROUNDS):
        for step, asked in steps.items():
            found[step].append(microseconds(asked))
    return found


def microseconds(asked: Callable[[], object]) -> float:
    """The best of many rounds, each of a millisecond: others share the processor."""
    best = float("inf")
    for _ in range(280):
        started = time.perf_counter_ns()
        for _ in range(TURNS):
            asked()
        best = min(best, (time.perf_counter_ns() - started) / TURNS / 1000)
    return best


if __name__ == "__main__":
    main()
