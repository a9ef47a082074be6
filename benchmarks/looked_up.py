"""Measure latency with online feature look-ups: `python -m benchmarks.looked_up`.

Callers of the real repurchase model send only `customer_id`, and the server fetches the customer's
features from a redis-server. The same run measures callers who send the whole record. Writes
looked_up.json and its table in the README. Needs `dvc repro pipelines/ml/repurchase/dvc.yaml`.
"""

import http.client
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import dialects, server
from benchmarks.at_rates import AtRates, parser
from benchmarks.features import KEY, SERVICE, redis_server
from benchmarks.measure import Settings, generate
from benchmarks.rival import Call, NotRun, RequestBody, Rival
from infra.load import machine
from infra.load.generator import Figures
from slipway import home

FILE, MARK = Path(__file__).with_name("looked_up.json"), "looked up"
PATH = f"/v1/models/{SERVICE}/predict"
WAYS = {
    "customer_id": "`customer_id` alone, looked up in Redis",
    "record": "the whole record of 15 fields",
}
CUSTOMERS = 1000


def main() -> None:
    arguments = parser(__doc__).parse_args()
    home.silence_telemetry()
    settings = Settings(seconds=arguments.seconds)
    results = AtRates(WAYS, settings.rates, settings.seconds)
    machine_info = machine.describe()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        os.environ["SLIPWAY_HOME"] = name
        with server.on_core(server.GENERATOR_CORE):
            os.environ["SLIPWAY_REDIS_URL"] = stack.enter_context(redis_server(folder))
        bodies = prepare(folder)
        rival = stack.enter_context(serving(folder))
        requests = {
            way: [request(body, rival.port) for body in sent] for way, sent in bodies.items()
        }

        def load(way: str, rate: int) -> Figures:
            return generate(
                *(rival, rival.single, requests[way], settings, settings.seconds),
                rate=rate,
                # The generator never rests, and Redis shares its core.
                nice=10,
            )

        results.measure(arguments.rounds, load)
    print(results.table())
    if not arguments.dry:
        results.publish(machine_info, FILE, MARK)


def prepare(folder: Path) -> dict[str, list[bytes]]:
    """Register the trained model in `folder`, fill the feature store, and return the bodies to
    send."""
    import pyarrow.parquet as pq

    from slipway.features import offline
    from slipway.features.materialize import materialize
    from slipway.project import find
    from slipway.registry.signed import register
    from slipway.training.workspace import Workspace

    project = find(SERVICE)
    work = Workspace.for_project(project)
    if not work.weights.is_dir():
        raise SystemExit(f"{SERVICE} is not trained: dvc repro pipelines/ml/{SERVICE}/dvc.yaml")
    # A copy, since registration writes a receipt, which must not name this registry.
    copy = folder / "project"
    shutil.copytree(project.folder, copy)
    register(Workspace(project, project.params, copy))
    table = offline.build("customer_days")
    materialize(views=["customer_purchases", "customer_returns", "customer_baskets"])
    keys = sorted(set(pq.read_table(table, columns=[KEY])[KEY].to_pylist()))
    drawn = random.Random(7).sample(keys, CUSTOMERS)
    records = [each["input"] for each in json.loads(work.examples.read_text())]
    return {
        "customer_id": [json.dumps({KEY: key}).encode() for key in drawn],
        "record": [json.dumps(record).encode() for record in records],
    }


def request(body: bytes, port: int) -> bytes:
    call = Call(
        PATH,
        lambda _: RequestBody(body, dialects.JSON),
        dialects.probability_reader(),
        "probability",
    )
    return call.request(None, port)  # type: ignore[arg-type]


@contextmanager
def serving(folder: Path) -> Iterator[Rival]:
    """Run the model server over `folder`, with all features enabled."""
    port = home.free_port()
    rival = Rival(
        name="looked_up",
        python=Path(sys.executable),
        command=[sys.executable, "-m", "services.predict"],
        port=port,
        ready="/v1/ready",
        single=Call(PATH, dialects.record, dialects.probability_reader(), "probability"),
        environment={
            "PYTHONPATH": str(home.root()),
            "SLIPWAY_PREDICT_PORT": str(port),
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        },
    )
    with server.serving(rival):
        first = http.client.HTTPConnection(home.LOOPBACK, port, timeout=30)
        first.request("POST", PATH, b'{"customer_id": 12347}', dialects.JSON)
        response = first.getresponse()
        if response.status != 200:
            raise NotRun(f"{PATH} returns {response.status}: {response.read()[:300]!r}")
        first.close()
        yield rival


if __name__ == "__main__":
    main()
