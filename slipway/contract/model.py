"""The typed model: `predict(list[Input]) -> list[Output]`, and its ONNX base class."""

import sys
import typing
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from slipway.contract.record import Record

# By the name of the module that published it.
_published: dict[str, "Model"] = {}


class Model(ABC):
    """A trained model behind typed records.

    A subclass writes `predict` with explicit type hints; the hints are the contract:
    the signature in the registry, the endpoint and its documentation all come from them.
    """

    def load(self, weights: Path) -> None:  # noqa: B027 - nothing to load is a valid model
        """Read what `fit` left in the folder `weights`.

        Raises:
            FileNotFoundError: a file of the model is missing.
        """

    @abstractmethod
    def predict(self, model_input: list[Any]) -> list[Any]:
        """Answer each record, in order; as many answers as records."""

    @classmethod
    def input_type(cls) -> type[Record]:
        """The record a client sends, from `predict`'s type hints."""
        return cls._record_types()[0]

    @classmethod
    def output_type(cls) -> type[Record]:
        """The record a client gets, from `predict`'s type hints."""
        return cls._record_types()[1]

    @classmethod
    def _record_types(cls) -> tuple[type[Record], type[Record]]:
        hints = typing.get_type_hints(cls.predict)
        found = []
        for place in ("model_input", "return"):
            hint = hints.get(place)
            inner = typing.get_args(hint)
            record = inner[0] if typing.get_origin(hint) is list and inner else None
            if not (isinstance(record, type) and issubclass(record, Record)):
                raise TypeError(
                    f"{cls.__name__}.predict: {place} must be list[a Record], got {hint!r}"
                )
            found.append(record)
        return found[0], found[1]


class OnnxModel(Model):
    """A model whose weights are the one file `model.onnx`, run by ONNX Runtime on CPU."""

    def load(self, weights: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # One request is one short call: threads of its own would only contend with others'.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        onnxruntime.disable_telemetry_events()
        file = weights / "model.onnx"
        if not file.is_file():
            raise FileNotFoundError(f"no model.onnx in {weights}")
        self._session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the graph: inputs by name to outputs by name, first axis the rows."""
        names = [output.name for output in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, feeds), strict=True))


def publish(model: Model) -> None:
    """Name the one model that a `model.py` ships; its last line.

    Read by MLflow as "models from code" it becomes a typed pyfunc. Training stages load the
    same file without MLflow, whose import takes 1.3 s.
    """
    model._record_types()
    _published[type(model).__module__] = model
    if "mlflow.pyfunc" in sys.modules:
        from slipway.contract.pyfunc import as_pyfunc

        sys.modules["mlflow"].models.set_model(as_pyfunc(model))


def published_by(module: str) -> Model:
    """The model that the imported module named `module` published.

    Raises:
        TypeError: it published none.
    """
    if module not in _published:
        raise TypeError(f"{module} publishes no model; its last line must be publish(...)")
    return _published[module]
