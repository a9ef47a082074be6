"""The typed model: `predict(list[Input]) -> list[Output]`, and its ONNX base class."""

import importlib
import sys
import typing
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from slipway.contract.graph import open_graph
from slipway.contract.lookup import Lookup
from slipway.contract.record import Record

# By the name of the module that published it.
_published: dict[str, "Model"] = {}


class Model(ABC):
    """A trained model behind typed records.

    A subclass writes `predict` with explicit type hints; the hints are the contract:
    the signature in the registry, the endpoint and its documentation all come from them.
    """

    explained: ClassVar[str | None] = None
    """The number in the answer that explanations divide among the fields of the record."""

    protected: ClassVar[tuple[str, ...]] = ()
    """Fields of the record that must not decide who is served well: each is watched by group."""

    looked_up: ClassVar[Lookup | None] = None
    """Where the record's fields come from when a caller sends only whom it is about."""

    def load(self, weights: Path) -> None:  # noqa: B027 - nothing to load is a valid model
        """Read what `fit` left in the folder `weights`.

        Raises:
            FileNotFoundError: a file of the model is missing.
        """

    @abstractmethod
    def predict(self, model_input: list[Any]) -> list[Any]:
        """Answer each record, in order; as many answers as records."""

    def predict_columns(self, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Answer whole columns, (rows,) each: fields of the record to fields of the answer.

        Optional, for models whose features are plain arithmetic: no record is built, so large
        batches run at the speed of the graph. The caller has held the columns against the
        record's constraints; an unknown number is not-a-number.
        """
        raise NotImplementedError(f"{type(self).__name__} answers records only")

    @classmethod
    def answers_columns(cls) -> bool:
        return cls.predict_columns is not Model.predict_columns

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
    """A model whose weights are the one file `model.onnx`; ONNX Runtime on CPU runs it."""

    def load(self, weights: Path) -> None:
        self._graph = open_graph(weights / "model.onnx")

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the graph: inputs by name to outputs by name, first axis the rows."""
        return self._graph.run(feeds)


def publish(model: Model) -> None:
    """Name the one model that a `model.py` ships; its last line.

    Read by MLflow as "models from code" it becomes a typed pyfunc. Training stages load the
    same file without MLflow, whose import takes 1.3 s.
    """
    model._record_types()
    _published[type(model).__module__] = model
    if "mlflow.pyfunc" in sys.modules:
        # By name: an import would make every training stage depend on MLflow.
        pyfunc = importlib.import_module("slipway.contract.pyfunc")
        sys.modules["mlflow"].models.set_model(pyfunc.as_pyfunc(model))


def published_by(module: str) -> Model:
    """The model that the imported module named `module` published.

    Raises:
        TypeError: it published none.
    """
    if module not in _published:
        raise TypeError(f"{module} publishes no model; its last line must be publish(...)")
    return _published[module]


def forget(model: Model) -> None:
    """Let go of the module that published `model`, so that its memory is freed with it."""
    module = type(model).__module__
    _published.pop(module, None)
    sys.modules.pop(module, None)
