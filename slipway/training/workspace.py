"""The files that a project's stages write, and how numbers are rounded in them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.contract import Model, Record
from slipway.contract.graph import threads_per_graph
from slipway.project import Params, Project

# Further digits are noise of the floating-point arithmetic.
DIGITS = 6
# ONNX Runtime chooses kernels by the processor, and their results differ by up to a millionth.
EXAMPLE_DIGITS, EXAMPLE_DECIMALS = 4, 6


def rounded(value: Any, digits: int = DIGITS) -> Any:
    """Return `value` with every float in it rounded to `digits` significant digits."""
    if isinstance(value, float):
        return float(f"{value:.{digits}g}")
    if isinstance(value, dict):
        return {key: rounded(item, digits) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item, digits) for item in value]
    return value


def coarse(value: Any) -> Any:
    """Return a prediction with floats rounded so far that they are equal on every processor.

    That is 4 significant digits and 6 decimals: for a probability of 3e-8 no digit is reproducible.
    """
    if isinstance(value, float):
        return round(rounded(value, EXAMPLE_DIGITS), EXAMPLE_DECIMALS)
    if isinstance(value, dict):
        return {key: coarse(item) for key, item in value.items()}
    return [coarse(item) for item in value] if isinstance(value, list) else value


def write_json(file: Path, value: Any) -> None:
    """Write `value` as JSON, floats rounded to 6 significant digits."""
    text = json.dumps(rounded(value), indent=1, ensure_ascii=False, allow_nan=False)
    file.write_text(text + "\n")


def write_examples(file: Path, records: Sequence[Record], predictions: Sequence[Record]) -> None:
    """Write records with their predictions, rounded by `coarse`."""
    write_json(
        file,
        [
            {
                "input": record.model_dump(mode="json"),
                "output": coarse(prediction.model_dump(mode="json")),
            }
            for record, prediction in zip(records, predictions, strict=True)
        ],
    )


@dataclass(frozen=True)
class Workspace:
    """A project with the parameters of this run and the folder that it writes into."""

    project: Project
    params: Params
    folder: Path
    rows: int | None = None
    """The number of rows to keep of each split; all if None."""

    @classmethod
    def for_project(cls, project: Project) -> "Workspace":
        """Return the workspace in the project's own folder, which its `dvc.yaml` uses."""
        return cls(project, project.params, project.folder)

    @classmethod
    def tiny(cls, project: Project, folder: Path) -> "Workspace":
        """Return a workspace in `folder` with few rows and the parameters under `tiny`."""
        params = project.params
        return cls(project, params.shrunk(), folder, params.tiny.rows)

    @property
    def data(self) -> Path:
        return self.folder / "work" / "data"

    @property
    def weights(self) -> Path:
        return self.folder / "work" / "weights"

    @property
    def candidates(self) -> Path:
        return self.folder / "work" / "candidates.json"

    @property
    def parity(self) -> Path:
        return self.folder / "work" / "parity.json"

    @property
    def report(self) -> Path:
        return self.folder / "work" / "report"

    @property
    def receipt(self) -> Path:
        return self.folder / "work" / "receipt.json"

    @property
    def volatile(self) -> Path:
        """Files that differ between equal runs (times, origins): kept, but not tracked."""
        return self.folder / "work" / "volatile"

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.json"

    @property
    def examples(self) -> Path:
        return self.folder / "examples.json"

    def model(self) -> Model:
        """Return the project's model with the weights of this run, and the threads of serving."""
        model = self.project.model()
        with threads_per_graph(self.params.latency.threads):
            model.load(self.weights)
        return model

    def note(self, name: str, value: Any) -> None:
        """Write `value` as JSON to the file `name` in `volatile`."""
        self.volatile.mkdir(parents=True, exist_ok=True)
        write_json(self.volatile / f"{name}.json", value)
