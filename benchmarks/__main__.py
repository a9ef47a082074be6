"""python -m benchmarks: measure every server and write the results.

A run of fewer servers or rounds, or with shorter loads, prints its tables and leaves results.json
and the README as they are.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

from benchmarks import registry, report, server, subject, work, wrk
from benchmarks.environments import versions
from benchmarks.measure import Settings, measure, raw_rows_per_second
from benchmarks.results import COMMITTED, Entry, Results
from benchmarks.rival import NotRun
from benchmarks.roster import ROSTER
from infra.load import machine
from slipway import home

QUICK = Settings(rounds=1, seconds=1.0, warm_seconds=0.5)


def main() -> int:
    arguments = _arguments()
    home.silence_telemetry()
    if (found := len(os.sched_getaffinity(0))) < 2:
        print(f"benchmarks: two cores are needed, one to serve and one to load; got {found}")
        return 1
    names = arguments.only or list(ROSTER)
    settings = _settings(arguments)
    results = Results(
        machine=machine.describe(),
        settings=settings,
        generator="wrk" if wrk.present() else "infra/load/generator.py",
    )
    usual = Settings()
    shorter = settings.rounds < usual.rounds or settings.seconds < usual.seconds
    whole = not arguments.only and not shorter
    file = COMMITTED if whole else work.folder() / "results.json"
    model = _prepare()
    for turn in range(settings.rounds):
        results.raw_rows_per_second.append(raw_rows_per_second(model, settings))
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            began = time.monotonic()
            outcome = _round(name, model, settings, results)
            print(
                f"round {turn + 1}, {name}: {outcome} ({time.monotonic() - began:.0f} s)",
                flush=True,
            )
            results.write(work.folder() / "results.json")
    results.servers = {name: results.servers[name] for name in names}
    results.write(file)
    if whole:
        report.write(results)
    print(f"\n{report.tables(results)}\n\nresults: {file}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, help="rounds; each measures every server once (3)")
    parser.add_argument("--seconds", type=float, help="seconds of each load (6)")
    parser.add_argument("--only", nargs="+", choices=list(ROSTER), metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="one round of 1 s a load")
    return parser.parse_args()


def _settings(arguments: argparse.Namespace) -> Settings:
    base = QUICK if arguments.quick else Settings()
    given = {name: getattr(arguments, name) for name in ("rounds", "seconds")}
    known = {name: value for name, value in given.items() if value is not None}
    return Settings.model_validate({**base.model_dump(), **known})


def _prepare() -> subject.Subject:
    """Build the model, and clear the registry."""
    registry.empty()
    with server.on_core(server.GENERATOR_CORE):
        return subject.build()


def _round(name: str, model: subject.Subject, settings: Settings, results: Results) -> str:
    """Measure one server into `results` and return a summary line."""
    entry = results.servers.setdefault(name, Entry(title=ROSTER[name].title))
    try:
        with ROSTER[name].opened(model) as rival:
            entry.versions = versions(rival.python, rival.packages)
            found = measure(rival, model, settings)
    except (NotRun, OSError, subprocess.SubprocessError) as error:
        entry.faults.append(str(error))
        return f"not run: {error}"
    entry.rounds.append(found)
    return f"{found.closed.per_second:,.0f} requests/s"


if __name__ == "__main__":
    # On SIGTERM, also stop the server that is running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
