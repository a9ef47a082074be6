"""The typed model: `predict(list[Input]) -> list[Output]`, and its ONNX base class."""

import sys
import typing
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from slipway.contract.graph import open_graph
from slipway.contract.lookup import Lookup
from slipway.contract.record import Record

# Names of modules that hold the code of one version each begin with this.
PRIVATE = "_slipway_shipped_"

# Published models, by the name of the module that published each.
_published: dict[str, "Model"] = {}


class Model(ABC):
    """A trained model behind typed records.

    A subclass writes `predict` with explicit type hints. The hints are the contract: the
    registered signature, the endpoint and its documentation are generated from them.
    """

    explained: ClassVar[str | None] = None
    """The numeric field of the prediction that explanations attribute to the record's fields."""

    protected: ClassVar[tuple[str, ...]] = ()
    """Record fields that the monitor watches for fairness: quality is measured per group."""

    looked_up: ClassVar[Lookup | None] = None
    """The source of the record fields that are missing when a caller sends only an entity key."""

    def load(self, weights: Path) -> None:  # noqa: B027 - nothing to load is a valid model
        """Load what `fit` wrote into the folder `weights`.

        Raises:
            FileNotFoundError: a file of the model is missing.
        """

    @abstractmethod
    def predict(self, model_input: list[Any]) -> list[Any]:
        """Return one prediction per record, in order."""

    def predict_columns(self, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Predict from columns (rows,) by record field; return columns by prediction field.

        Optional, for models whose features are plain arithmetic: no record is built, so large
        batches run at the speed of the graph. The caller has already checked the columns
        against the record's constraints. A missing number is NaN.
        """
        raise NotImplementedError(f"{type(self).__name__} predicts from records only")

    def monitoring_features(
        self, records: list[Any], predictions: list[Any]
    ) -> dict[str, np.ndarray]:
        """Return numbers (rows,) by name by which drift is watched, besides the plain fields.

        Optional, for records with pictures, sound or text: brightness, lengths, counts.
        """
        return {}

    @classmethod
    def predicts_columns(cls) -> bool:
        """Return whether the model implements `predict_columns`."""
        return cls.predict_columns is not Model.predict_columns

    @classmethod
    def input_type(cls) -> type[Record]:
        """Return the type of the record that a client sends, from `predict`'s type hints."""
        return cls._record_types()[0]

    @classmethod
    def output_type(cls) -> type[Record]:
        """Return the type of the prediction that a client gets, from `predict`'s type hints."""
        return cls._record_types()[1]

    @classmethod
    def _record_types(cls) -> tuple[type[Record], type[Record]]:
        hints = typing.get_type_hints(cls.predict)
        types = []
        for place in ("model_input", "return"):
            hint = hints.get(place)
            inner = typing.get_args(hint)
            record = inner[0] if typing.get_origin(hint) is list and inner else None
            problem = f"{cls.__name__}.predict: {place} must be list[a Record]"
            types.append(record_in(record, problem, hint))
        return types[0], types[1]


def record_in(found: Any, problem: str, hint: Any) -> type[Record]:
    """Return `found` if it is a type of records.

    Raises:
        TypeError: it is not; the message is the problem with the type hint.
    """
    if isinstance(found, type) and issubclass(found, Record):
        return found
    raise TypeError(f"{problem}, got {hint!r}")


class OnnxModel(Model):
    """A model whose weights are ONNX graphs, run by ONNX Runtime on the CPU.

    Most models have one, `model.onnx`. A model with several, such as `encoder.onnx` and
    `decoder.onnx`, names the one to run.
    """

    def load(self, weights: Path) -> None:
        """Open every `*.onnx` in the folder `weights`.

        Raises:
            FileNotFoundError: there is none.
        """
        files = sorted(weights.glob("*.onnx")) or [weights / "model.onnx"]
        self._graphs = {file.stem: open_graph(file) for file in files}

    def run(self, feeds: dict[str, np.ndarray], graph: str = "model") -> dict[str, np.ndarray]:
        """Run a graph: inputs by name to outputs by name; the first axis of each is the rows.

        `graph` is its file's name without `.onnx`.

        Raises:
            KeyError: the weights hold no such graph.
        """
        if graph not in self._graphs:
            raise KeyError(f"no {graph}.onnx in the weights, only {', '.join(self._graphs)}")
        return self._graphs[graph].run(feeds)


def publish(model: Model) -> None:
    """Declare the one model of a `model.py`; call it in the last line.

    If MLflow reads the file as "models from code", the model becomes a typed pyfunc. Training
    stages load the same file without MLflow, whose import takes 1.3 s.
    """
    model._record_types()
    module = type(model).__module__
    _published[module] = model
    # MLflow would keep a version that is loaded without it in memory.
    if not module.startswith(PRIVATE):
        hand_to_mlflow(model)


def hand_to_mlflow(model: Model) -> None:
    """Make `model` the typed pyfunc that MLflow reads from a file, if it is MLflow that reads."""
    if "mlflow.pyfunc" in sys.modules:
        from slipway.contract.pyfunc import declare

        declare(model)


def published_by(module: str) -> Model:
    """Return the model that the imported module named `module` published.

    Raises:
        TypeError: the module published none.
    """
    if module not in _published:
        raise TypeError(f"{module} publishes no model; its last line must be publish(...)")
    return _published[module]


def forget(model: Model) -> None:
    """Unload the modules of `model`, so that the memory of all of them is freed."""
    module = type(model).__module__
    forget_modules(module.partition(".")[0] if module.startswith(PRIVATE) else module)


def forget_modules(root: str) -> None:
    """Unload the module `root` and those inside it."""
    for name in [each for each in list(sys.modules) if f"{each}.".startswith(f"{root}.")]:
        _published.pop(name, None)
        del sys.modules[name]
