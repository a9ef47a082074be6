"""Settings of the models in a Triton repository."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Backend = Literal["onnx", "tensorrt", "python"]
Kind = Literal["KIND_CPU", "KIND_GPU"]
Count = Annotated[int, Field(ge=1, le=64)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class QueuePolicy(_Settings):
    """Limits of a model's queue; Triton rejects requests that exceed them."""

    max_queue_size: Annotated[int, Field(ge=0)] = 1024
    """0 means no limit."""
    timeout_microseconds: Annotated[int, Field(ge=0)] = 2_000_000
    """A request that waited this long is rejected; 0 means never."""


class Instances(_Settings):
    """Copies of the graph that run in parallel."""

    count: Count = 1
    kind: Kind | None = None
    """By default KIND_GPU for TensorRT, else KIND_CPU."""
    threads: Count = 1
    """Threads of one copy, within one operator, on CPU."""


class TritonSettings(_Settings):
    """The settings for all models of a repository.

    Raises:
        pydantic.ValidationError: a preferred batch size exceeds `max_batch_size`.
    """

    max_batch_size: Annotated[int, Field(ge=1, le=65536)] = 256
    """In rows; graphs with a fixed first axis run one request at a time."""
    preferred_batch_sizes: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Useful only if some sizes are faster than those between, as with TensorRT profiles."""
    max_queue_delay_microseconds: Annotated[int, Field(ge=0)] = 500
    """The time that a request waits for others to join its batch."""
    queue: QueuePolicy = QueuePolicy()
    instances: Instances = Instances()
    precision: Literal["FP32", "FP16", "INT8"] = "FP16"
    """Precision of TensorRT; INT8 needs a graph that is already quantized."""
    max_workspace_size_bytes: Annotated[int, Field(ge=2**20)] = 2**30
    """GPU memory for TensorRT while it runs."""
    engine_cache: Path = Path("/var/cache/slipway/tensorrt")
    """Folder on Triton's machine. TensorRT builds an engine in minutes; later starts reuse it."""
    warmup: bool = True
    """Run each graph on one row and on the largest batch before Triton reports it ready."""
    versions: Annotated[int, Field(ge=1, le=16)] = 2
    """Versions kept per model, so that model servers can switch to the new one one by one."""

    @model_validator(mode="after")
    def _batches(self) -> "TritonSettings":
        largest = max(self.preferred_batch_sizes, default=0)
        if largest > self.max_batch_size:
            raise ValueError(
                f"preferred_batch_sizes must be at most max_batch_size {self.max_batch_size}, "
                f"got {largest}"
            )
        return self

    def kind(self, backend: Backend) -> Kind:
        """Return the kind of device for the backend.

        Raises:
            ValueError: TensorRT on CPU.
        """
        if backend == "tensorrt" and self.instances.kind == "KIND_CPU":
            raise ValueError("instances.kind must be KIND_GPU for backend tensorrt, got KIND_CPU")
        return self.instances.kind or ("KIND_GPU" if backend == "tensorrt" else "KIND_CPU")
