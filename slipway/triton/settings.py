"""What can be set of the models in a Triton repository."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Backend = Literal["onnx", "tensorrt", "python"]
Kind = Literal["KIND_CPU", "KIND_GPU"]
Count = Annotated[int, Field(ge=1, le=64)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class QueuePolicy(_Settings):
    """Requests over it are refused at once: a late answer is worth less than an early refusal."""

    max_queue_size: Annotated[int, Field(ge=0)] = 1024
    """0 is without limit."""
    timeout_microseconds: Annotated[int, Field(ge=0)] = 2_000_000
    """A request that waited so long is refused; 0 is never."""


class Instances(_Settings):
    """Copies of the graph that run side by side."""

    count: Count = 1
    kind: Kind | None = None
    """Not given: KIND_GPU for TensorRT, else KIND_CPU."""
    threads: Count = 1
    """Of one copy, within one operator, on CPU."""


class TritonSettings(_Settings):
    """One for all models of a repository.

    Raises:
        pydantic.ValidationError: a preferred batch is larger than the largest.
    """

    max_batch_size: Annotated[int, Field(ge=1, le=65536)] = 256
    """Rows; graphs whose first axis is fixed take one request at a time."""
    preferred_batch_sizes: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Only of use where some sizes are faster than the ones between, as with TensorRT profiles."""
    max_queue_delay_microseconds: Annotated[int, Field(ge=0)] = 500
    """So long a request waits for others to share its run."""
    queue: QueuePolicy = QueuePolicy()
    instances: Instances = Instances()
    precision: Literal["FP32", "FP16", "INT8"] = "FP16"
    """Of TensorRT; INT8 wants a graph that is quantized already."""
    max_workspace_size_bytes: Annotated[int, Field(ge=2**20)] = 2**30
    """Of the GPU's memory, for TensorRT while it runs."""
    engine_cache: Path = Path("/var/cache/slipway/tensorrt")
    """On Triton's machine. TensorRT takes minutes to build an engine; later starts read it here."""
    warmup: bool = True
    """Run each graph before Triton calls it ready: on one row and on the largest batch."""
    versions: Annotated[int, Field(ge=1, le=16)] = 2
    """Of a model, side by side, so that model servers can move to the new one one by one."""

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
        """Raises ValueError: TensorRT on CPU."""
        if backend == "tensorrt" and self.instances.kind == "KIND_CPU":
            raise ValueError("instances.kind must be KIND_GPU for backend tensorrt, got KIND_CPU")
        return self.instances.kind or ("KIND_GPU" if backend == "tensorrt" else "KIND_CPU")
