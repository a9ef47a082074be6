"""What can be set of the model server, each by a variable of the environment."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from services import settings
from slipway import home

Seconds = Annotated[float, Field(gt=0)]
Bytes = Annotated[int, Field(gt=0)]


class Settings(settings.Settings):
    """`SLIPWAY_PREDICT_WORKERS=4` sets `workers`, and so on."""

    prefix = "SLIPWAY_PREDICT_"

    workers: Annotated[int, Field(ge=1, le=256)] = 1
    """Processes that answer, all on one port."""
    connections: Annotated[int, Field(gt=0)] = 2000
    """A worker answers 503 to more."""
    slow_seconds: Seconds = 30.0
    """A request that is not whole after so long is cut off: its sender means ill, or is gone."""
    reload_seconds: Seconds = 2.0
    """How often the registry is asked for moved aliases and policies."""

    body_bytes: Bytes = 16 * 2**20
    """Also of what a compressed body unpacks to."""
    batch_rows: Annotated[int, Field(gt=0)] = 10_000
    upload_bytes: Bytes = 4 * 2**30
    """Of a file to be scored as a job."""

    memory_bytes: Bytes = 2 * 2**30
    """The models that a worker holds at once; the least recently used give way."""
    model_bytes: Bytes = 2 * 2**30
    """What one model may take while it is tried out or runs in a process of its own."""
    worker_bytes: Bytes = 6 * 2**30
    """A worker that has grown over it is replaced."""
    preload: Annotated[int, Field(ge=0)] = 16
    """So many models are loaded before the server calls itself ready; the others when asked."""
    load_seconds: Seconds = 60.0
    inline_seconds: Seconds = 0.1
    """A model that holds up the others for longer is moved to a process of its own."""
    stuck_seconds: Seconds = 5.0
    """A worker that answers nothing for so long is killed and replaced."""
    drain_seconds: Seconds = 30.0

    feature_seconds: Seconds = 0.2
    """How long the feature store may take to look up a record's fields."""

    triton: str = ""
    """host:port of a Triton server's gRPC; ONNX graphs then run there."""
    grpc_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Of the Open Inference Protocol over gRPC; 0 is off."""

    log: bool = True
    """Write the prediction record."""
    log_input_bytes: Annotated[int, Field(ge=0)] = 64 * 2**10
    """Longer inputs are recorded by their hash alone."""
    log_segment_bytes: Annotated[int, Field(ge=2**18, le=2**30)] = 64 * 2**20
    """Of a file of the record. Each worker holds two, in full, on the disk."""
    log_days: Annotated[float, Field(gt=0)] = 30
    log_bytes: Bytes = 20 * 2**30
    traces: str = ""
    """An OTLP endpoint such as http://127.0.0.1:4318; OpenTelemetry traces are off without."""

    @property
    def folder(self) -> Path:
        """What the server keeps: verified models, the snapshot, the prediction log, jobs."""
        return home.home() / "predict"
