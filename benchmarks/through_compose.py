"""Measure latency through the whole docker-compose.yml: `python -m benchmarks.through_compose`.

Requests go through the proxy to two model servers, with every container running, every prediction
on record and a feature store in Redis. The generator is the `load` container on the same machine.
Callers of the repurchase model send only a customer's number, or the whole record. Writes
through_compose.json and its table in the README. Needs a Docker engine.
"""

import base64
import json
import random
import tempfile
from pathlib import Path

from benchmarks.at_rates import AtRates, parser
from infra.chaos import prepare
from infra.chaos.judge import LOOKED_UP, PLAIN
from infra.compose.running import Stack
from infra.load import machine
from infra.load.generator import Figures, LoadSpec
from infra.locust.mix import PredictRequest
from infra.locust.open_loop import raw
from infra.locust.plan import LoadPlan
from slipway import home

PROJECT = "slipway-bench"
FILE, MARK = Path(__file__).with_name("through_compose.json"), "through compose"
MODEL, KEY = prepare.WITH_FEATURES, prepare.KEY
PATH = f"/v1/models/{MODEL}/predict"
WAYS = {
    "key": f"`{KEY}` alone, looked up in Redis",
    "record": "the whole record",
}
RATES = (200, 500, 1000)
CUSTOMERS = 1000
CONNECTIONS = 64
WARM_SECONDS = 5.0


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--build", action="store_true", help="build the images first")
    arguments = options.parse_args()
    home.silence_telemetry()
    machine_info = machine.describe()
    results = AtRates(WAYS, RATES, arguments.seconds)
    running = prepare.stack(print, build=arguments.build, project=PROJECT, overrides=())
    with running as (stack, left_out):
        key = stack.key("benchmark", "predict")
        # Waits until both models respond.
        prepare.callers(stack, {PLAIN: 1, LOOKED_UP: 1}, key)
        specs = {way: load_spec(sent, key) for way, sent in bodies().items()}

        def load(way: str, rate: int, seconds: float = arguments.seconds) -> Figures:
            spec = specs[way].model_copy(update={"rate": rate, "seconds": seconds})
            return generate(stack, spec)

        for way in WAYS:
            load(way, RATES[-1], WARM_SECONDS)
        results.measure(arguments.rounds, load)
    print(results.table())
    print(f"not running for lack of an image: {', '.join(left_out) or 'none'}")
    if not arguments.dry:
        results.publish(machine_info, FILE, MARK)


def bodies() -> dict[str, list[bytes]]:
    """Return the bodies to send, by way: codes of real customers, and the model's examples."""
    import pyarrow.parquet as pq

    from slipway.features import offline

    table = offline.build(prepare.TABLE)
    codes = sorted(set(pq.read_table(table, columns=[KEY])[KEY].to_pylist()))
    examples = json.loads((home.root() / "pipelines" / "ml" / MODEL / "examples.json").read_text())
    return {
        "key": [
            json.dumps({KEY: code}).encode() for code in random.Random(7).sample(codes, CUSTOMERS)
        ],
        "record": [json.dumps(each["input"]).encode() for each in examples],
    }


def generate(stack: Stack, spec: LoadSpec) -> Figures:
    """Run the generator in the container `load`, which shares the proxy's network namespace."""
    with tempfile.NamedTemporaryFile("w") as written:
        written.write(spec.model_dump_json())
        written.flush()
        args = ("run", "--rm", "-T", "--no-deps", "--entrypoint", "python", "load")
        done = stack.compose(*args, "-m", "infra.load.generator", input=Path(written.name))
    return Figures.model_validate_json(done.stdout)


def load_spec(sent: list[bytes], key: str) -> LoadSpec:
    """Return the load of these requests on the proxy, without a rate."""
    plan = LoadPlan(key=key)
    requests = [raw(PredictRequest(MODEL, PATH, body, 1), plan) for body in sent]
    return LoadSpec(
        host=home.LOOPBACK,
        port=home.PORTS["predict"],
        requests=[base64.b64encode(each).decode() for each in requests],
        key="predictions",
        connections=CONNECTIONS,
        seconds=WARM_SECONDS,
        # Generator and stack share two cores.
        resting=True,
    )


if __name__ == "__main__":
    main()
