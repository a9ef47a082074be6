"""`python flower.py FOLDER`: what `train.federated` does, by Flower's simulation on Ray.

Runs in Flower's own environment (infra/environment/locks/federated.txt), so it imports nothing of
Slipway. FOLDER holds clients.npz and told.json; weights.npy is written there.
"""

import json
import os
import sys
from pathlib import Path

FOLDER = Path(sys.argv[1])
# Before Flower and Ray are imported: neither may call home.
os.environ |= {"FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"}
# Ray's workers find client.py by it.
os.environ["PYTHONPATH"] = str(Path(__file__).parent)

import numpy as np  # noqa: E402
from client import Local, learnt  # type: ignore[import-not-found]  # noqa: E402
from flwr.app import (  # type: ignore[import-not-found]  # noqa: E402
    ArrayRecord,
    Context,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.clientapp import ClientApp  # type: ignore[import-not-found]  # noqa: E402
from flwr.serverapp import Grid, ServerApp  # type: ignore[import-not-found]  # noqa: E402
from flwr.serverapp.strategy import FedAvg  # type: ignore[import-not-found]  # noqa: E402
from flwr.simulation import run_simulation  # type: ignore[import-not-found]  # noqa: E402

TOLD = json.loads((FOLDER / "told.json").read_text())
client_app, server_app = ClientApp(), ServerApp()


@client_app.train()
def train(message: Message, context: Context) -> Message:
    client = int(context.node_config["partition-id"])
    with np.load(FOLDER / "clients.npz") as held:
        columns, truths = held[f"columns_{client}"], held[f"truths_{client}"]
    (weights,) = message.content["arrays"].to_numpy_ndarrays()
    # Flower counts rounds from 1.
    draw = (TOLD["seed"], client, int(message.content["config"]["server-round"]) - 1)
    found = learnt(weights, columns, truths, Local(**TOLD["local"]), draw)
    told = {"arrays": ArrayRecord([found]), "metrics": MetricRecord({"num-examples": len(truths)})}
    return Message(content=RecordDict(told), reply_to=message)


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    clients = TOLD["clients"]
    strategy = FedAvg(
        fraction_train=1.0,
        fraction_evaluate=0.0,
        min_train_nodes=clients,
        min_available_nodes=clients,
    )
    start = ArrayRecord([np.zeros(TOLD["columns"])])
    result = strategy.start(grid=grid, initial_arrays=start, num_rounds=TOLD["rounds"])
    (weights,) = result.arrays.to_numpy_ndarrays()
    np.save(FOLDER / "weights.npy", weights)


if __name__ == "__main__":
    quiet = {"include_dashboard": False, "log_to_driver": False}
    backend = {
        "init_args": {"num_cpus": 2, "object_store_memory": 100_000_000, **quiet},
        "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
    }
    run_simulation(server_app, client_app, num_supernodes=TOLD["clients"], backend_config=backend)
