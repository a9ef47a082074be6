"""Run the same loads on several ways of calling, round after round, and write a table."""

import argparse
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.load.generator import Figures
from slipway.marks import replace_between

README = Path(__file__).with_name("README.md")
POINTS = ("p50", "p99", "p999")


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the common options; the first line of `description` is the help."""
    common = argparse.ArgumentParser(description=description.splitlines()[0])
    common.add_argument("--seconds", type=float, default=10.0, help="seconds of each load")
    common.add_argument("--rounds", type=int, default=3)
    common.add_argument("--dry", action="store_true", help="write nothing")
    return common


@dataclass(frozen=True)
class AtRates:
    """`ways` maps ways of calling to titles; `rates` are requests a second, `seconds` of each
    load."""

    ways: Mapping[str, str]
    rates: Sequence[int]
    seconds: float
    found: dict[str, dict[str, list[Figures]]] = field(default_factory=dict)

    def measure(self, rounds: int, load: Callable[[str, int], Figures]) -> None:
        """Run `load` for each way at each rate, in each round."""
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

    def publish(self, machine_info: Mapping[str, Any], file: Path, mark: str) -> None:
        """Write the results into `file`, and their table into the README between the markers."""
        loads = {
            way: {rate: [each.model_dump() for each in runs] for rate, runs in rates.items()}
            for way, rates in self.found.items()
        }
        content = {"machine": machine_info, "seconds": self.seconds, "loads": loads}
        file.write_text(json.dumps(content) + "\n")
        under = (
            f"{machine_info['cpu']}, {machine_info['cores']} cores, "
            f"load before {machine_info['load_before']:g}."
        )
        replace_between(README, mark, f"{self.table()}\n\n{under}")


def spread(values: Sequence[float]) -> str:
    """Format the median with minimum and maximum."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
