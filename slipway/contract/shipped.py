"""The folder of a registered version, loaded without MLflow."""

import importlib.util
import itertools
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.contract import serving
from slipway.contract.graph import threads_per_graph
from slipway.contract.model import Model, published_by
from slipway.contract.serving import Serving

REFERENCE = "reference.jsonl"
_numbers = itertools.count()


@dataclass(frozen=True)
class Shipped:
    """A version's folder as MLflow stores it; only the parts named here are Slipway's."""

    folder: Path

    @property
    def code(self) -> Path:
        return self.folder / "model.py"

    @property
    def weights(self) -> Path:
        return self.folder / "artifacts" / "weights"

    @property
    def about(self) -> Path:
        return self.folder / "artifacts" / "about"

    @property
    def parts(self) -> list[Path]:
        """The files and folders that the digest covers; nothing else is read."""
        return [self.code, self.weights, self.about]

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
        """What a server must know before it loads the version."""
        return serving.read(self.about)

    @property
    def reference(self) -> list[dict[str, Any]]:
        """Training rows in JSON types that explanations compare with; often none."""
        file = self.about / REFERENCE
        if not file.is_file():
            return []
        return [json.loads(line) for line in file.read_text().splitlines()]

    def declare(self) -> Model:
        """Run `model.py` without loading its weights. Check the digest first: this runs code.

        Raises:
            TypeError: the file publishes no model.
            Exception: whatever its code raises.
        """
        name = f"_slipway_shipped_{next(_numbers)}"
        spec = importlib.util.spec_from_file_location(name, self.code)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # Type hints are looked up by module name.
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
            return published_by(name)
        except BaseException:
            sys.modules.pop(name, None)
            raise

    def load(self) -> Model:
        """Run `model.py` and load its weights.

        Raises:
            Exception: whatever its code raises.
        """
        model = self.declare()
        with threads_per_graph(self.serving.threads):
            model.load(self.weights)
        return model
