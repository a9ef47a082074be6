"""The typed model as an MLflow pyfunc, so that any tool that knows MLflow can serve it."""

from pathlib import Path
from typing import Any, Protocol

from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from slipway.contract import serving
from slipway.contract.graph import threads_per_graph
from slipway.contract.record import Record


class TypedModel(Protocol):
    """The part of a model that MLflow serves; `slipway.contract.model` rests on this module."""

    def load(self, weights: Path) -> None:
        """Load the weights."""

    def predict(self, model_input: list[Any]) -> list[Any]:
        """Return one prediction per record, in order."""

    @classmethod
    def input_type(cls) -> type[Record]:
        """Return the type of a record."""

    @classmethod
    def output_type(cls) -> type[Record]:
        """Return the type of a prediction."""


def declare(model: TypedModel) -> None:
    """Tell MLflow, which reads a `model.py`, that this is its model."""
    set_model(as_pyfunc(model))


def as_pyfunc(model: TypedModel) -> PythonModel:
    """Wrap `model` as a pyfunc; MLflow takes the signature from the type hints set here."""

    def predict(self: PythonModel, model_input: list[Any]) -> list[Any]:
        return model.predict(model_input)

    predict.__annotations__ = {
        "model_input": list[model.input_type()],  # type: ignore[misc]
        "return": list[model.output_type()],  # type: ignore[misc]
    }

    def load_context(self: PythonModel, context: PythonModelContext) -> None:
        about = Path(context.artifacts["about"])
        with threads_per_graph(serving.read(about).threads):
            model.load(Path(context.artifacts["weights"]))

    name = f"Published{type(model).__name__}"
    members = {"predict": predict, "load_context": load_context, "model": model}
    return type(name, (PythonModel,), members)()
