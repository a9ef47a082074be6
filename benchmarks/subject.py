"""The model that all servers serve, trained for every benchmark."""

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks import work
from benchmarks.model import train
from slipway import home
from slipway.contract.shipped import Shipped

MODEL = Path(train.__file__).with_name("model.py")
ROWS = 64  # different records, sent in turn
BATCH = 1000


@dataclass(frozen=True)
class Subject:
    """`shipped` is a folder as MLflow saves it; `rows` are the records to send, (64, 30)
    float32."""

    shipped: Shipped
    trained: train.Trained
    rows: np.ndarray

    @property
    def graph(self) -> Path:
        return self.shipped.weights / "model.onnx"

    @cached_property
    def batch(self) -> np.ndarray:
        """Return the rows repeated to (1000, 30) float32."""
        return np.resize(self.rows, (BATCH, self.rows.shape[1]))

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        """Return the probabilities that every server must return, (rows,)."""
        from slipway.contract.graph import OnnxRuntimeGraph

        return OnnxRuntimeGraph(self.graph).run({"numbers": rows})["probabilities"][:, 1]


def build() -> Subject:
    """Train the model and save it as an MLflow pyfunc."""
    home.silence_telemetry()
    import mlflow
    from sklearn.datasets import load_breast_cancer

    from slipway.registry.register import requirements

    folder = work.folder() / "subject"
    shutil.rmtree(folder, ignore_errors=True)
    trained = train.train(folder)
    mlflow.pyfunc.save_model(
        folder / "mlflow_model",
        python_model=str(MODEL),
        artifacts={"weights": str(trained.weights), "about": str(trained.about)},
        pip_requirements=requirements(),
    )
    numbers = load_breast_cancer().data.astype(np.float32)
    return Subject(
        Shipped(folder / "mlflow_model"), trained, numbers[:: len(numbers) // ROWS][:ROWS].copy()
    )
