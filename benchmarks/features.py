"""How long a look-up of features takes: `python -m benchmarks.features`.

The real Online Retail customers in SQLite and in a redis-server of its own, asked for one by one
and a hundred at a time, beside Feast's own SDK on the same store. Writes features.json.
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

from benchmarks import machine
from slipway import debian, home

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
    told: dict[str, Any] = {"machine": machine.describe(), "calls": arguments.calls}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SLIPWAY_HOME"] = folder
        os.environ.pop("SLIPWAY_REDIS_URL", None)
        told["sqlite"] = measured(arguments.calls)
        with redis_server(Path(folder)) as url:
            os.environ["SLIPWAY_REDIS_URL"] = url
            told["redis"] = measured(arguments.calls)
    print(json.dumps(told, indent=1))
    if not arguments.dry:
        FILE.write_text(json.dumps(told, indent=1) + "\n")
        publish(told)


def publish(told: dict[str, Any]) -> None:
    """The table into the README of the feature repository."""
    rows = [
        "| milliseconds | "
        + " | ".join(f"{store}, {point}" for store in STORES for point in POINTS)
        + " |",
        "| --- |" + " ---: |" * len(STORES) * len(POINTS),
    ]
    for name, title in TITLES.items():
        values = [f"{told[store][name][point]:g}" for store in STORES for point in POINTS]
        rows.append(f"| {title} | {' | '.join(values)} |")
    seen = told["machine"]
    rows.append(
        f"\n{told['calls']:,} calls from one thread over {told['redis']['customers']:,} customers; "
        f"{seen['cpu']}, {seen['cores']} cores, load before {seen['load_before']:g}."
    )
    text = README.read_text()
    start, end = text.index(MARK), text.index(END)
    README.write_text(text[:start] + MARK + "\n\n" + "\n".join(rows) + "\n\n" + text[end:])


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Its address; it keeps nothing."""
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
                raise TimeoutError("redis-server did not come up in 30 s")
        yield f"redis://{home.LOOPBACK}:{port}/0"
    finally:
        process.terminate()
        process.wait(10)


def measured(calls: int) -> dict[str, Any]:
    """Milliseconds, over known customers drawn at random with a fixed seed."""
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
    sdk, _ = timed(feasts_own(keys, draw), calls // 10)
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


def feasts_own(keys: list[int], draw: random.Random) -> Callable[[], object]:
    """Feast's `get_online_features` of the same features; it counts days from now."""
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

    def ask() -> object:
        row = {KEY: draw.choice(keys), "asked_at": now}
        return store.get_online_features(features=service, entity_rows=[row]).to_dict()

    ask()
    return ask


def timed(call: Callable[[], object], times: int) -> tuple[np.ndarray, np.ndarray]:
    """Milliseconds of each call, (times,) each: by the clock, and of this thread's processor.

    On a machine with other work the first hold its pauses too.
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
