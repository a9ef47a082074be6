"""python -m benchmarks.media: pictures and streams, beside other servers and the engine alone.

Each round measures every server once, in rotating order, with and without batches of requests.
`--quick` runs one round of half a second a load, and writes nothing, as does `--only`.
"""

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from benchmarks import work
from benchmarks.environments import versions
from benchmarks.measure import Settings, check, generate
from benchmarks.media import encodings, roster, streams, subject
from benchmarks.media.registry import register
from benchmarks.media.results import MediaResults, Picture, publish, tables
from benchmarks.media.roster import SLIPWAY, Opened
from benchmarks.media.subject import MediaSubject
from benchmarks.rival import NotRun, Rival
from benchmarks.server import GENERATOR_CORE, Server, on_core, serving
from infra.load import machine
from slipway import home

ALONE, SERVED = "the model alone, in a process", "served, one stream at a time"
AT_ONCE = 4
SEVERAL = f"served, {AT_ONCE} streams at once"


def main() -> int:
    arguments = _arguments()
    home.silence_telemetry()
    quick = Settings(rounds=1, seconds=0.5, warm_seconds=0.2, connections=16)
    usual = Settings(rounds=arguments.rounds, seconds=2.5, warm_seconds=1.0, connections=16)
    settings = quick if arguments.quick else usual
    results = MediaResults(
        machine=machine.describe(),
        rounds=settings.rounds,
        seconds=settings.seconds,
        connections=settings.connections,
    )
    with on_core(GENERATOR_CORE):
        model = subject.build()
        servers = roster.roster(register(model))
    names = arguments.only or list(servers)
    for turn in range(settings.rounds):
        _measure_alone(model, settings, results)
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            for batches in (True, False):
                began = time.monotonic()
                outcome = _measure(name, servers[name], batches, model, settings, results)
                title = f"round {turn + 1}, {name}, batches {'on' if batches else 'off'}"
                print(f"{title}: {outcome} ({time.monotonic() - began:.0f} s)", flush=True)
    _sort(results, names)
    print(f"\n{tables(results)}")
    if arguments.quick or arguments.only:
        return 0
    if not results.comparable():
        print("nothing was written: a server ran in some rounds only, so ratios would be wrong")
        return 1
    publish(results)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.media", description=__doc__)
    titles = [*roster.roster("")]
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=titles, metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="one round of 0.5 s a load")
    return parser.parse_args()


def _measure(
    name: str,
    opened: Callable[[MediaSubject, bool], Opened],
    batches: bool,
    model: MediaSubject,
    settings: Settings,
    results: MediaResults,
) -> str:
    """Measure one server into `results` and return a summary line."""
    found = results.with_batches if batches else results.without_batches
    try:
        with opened(model, batches) as rival:
            results.versions |= versions(rival.python, rival.packages)
            with serving(rival) as server:
                check(rival, model.rows, model.probabilities)
                sent = [rival.single.request(model.rows[n : n + 1], rival.port) for n in range(64)]
                picture = _load(rival, server, sent, settings)
                found.setdefault(name, []).append(picture)
                if name == SLIPWAY and batches:
                    _measure_slipway(rival, server, model, settings, results)
                server.check_pinned()
    except (NotRun, OSError, subprocess.SubprocessError) as error:
        results.faults.append(f"{name}, batches {'on' if batches else 'off'}: {error}"[:300])
        return f"not run: {error}"
    return f"{picture.load.per_second:,.0f} requests/s, p99 {picture.load.p99:.0f} ms"


def _load(rival: Rival, server: Server, sent: list[bytes], settings: Settings) -> Picture:
    generate(rival, rival.single, sent, settings, settings.warm_seconds)
    used = server.cpu_seconds()
    load = generate(rival, rival.single, sent, settings, settings.seconds)
    used = server.cpu_seconds() - used
    return Picture(load=load, cpu_ms=used * 1000 / max(1.0, load.per_second * settings.seconds))


def _measure_slipway(
    rival: Rival, server: Server, model: MediaSubject, settings: Settings, results: MediaResults
) -> None:
    for way, sent in encodings.requests(model, rival.port).items():
        results.encodings.setdefault(way, []).append(_load(rival, server, sent, settings))
        results.sizes[way] = sum(map(len, sent)) // len(sent)
    for title, at_once in ((SERVED, 1), (SEVERAL, AT_ONCE)):
        streams.served(rival.port, settings.warm_seconds, at_once)
        figures = streams.served(rival.port, settings.seconds, at_once)
        results.streams.setdefault(title, []).append(figures)


def _measure_alone(model: MediaSubject, settings: Settings, results: MediaResults) -> None:
    figures = streams.alone(model, settings.seconds)
    results.streams.setdefault(ALONE, []).append(figures)


def _sort(results: MediaResults, names: list[str]) -> None:
    """Put the servers into their usual order: the rounds begin with another one each."""
    for found in (results.with_batches, results.without_batches):
        ordered = {name: found.pop(name) for name in names if name in found}
        found.update(ordered)


if __name__ == "__main__":
    work.folder().mkdir(parents=True, exist_ok=True)
    # On SIGTERM, also stop the server that is running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
