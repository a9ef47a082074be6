"""Measure the time of a feature look-up: `python -m benchmarks.features`.

Uses the real Online Retail customers in SQLite and in a separate redis-server, looked up one by one
and a hundred at a time, and compares with Feast's own SDK on the same store. Writes features.json.
"""

import argparse
import json
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from infra.load import machine
from slipway import home
from slipway.programs import debian

FILE = Path(__file__).with_name("features.json")
SERVICE, KEY = "repurchase", "customer_id"
MANY = 100
README = home.root() / "feature_repo" / "README.md"
MARK, END = "<!-- figures -->", "<!-- /figures -->"
STORES, POINTS = ("sqlite", "redis"), ("p50", "p99")
TITLES = {
    "one_key_milliseconds": "one key",
    "one_key_processor_milliseconds": "one key, processor time of the caller",
    f"{MANY}_keys_milliseconds": f"{MANY} keys in one call",
    "one_key_by_feasts_sdk_milliseconds": "one key by Feast's own SDK",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=20_000, help="look-ups of one key")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    results: dict[str, Any] = {"machine": machine.describe(), "calls": arguments.calls}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SLIPWAY_HOME"] = folder
        os.environ.pop("SLIPWAY_REDIS_URL", None)
        results["sqlite"] = measure(arguments.calls)
        with redis_server(Path(folder)) as url:
            os.environ["SLIPWAY_REDIS_URL"] = url
            results["redis"] = measure(arguments.calls)
    print(json.dumps(results, indent=1))
    if not arguments.dry:
        FILE.write_text(json.dumps(results, indent=1) + "\n")
        publish(results)


def publish(results: dict[str, Any]) -> None:
    """Write the table into the README of the feature repository."""
    rows = [
        "| milliseconds | "
        + " | ".join(f"{store}, {point}" for store in STORES for point in POINTS)
        + " |",
        "| --- |" + " ---: |" * len(STORES) * len(POINTS),
    ]
    for name, title in TITLES.items():
        values = [f"{results[store][name][point]:g}" for store in STORES for point in POINTS]
        rows.append(f"| {title} | {' | '.join(values)} |")
    machine_info = results["machine"]
    rows.append(
        f"\n{results['calls']:,} calls from one thread over {results['redis']['customers']:,} "
        f"customers; "
        f"{machine_info['cpu']}, {machine_info['cores']} cores, load before "
        f"{machine_info['load_before']:g}."
    )
    text = README.read_text()
    start, end = text.index(MARK), text.index(END)
    README.write_text(text[:start] + MARK + "\n\n" + "\n".join(rows) + "\n\n" + text[end:])


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Start a redis-server that persists nothing, and yield its address."""
    import redis

    from slipway.home import free_port

    port = free_port()
    command = [str(debian.binary("redis-server")), "--port", str(port), "--bind", home.LOOPBACK]
    command += ["--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        client = redis.Redis(host=home.LOOPBACK, port=port)
        deadline = time.monotonic() + 30
        while not client.ping():
            if time.monotonic() > deadline:
                raise TimeoutError("redis-server did not start in 30 s")
        yield f"redis://{home.LOOPBACK}:{port}/0"
    finally:
        process.terminate()
        process.wait(10)


def measure(calls: int) -> dict[str, Any]:
    """Return milliseconds, over known customers drawn at random with a fixed seed."""
    from slipway.features import offline, places
    from slipway.features.materialize import materialize
    from slipway.features.online import Online

    start = time.perf_counter()
    table = offline.build("customer_days")
    built = time.perf_counter() - start
    start = time.perf_counter()
    marks = materialize(views=["customer_purchases", "customer_returns", "customer_baskets"])
    filled = time.perf_counter() - start
    import pyarrow.parquet as pq

    keys = sorted(set(pq.read_table(table, columns=[KEY])[KEY].to_pylist()))
    draw = random.Random(7)
    online = Online(timeout=1.0)
    start = time.perf_counter()
    online.warm(SERVICE)
    warmed = time.perf_counter() - start
    first, _ = timed(lambda: online.look_up(SERVICE, KEY, [keys[0]]), 1)
    one, work = timed(lambda: online.look_up(SERVICE, KEY, [draw.choice(keys)]), calls)
    many, _ = timed(lambda: online.look_up(SERVICE, KEY, draw.sample(keys, MANY)), calls // 20)
    sdk, _ = timed(feast_lookup(keys, draw), calls // 10)
    return {
        "store": "redis" if places.redis_url() else "sqlite",
        "customers": len(keys),
        "build_seconds": round(built, 2),
        "materialize_seconds": round(filled, 2),
        "rows_materialized": sum(mark.rows for mark in marks),
        "warm_milliseconds": round(warmed * 1000, 1),
        "first_after_warm_milliseconds": round(float(first[0]), 3),
        "one_key_milliseconds": spread(one),
        "one_key_processor_milliseconds": spread(work),
        f"{MANY}_keys_milliseconds": spread(many),
        "one_key_by_feasts_sdk_milliseconds": spread(sdk),
    }


def feast_lookup(keys: list[int], draw: random.Random) -> Callable[[], object]:
    """Return a call of Feast's `get_online_features` for the same features."""
    from datetime import UTC, datetime

    from feast import FeatureStore

    from slipway.features import definitions, places
    from slipway.features.apply import apply

    apply()
    url = places.redis_url()
    place = (
        {"type": "redis", "connection_string": url.split("/")[2]}
        if url
        else {"type": "sqlite", "path": str(places.online_file())}
    )
    store = FeatureStore(config=definitions.config(places.registry(), place))
    service = store.get_feature_service(SERVICE)
    now = datetime.now(UTC)

    def look_up() -> object:
        row = {KEY: draw.choice(keys), "asked_at": now}
        return store.get_online_features(features=service, entity_rows=[row]).to_dict()

    look_up()
    return look_up


def timed(call: Callable[[], object], times: int) -> tuple[np.ndarray, np.ndarray]:
    """Return milliseconds of each call, (times,) each: wall time, and CPU time of this thread.

    On a busy machine the wall time includes pauses.
    """
    clock, processor = np.empty(times), np.empty(times)
    for place in range(times):
        start, worked = time.perf_counter(), time.thread_time()
        call()
        processor[place] = time.thread_time() - worked
        clock[place] = time.perf_counter() - start
    return clock * 1000, processor * 1000


def spread(milliseconds: np.ndarray) -> dict[str, float]:
    points = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9}
    return {name: round(float(np.percentile(milliseconds, at)), 3) for name, at in points.items()}


if __name__ == "__main__":
    main()
