"""Run the same training as `train.federated` by Flower's simulation on Ray.

Usage: `python flower.py FOLDER`. It runs in Flower's own environment
(infra/environment/locks/federated.txt), so it imports nothing from Slipway. FOLDER holds
clients.npz and settings.json, and weights.npy is written there.
"""

import json
import os
import sys
from pathlib import Path

FOLDER = Path(sys.argv[1])
# Set before Flower and Ray are imported, so that neither sends telemetry.
os.environ |= {"FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"}
# Ray's workers import client.py from this folder.
os.environ["PYTHONPATH"] = str(Path(__file__).parent)

import numpy as np  # noqa: E402
from client import Local, train_client  # type: ignore[import-not-found]  # noqa: E402
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

SETTINGS = json.loads((FOLDER / "settings.json").read_text())
client_app, server_app = ClientApp(), ServerApp()


@client_app.train()
def train(message: Message, context: Context) -> Message:
    client = int(context.node_config["partition-id"])
    with np.load(FOLDER / "clients.npz") as held:
        columns, y_true = held[f"columns_{client}"], held[f"labels_{client}"]
    (weights,) = message.content["arrays"].to_numpy_ndarrays()
    # Flower counts rounds from 1.
    draw = (SETTINGS["seed"], client, int(message.content["config"]["server-round"]) - 1)
    updated = train_client(weights, columns, y_true, Local(**SETTINGS["local"]), draw)
    metrics = MetricRecord({"num-examples": len(y_true)})
    content = {"arrays": ArrayRecord([updated]), "metrics": metrics}
    return Message(content=RecordDict(content), reply_to=message)


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    clients = SETTINGS["clients"]
    strategy = FedAvg(
        fraction_train=1.0,
        fraction_evaluate=0.0,
        min_train_nodes=clients,
        min_available_nodes=clients,
    )
    start = ArrayRecord([np.zeros(SETTINGS["columns"])])
    result = strategy.start(grid=grid, initial_arrays=start, num_rounds=SETTINGS["rounds"])
    (weights,) = result.arrays.to_numpy_ndarrays()
    np.save(FOLDER / "weights.npy", weights)


if __name__ == "__main__":
    quiet = {"include_dashboard": False, "log_to_driver": False}
    backend = {
        "init_args": {"num_cpus": 2, "object_store_memory": 100_000_000, **quiet},
        "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
    }
    run_simulation(
        server_app, client_app, num_supernodes=SETTINGS["clients"], backend_config=backend
    )
