"""The results of every round, and their tables."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from benchmarks.at_rates import spread
from benchmarks.media.roster import SLIPWAY
from benchmarks.media.streams import TOKENS, StreamFigures
from infra.load.generator import Figures
from slipway.marks import replace_between

COMMITTED = Path(__file__).with_name("results.json")
README = Path(__file__).parents[1] / "README.md"
MARK = "media"


class Picture(BaseModel):
    """One load of a server, and what it used."""

    model_config = ConfigDict(extra="forbid")

    load: Figures
    cpu_ms: float
    """CPU time of the server's processes a request."""


class MediaResults(BaseModel):
    """Each list has one entry a round."""

    model_config = ConfigDict(extra="forbid")

    machine: dict[str, str | int | float]
    rounds: int
    seconds: float
    connections: int
    versions: dict[str, str] = {}
    with_batches: dict[str, list[Picture]] = {}
    without_batches: dict[str, list[Picture]] = {}
    encodings: dict[str, list[Picture]] = {}
    sizes: dict[str, int] = {}
    """Bytes of a request, by encoding."""
    streams: dict[str, list[StreamFigures]] = {}
    faults: list[str] = []

    def comparable(self) -> bool:
        """Return whether the model server ran in every round, and others in all or none."""
        found = [*self.with_batches.items(), *self.without_batches.items()]
        own = sum(name == SLIPWAY for name, _ in found)
        return own == 2 and all(len(rounds) == self.rounds for _, rounds in found)

    def write(self, file: Path) -> None:
        """Write the results as JSON."""
        from slipway.training.workspace import rounded

        content = MediaResults.model_validate(rounded(self.model_dump(mode="json")))
        file.write_text(content.model_dump_json(indent=1) + "\n")


def publish(results: MediaResults) -> None:
    """Write the results into the repository, and their tables into the page of the benchmarks."""
    results.write(COMMITTED)
    replace_between(README, MARK, tables(results))


def tables(results: MediaResults) -> str:
    """Return the tables as Markdown."""
    machine = results.machine
    versions = ", ".join(f"{name} {number}" for name, number in sorted(results.versions.items()))
    parts = [
        f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, load before the "
        f"start {machine['load_before']}. {results.rounds} rounds of {results.seconds:g} s a load "
        f"over {results.connections} connections; medians, with least to most in brackets; ratios "
        "compare requests or tokens a second of the same round. "
        f"{versions}.",
        "**A JPEG of 224 x 224 through a small network**, as base64 in JSON:",
        _pictures(results),
        "**The same picture sent in three ways** to the model server:",
        _encodings(results),
        f"**A stream of {TOKENS} tokens**:",
        _streams(results),
        "\n".join(f"- not run: {fault}" for fault in dict.fromkeys(results.faults)),
    ]
    return "\n\n".join(part for part in parts if part)


def _pictures(results: MediaResults) -> str:
    lines = [
        "| server | batches | requests/s | Slipway's to these | p50 ms | p99 ms "
        "| CPU ms a request | errors |",
        "| --- | --- |" + " ---: |" * 6,
    ]
    ways = {"on": results.with_batches, "off": results.without_batches}
    for server in dict.fromkeys(name for found in ways.values() for name in found):
        for title, found in ways.items():
            if rounds := found.get(server):
                ratio = _ratios(found.get(SLIPWAY, []), rounds)
                lines.append(f"| {server} | {title} | {_cells(rounds, ratio)} |")
    return "\n".join(lines)


def _encodings(results: MediaResults) -> str:
    lines = [
        "| sent as | bytes | requests/s | to base64 | p50 ms | p99 ms "
        "| CPU ms a request | errors |",
        "| --- |" + " ---: |" * 7,
    ]
    base = next(iter(results.encodings.values()), [])
    for way, rounds in results.encodings.items():
        lines.append(
            f"| {way} | {results.sizes[way]:,} | {_cells(rounds, _ratios(rounds, base))} |"
        )
    return "\n".join(lines)


def _cells(rounds: Sequence[Picture], ratio: str) -> str:
    def shown(figure: Callable[[Picture], float | None]) -> str:
        values = [value for each in rounds if (value := figure(each)) is not None]
        return spread(values) if values else ""

    rates = [each.load.per_second for each in rounds]
    errors = sum(sum(each.load.errors.values()) for each in rounds)
    cells = [
        f"{statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})",
        ratio,
        shown(lambda each: each.load.p50),
        shown(lambda each: each.load.p99),
        shown(lambda each: each.cpu_ms),
        str(errors),
    ]
    return " | ".join(cells)


def _ratios(above: Sequence[Picture], below: Sequence[Picture]) -> str:
    """Return the ratio of the requests a second, of each round on its own."""
    pairs = list(zip(above, below, strict=False))
    ratios = [first.load.per_second / second.load.per_second for first, second in pairs]
    return f"{statistics.median(ratios):.2f}x" if ratios else ""


def _streams(results: MediaResults) -> str:
    lines = [
        "| | first token ms | tokens/s | to the model alone |",
        "| --- |" + " ---: |" * 3,
    ]
    alone: Mapping[str, list[StreamFigures]] = results.streams
    base = next(iter(alone.values()), [])
    for way, rounds in results.streams.items():
        pairs = zip(rounds, base, strict=False)
        ratios = [each.per_second / model.per_second for each, model in pairs]
        rates = [each.per_second for each in rounds]
        lines.append(
            f"| {way} | {spread([each.first_ms for each in rounds])} | "
            f"{statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f}) | "
            f"{statistics.median(ratios):.2f}x |"
        )
    return "\n".join(lines)
