"""What came of the same loads for several ways of calling, round after round; and its table."""

import argparse
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.load import Figures
from benchmarks.marks import replace_between

README = Path(__file__).with_name("README.md")
POINTS = ("p50", "p99", "p999")


def parser(about: str) -> argparse.ArgumentParser:
    """What each measurement of this kind is told; `about` begins with its one line of help."""
    words = argparse.ArgumentParser(description=about.splitlines()[0])
    words.add_argument("--seconds", type=float, default=10.0, help="of each load")
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--dry", action="store_true", help="write nothing")
    return words


@dataclass(frozen=True)
class AtRates:
    """`ways` names them for readers; `rates` are requests a second, `seconds` of each load."""

    ways: Mapping[str, str]
    rates: Sequence[int]
    seconds: float
    found: dict[str, dict[str, list[Figures]]] = field(default_factory=dict)

    def measure(self, rounds: int, load: Callable[[str, int], Figures]) -> None:
        """Each way at each rate, all of them in each round; `load` is given both."""
        for _ in range(rounds):
            for way in self.ways:
                for rate in self.rates:
                    runs = self.found.setdefault(way, {}).setdefault(str(rate), [])
                    runs.append(load(way, rate))

    def table(self) -> str:
        lines = [
            "| callers send | requests/s | p50 ms | p99 ms | p99.9 ms | errors |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
        ]
        for way, rates in self.found.items():
            for rate, runs in rates.items():
                points = (spread([getattr(run, point) for run in runs]) for point in POINTS)
                errors = sum(sum(run.errors.values()) for run in runs)
                lines.append(f"| {self.ways[way]} | {rate} | {' | '.join(points)} | {errors} |")
        return "\n".join(lines)

    def publish(self, seen: Mapping[str, Any], file: Path, mark: str) -> None:
        """Write the figures into `file`, and their table into the README between its marks."""
        loads = {
            way: {rate: [each.model_dump() for each in runs] for rate, runs in rates.items()}
            for way, rates in self.found.items()
        }
        told = {"machine": seen, "seconds": self.seconds, "loads": loads}
        file.write_text(json.dumps(told) + "\n")
        under = f"{seen['cpu']}, {seen['cores']} cores, load before {seen['load_before']:g}."
        replace_between(README, mark, f"{self.table()}\n\n{under}")


def spread(values: Sequence[float]) -> str:
    """The median, and least to most."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
