"""Where a model's graph runs: ONNX Runtime in the process, or a Triton server over gRPC."""

import threading
from dataclasses import dataclass
from pathlib import Path

from slipway.contract import Model
from slipway.contract.graph import opened_by
from slipway.contract.shipped import Shipped

# What opens graphs is one for the process.
_loading = threading.Lock()


@dataclass(frozen=True)
class Source:
    """A verified version on disk, and where its graph runs."""

    name: str
    version: str
    folder: Path
    triton: str = ""
    """host:port of Triton's gRPC; the process itself when empty."""

    @property
    def shipped(self) -> Shipped:
        return Shipped(self.folder)

    def load(self) -> Model:
        """Raises Exception: whatever the version's own code raises."""
        with _loading:
            if not self.triton:
                return self.shipped.load()
            from slipway.triton.graph import opener

            with opened_by(opener(self.triton, self.name, self.version)):
                return self.shipped.load()
