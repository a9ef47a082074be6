"""The folder of a registered version, loaded without MLflow."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.contract import serving
from slipway.contract.graph import threads_per_graph
from slipway.contract.model import Model
from slipway.contract.modules import load_file, load_package
from slipway.contract.serving import Serving

REFERENCE = "reference.jsonl"


@dataclass(frozen=True)
class Shipped:
    """A version's folder as MLflow stores it; only the parts named here are Slipway's."""

    folder: Path

    @property
    def entry(self) -> Path:
        """The script that MLflow runs: the project's `model.py`, unless that has siblings."""
        return self.folder / "model.py"

    @property
    def packages(self) -> Path:
        """The folder of `package`; only projects whose `model.py` has siblings have it."""
        return self.folder / "code"

    @property
    def package(self) -> Path | None:
        """The folder with the project's `model.py` and the siblings that it imports."""
        if not self.packages.is_dir():
            return None
        return next((each for each in sorted(self.packages.iterdir()) if each.is_dir()), None)

    @property
    def code(self) -> Path:
        """The project's `model.py`."""
        return self.package / "model.py" if self.package else self.entry

    @property
    def weights(self) -> Path:
        return self.folder / "artifacts" / "weights"

    @property
    def about(self) -> Path:
        return self.folder / "artifacts" / "about"

    @property
    def parts(self) -> list[Path]:
        """The files and folders that the digest covers; nothing else is read."""
        own = [self.entry, self.weights, self.about]
        return [*own, self.packages] if self.packages.is_dir() else own

    @property
    def card(self) -> str:
        return (self.about / "card.md").read_text()

    @property
    def metrics(self) -> dict[str, float]:
        content: dict[str, float] = json.loads((self.about / "metrics.json").read_text())["metrics"]
        return content

    @property
    def examples(self) -> list[dict[str, Any]]:
        """Example requests with their predictions, as `input` and `output` in JSON types."""
        content: list[dict[str, Any]] = json.loads((self.about / "examples.json").read_text())
        return content

    @property
    def serving(self) -> Serving:
        """The facts that a server needs before it loads the version."""
        return serving.read(self.about)

    @property
    def reference(self) -> list[dict[str, Any]]:
        """Training rows in JSON types that explanations compare with; often none."""
        file = self.about / REFERENCE
        if not file.is_file():
            return []
        return [json.loads(line) for line in file.read_text().splitlines()]

    def declare(self) -> Model:
        """Run the model's code without loading its weights. Check the digest first: this runs code.

        Raises:
            TypeError: the code publishes no model.
            Exception: whatever its code raises.
        """
        return load_package(self.package) if self.package else load_file(self.code)

    def load(self) -> Model:
        """Run the model's code and load its weights.

        Raises:
            Exception: whatever its code raises.
        """
        model = self.declare()
        with threads_per_graph(self.serving.threads):
            model.load(self.weights)
        return model
