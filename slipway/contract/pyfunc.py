"""The typed model as an MLflow pyfunc, so that any tool that knows MLflow can serve it."""

from pathlib import Path
from typing import Any

from mlflow.pyfunc.model import PythonModel, PythonModelContext

from slipway.contract import serving
from slipway.contract.graph import threads_per_graph
from slipway.contract.model import Model


def as_pyfunc(model: Model) -> PythonModel:
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
