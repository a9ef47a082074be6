"""Latency of the whole docker-compose.yml: `python -m benchmarks.through_compose`.

Through the front door to two model servers, with every container up, every answer on record and
a feature store in Redis; the generator is the `load` container, on the same machine. Callers of
the churn model send a customer's code alone, or the whole record. Writes through_compose.json and
its table in the README. Wants a Docker engine.
"""

import base64
import json
import random
import tempfile
from pathlib import Path

from benchmarks import machine
from benchmarks.at_rates import AtRates, parser
from benchmarks.load import Figures, Order
from infra.chaos import prepare
from infra.chaos.judge import LOOKED_UP, PLAIN
from infra.locust.mix import Ask
from infra.locust.open_loop import raw
from infra.locust.plan import Plan
from slipway import home
from slipway.stack.running import Stack

PROJECT = "slipway-bench"
FILE, MARK = Path(__file__).with_name("through_compose.json"), "through compose"
MODEL, KEY = prepare.WITH_FEATURES, "telco_customer_id"
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
    words = parser(__doc__)
    words.add_argument("--build", action="store_true", help="the images first")
    arguments = words.parse_args()
    home.silence_telemetry()
    seen = machine.describe()
    results = AtRates(WAYS, RATES, arguments.seconds)
    up = prepare.stack(print, build=arguments.build, project=PROJECT, overrides=())
    with up as (stack, left_out):
        key = stack.key("benchmark", "predict")
        # Waits until both models answer.
        prepare.callers(stack, {PLAIN: 1, LOOKED_UP: 1}, key)
        orders = {way: ordered(sent, key) for way, sent in bodies().items()}

        def load(way: str, rate: int, seconds: float = arguments.seconds) -> Figures:
            order = orders[way].model_copy(update={"rate": rate, "seconds": seconds})
            return generated(stack, order)

        for way in WAYS:
            load(way, RATES[-1], WARM_SECONDS)
        results.measure(arguments.rounds, load)
    print(results.table())
    print(f"not up, for want of an image: {', '.join(left_out) or 'none'}")
    if not arguments.dry:
        results.publish(seen, FILE, MARK)


def bodies() -> dict[str, list[bytes]]:
    """What callers send, by way: codes of real customers, and the model's examples."""
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


def generated(stack: Stack, order: Order) -> Figures:
    """By the generator in the container `load`, which is on the front door's own loopback."""
    with tempfile.NamedTemporaryFile("w") as written:
        written.write(order.model_dump_json())
        written.flush()
        words = ("run", "--rm", "-T", "--no-deps", "--entrypoint", "python", "load")
        done = stack.compose(*words, "-m", "benchmarks.load", input=Path(written.name))
    return Figures.model_validate_json(done.stdout)


def ordered(sent: list[bytes], key: str) -> Order:
    """These requests to the front door; without a rate yet."""
    plan = Plan(key=key)
    requests = [raw(Ask(MODEL, PATH, body, 1), plan) for body in sent]
    return Order(
        host=home.LOOPBACK,
        port=home.PORTS["predict"],
        requests=[base64.b64encode(each).decode() for each in requests],
        key="predictions",
        connections=CONNECTIONS,
        seconds=WARM_SECONDS,
        # Two cores are all that generator and stack have.
        resting=True,
    )


if __name__ == "__main__":
    main()
