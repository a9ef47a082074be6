"""Loads a version whose graph runs in this process (ONNX Runtime) or on a Triton server."""

import threading
from dataclasses import dataclass
from pathlib import Path

from slipway.contract import Model
from slipway.contract.graph import opened_by
from slipway.contract.shipped import Shipped

# The function that opens graphs is set for the whole process.
_load_lock = threading.Lock()


@dataclass(frozen=True)
class VersionFiles:
    """A verified version on disk, and the backend that runs its graph."""

    name: str
    version: str
    folder: Path
    triton: str = ""
    """host:port of Triton's gRPC; if empty, the graph runs in this process."""
    thumbnails: bool = False
    """Keep small pictures of the pictures in the prediction log."""

    @property
    def shipped(self) -> Shipped:
        return Shipped(self.folder)

    def load(self) -> Model:
        """Load the model.

        Raises:
            Exception: raised by the version's own code.
        """
        with _load_lock:
            if not self.triton:
                return self.shipped.load()
            from services.predict.triton.graph import opener

            with opened_by(opener(self.triton, self.name, self.version)):
                return self.shipped.load()
