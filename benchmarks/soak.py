"""Measure the server's memory under load for minutes: `python -m benchmarks.soak --minutes 10`.

Memory is stable if the line in `soak.png` is flat; the figures are in `soak.json`.
"""

import argparse
import json
import threading
import time
from pathlib import Path

import numpy as np

from benchmarks import registry, server, subject
from benchmarks.measure import Settings, generate, singly
from benchmarks.roster import ROSTER, SLIPWAY

FOLDER = Path(__file__).parent
SECONDS_BETWEEN = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=float, default=1000, help="requests a second")
    arguments = parser.parse_args()
    seconds = arguments.minutes * 60
    registry.empty()
    built = subject.build()
    samples: list[tuple[float, float]] = []
    with ROSTER[SLIPWAY].opened(built) as rival, server.serving(rival) as running:
        stopping = threading.Event()

        def watch() -> None:
            start = time.monotonic()
            while not stopping.wait(SECONDS_BETWEEN):
                samples.append((time.monotonic() - start, running.memory().pss))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            requests = [rival.single.request(row, rival.port) for row in singly(built.rows)]
            figures = generate(
                rival, rival.single, requests, Settings(), seconds, rate=arguments.rate
            )
        finally:
            stopping.set()
            watcher.join()
    results = {"rate": arguments.rate, "load": figures.model_dump(), **slope(samples)}
    results["samples"] = [[round(at), round(mib, 1)] for at, mib in samples]
    (FOLDER / "soak.json").write_text(json.dumps(results) + "\n")
    draw(samples, arguments.rate)
    shown = {key: value for key, value in results.items() if key != "samples"}
    print(json.dumps(shown, indent=1))


def slope(samples: list[tuple[float, float]]) -> dict[str, float]:
    """Return MiB a minute in the second half: the first half fills caches and the log's
    segments."""
    half = np.array(samples[len(samples) // 2 :])
    per_second = np.polyfit(half[:, 0], half[:, 1], 1)[0]
    return {
        "mib_at_half": float(half[0, 1]),
        "mib_at_end": float(half[-1, 1]),
        "mib_a_minute": float(per_second * 60),
    }


def draw(samples: list[tuple[float, float]], rate: float) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    at, mib = np.array(samples).T
    figure, axes = plt.subplots(figsize=(7, 3))
    axes.plot(at / 60, mib)
    axes.set(xlabel="minutes", ylabel="MiB (PSS, all processes)", ylim=(0, mib.max() * 1.2))
    axes.set_title(f"Memory at {rate:g} requests a second")
    figure.tight_layout()
    figure.savefig(FOLDER / "soak.png", dpi=80)


if __name__ == "__main__":
    main()
