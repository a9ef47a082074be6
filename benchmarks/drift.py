"""Measure the monitor's false alarms, its power, and the cost of a million rows.

Run with `python -m benchmarks.drift`.

It uses the references of the champions in this checkout's registry: train them first (`make
repro`). It writes drift.json beside this file, two pictures, and the tables of
services/monitor/README.md.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from services.monitor import drift
from services.monitor.catalogue import Catalogue, Reference
from services.monitor.drift import FieldDrift, Rule
from services.monitor.layout import Values
from services.monitor.settings import Settings
from slipway import home

if __name__ == "__main__":
    home.silence_telemetry()

RESULTS = Path(__file__).with_name("drift.json")
PROJECTS = ("titanic", "house_prices", "spam", "fashion_mnist")
SIZES = (200, 500, 1000, 2000)
REPLAYED = (200, 1000)
PARTS = ("alarms", "power", "million")


def main() -> int:
    arguments = _arguments()
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    references = _references()
    if missing := [name for name in PROJECTS if name not in references]:
        print(f"drift: no champion with a reference: {', '.join(missing)}; make repro")
        return 1
    rows = {name: _values(each) for name, each in references.items()}
    if "alarms" in arguments.only:
        found["windows"] = arguments.windows
        found["alarms"] = {
            name: _alarms(references[name], rows[name], arguments.windows) for name in PROJECTS
        }
        _write(found)
    if "power" in arguments.only:
        found["repeats"] = arguments.repeats
        found["power"] = {
            name: _power(references[name], rows[name], arguments.repeats) for name in PROJECTS
        }
        _write(found)
    if "million" in arguments.only:
        from benchmarks import million

        with tempfile.TemporaryDirectory(prefix="slipway-million-") as scratch:
            found["million"] = million.measure(Path(scratch), rows=arguments.rows)
        _write(found)
    from benchmarks import drift_report

    drift_report.write(found)
    print(drift_report.tables(found))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift", description=__doc__)
    parser.add_argument(
        "--windows", type=int, default=100, help="undrifted windows of each kind (100)"
    )
    parser.add_argument(
        "--repeats", type=int, default=10, help="repeats of each planted drift (10)"
    )
    parser.add_argument(
        "--rows", type=int, default=1_000_000, help="rows of the large log (a million)"
    )
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    return parser.parse_args()


def _references() -> dict[str, Reference]:
    catalogue = Catalogue(Settings())
    catalogue.refresh()
    return {name: catalogue.reference(name) for name in PROJECTS if name in catalogue.champions}


def _values(reference: Reference) -> list[Values]:
    return [reference.layout.values(row["record"], row["prediction"]) for row in reference.rows]


def _alarms(reference: Reference, rows: list[Values], windows: int) -> dict[str, Any]:
    """Count alarms in undrifted windows, by how these were drawn, for each rule.

    `fresh`: the test rows are split at random into two halves, one the reference and one the
    window, with no row in both. `replay`: rows drawn with replacement from all of them.
    """
    counts: dict[str, Any] = {"reference_rows": len(rows), "columns": len(reference.layout.numeric)}
    rng = random.Random(1)
    # Half of Titanic's 179 test rows are fewer than the service's minimum.
    rule = Rule(least_rows=min(Rule().least_rows, len(rows) // 2))
    counts["fresh"] = _counted(reference, [_halves(rows, rng) for _ in range(windows)], rule)
    for size in REPLAYED:
        pairs = [(rows, rng.choices(rows, k=size)) for _ in range(windows)]
        counts[f"replay {size}"] = _counted(reference, pairs)
    print(f"{reference.version.name}: {counts}", flush=True)
    return counts


def _halves(rows: list[Values], rng: random.Random) -> tuple[list[Values], list[Values]]:
    shuffled = rng.sample(rows, len(rows))
    half = len(rows) // 2
    return shuffled[half:], shuffled[:half]


def _counted(
    reference: Reference,
    pairs: list[tuple[list[Values], list[Values]]],
    rule: Rule | None = None,
) -> dict[str, Any]:
    rule = rule or Rule()
    counts: Counter[str] = Counter()
    for known, window in pairs:
        found = _compared(reference, known, window, rule)
        counts["alarm"] += any(each.drifted for each in found)
        counts["effect alone"] += any(each.effect >= each.threshold for each in found)
        counts["significance alone"] += any(each.p_value <= rule.alpha for each in found)
    return {
        "windows": len(pairs),
        "rows": len(pairs[0][1]),
        **{name: counts[name] for name in ("alarm", "effect alone", "significance alone")},
    }


def _compared(
    reference: Reference, known: list[Values], window: list[Values], rule: Rule
) -> list[FieldDrift]:
    layout = reference.layout
    return drift.compare(layout.table(known), layout.table(window), layout, rule)


def _power(reference: Reference, rows: list[Values], repeats: int) -> list[dict[str, Any]]:
    """Return how often each planted drift was detected and attributed, by window size."""
    records = [row["record"] for row in reference.rows]
    results = []
    for planted in _planted(reference.version.name, records):
        rng = random.Random(2)
        detected: dict[str, float] = {}
        others = 0
        for size in SIZES:
            hits = 0
            for _ in range(repeats):
                window = _drifted(reference, rows, planted, size, rng)
                found = drift.compare(
                    reference.table, reference.layout.table(window), reference.layout, Rule()
                )
                names = {each.field.partition(":")[0] for each in found if each.drifted}
                hits += planted.field in names
                others += bool(names - {planted.field})
            detected[str(size)] = hits / repeats
        results.append(
            {
                "drift": planted.title,
                "found": detected,
                "others_named": others / (repeats * len(SIZES)),
            }
        )
        print(f"{reference.version.name}: {results[-1]}", flush=True)
    return results


def _drifted(
    reference: Reference, rows: list[Values], planted: Any, size: int, rng: random.Random
) -> list[Values]:
    """Draw rows again, with drift planted in a field, and with their original predictions."""
    drawn = rng.choices(range(len(rows)), k=size)
    records = planted.plant([reference.rows[row]["record"] for row in drawn], rng)
    answers = [reference.rows[row]["prediction"] for row in drawn]
    return [
        reference.layout.values(record, answer)
        for record, answer in zip(records, answers, strict=True)
    ]


def _planted(name: str, records: list[dict[str, Any]]) -> list[Any]:
    from benchmarks import planted

    if name == "spam":
        return [planted.shorter("body", share) for share in (0.9, 0.75, 0.5)]
    if name == "fashion_mnist":
        return [planted.brighter("image", levels) for levels in (5, 10, 25)]
    if name == "house_prices":
        return [
            *(planted.shift("living_area", size, records) for size in (0.25, 0.5, 1.0)),
            planted.scale("living_area", 2.0, records),
            planted.swap("neighborhood", 0.25, records),
            planted.missing("lot_frontage", 0.3),
        ]
    return [
        *(planted.shift("age", size, records) for size in (0.25, 0.5, 1.0)),
        *(planted.scale("age", size, records) for size in (1.5, 2.0)),
        *(planted.swap("sex", size, records) for size in (0.1, 0.25, 0.5)),
        *(planted.missing("age", size) for size in (0.1, 0.3)),
    ]


def _write(found: dict[str, Any]) -> None:
    from infra.load import machine

    # Keep the parts that another run measured meanwhile.
    held = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    found.update({**held, **found})
    found["machine"] = machine.describe()
    found["measured"] = time.strftime("%Y-%m-%d", time.gmtime())
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
