"""Write the results as tables, into the README's generated part."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.measure import Measurement
from benchmarks.results import Entry, Results
from benchmarks.roster import FASTAPI
from slipway.projects.readme import END, START, put

README = Path(__file__).with_name("README.md")
Figure = Callable[[Measurement], float | None]


def tables(results: Results) -> str:
    parts = [
        _machine(results),
        "**Throughput** "
        f"({results.settings.connections} connections, closed loop, {results.generator}), "
        "memory and start:",
        _throughput(results),
        "**Latency at fixed rates**, milliseconds from the scheduled time of each request:",
        _latency(results),
        "**Batches**: 1,000 rows in one call, one call after the other:",
        _batches(results),
        _faults(results),
    ]
    return "\n\n".join(part for part in parts if part)


def write(results: Results) -> None:
    """Write the tables between the README's markers.

    Raises:
        ValueError: the README has no markers.
    """
    put(README, f"{START}\n\n{tables(results)}\n\n{END}")


def _machine(results: Results) -> str:
    machine, settings = results.machine, results.settings
    versions = {
        name: number
        for entry in results.servers.values()
        for name, number in entry.versions.items()
    }
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"{machine['kernel']}, "
        f"Python {machine['python']}, load before the start {machine['load_before']}. "
        f"Rounds: {settings.rounds}, of {settings.seconds:g} s a load; "
        "medians, with least to most in brackets. "
        f"{', '.join(f'{name} {number}' for name, number in sorted(versions.items()))}."
    )


def _throughput(results: Results) -> str:
    base = results.servers.get(FASTAPI)
    standard = base.spread(_per_second) if base else None
    rows = [
        "| server | requests/s | to FastAPI | p50 ms | p99 ms | errors | CPU us a request "
        "| generator busy | ready s | idle MiB | loaded MiB |",
        "| --- |" + " ---: |" * 10,
    ]
    for entry in results.servers.values():
        throughput = entry.spread(_per_second)
        if throughput is None:
            rows.append(f"| {entry.title} | not run |" + " |" * 9)
            continue
        ratio = f"{throughput.median / standard.median:.2f}x" if standard else ""
        cells = [
            _shown(entry, _per_second, "{:,.0f}"),
            ratio,
            _shown(entry, lambda each: each.closed.p50, "{:.2f}"),
            _shown(entry, lambda each: each.closed.p99, "{:.2f}"),
            _errors(each.closed.errors for each in entry.rounds),
            _shown(entry, lambda each: each.cpu_microseconds, "{:.0f}", spread=False),
            _shown(entry, _busy, "{:.0f} %", spread=False),
            _shown(entry, lambda each: each.ready_seconds, "{:.1f}"),
            _shown(entry, lambda each: each.idle_pss, "{:.0f}", spread=False),
            _shown(entry, lambda each: each.loaded_pss, "{:.0f}", spread=False),
        ]
        rows.append(f"| {entry.title} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _latency(results: Results) -> str:
    rows = ["| server | requests/s | p50 | p99 | p99.9 | max | errors |", "| --- |" + " ---: |" * 6]
    for entry in (each for each in results.servers.values() if each.rounds):
        for rate in results.settings.rates:
            cells = [
                _shown(entry, _at(str(rate), name), "{:.2f}")
                for name in ("p50", "p99", "p999", "max")
            ]
            wrong = _errors(each.open[str(rate)].errors for each in entry.rounds)
            rows.append(f"| {entry.title} | {rate} | {' | '.join(cells)} | {wrong} |")
    return "\n".join(rows)


def _batches(results: Results) -> str:
    raw = sorted(results.raw_rows_per_second)
    if not raw:
        return ""
    middle = raw[len(raw) // 2]
    rows = [
        "| server | sent as | rows/s | of ONNX Runtime alone |",
        "| --- | --- | ---: | ---: |",
        f"| ONNX Runtime alone | an array in the process | {middle:,.0f} | 100 % |",
    ]
    for entry in results.servers.values():
        for name in dict.fromkeys(name for each in entry.rounds for name in each.rows_per_second):
            rows_per_second = entry.spread(_rows(name))
            if rows_per_second:
                share = f"{rows_per_second.median / middle:.0%}".replace("%", " %")
                shown = _shown(entry, _rows(name), "{:,.0f}")
                rows.append(f"| {entry.title} | {name} | {shown} | {share} |")
    return "\n".join(rows)


def _faults(results: Results) -> str:
    lines = []
    for entry in results.servers.values():
        what = "a round failed" if entry.rounds else "not run"
        lines += [f"- {entry.title}: {what}: {fault}" for fault in dict.fromkeys(entry.faults)]
        refused = {key: why for each in entry.rounds for key, why in each.refused.items()}
        lines += [f"- {entry.title}: {key} failed: {why}" for key, why in refused.items()]
    return "\n".join(lines)


def _per_second(each: Measurement) -> float:
    return each.closed.per_second


def _busy(each: Measurement) -> float | None:
    return None if each.closed.busy is None else each.closed.busy * 100


def _rows(name: str) -> Figure:
    return lambda each: each.rows_per_second.get(name)


def _at(rate: str, name: str) -> Figure:
    def figure(each: Measurement) -> float | None:
        found: float | None = getattr(each.open[rate], name)
        return found

    return figure


def _shown(entry: Entry, figure: Figure, form: str, *, spread: bool = True) -> str:
    values = entry.spread(figure)
    if values is None:
        return ""
    middle = form.format(values.median)
    if not spread or len(entry.rounds) == 1:
        return middle
    return f"{middle} ({form.format(values.least)} to {form.format(values.most)})"


def _errors(rounds: Iterable[dict[str, int]]) -> str:
    """Format the errors of all rounds by kind."""
    total: Counter[str] = Counter()
    for each in rounds:
        total.update(each)
    return ", ".join(f"{count:,} {kind}" for kind, count in total.items()) or "0"
