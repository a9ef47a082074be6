"""Settings of the model server; each has an environment variable."""

import json
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from services import settings
from services.predict.batch.limits import MEMORY_BYTES, STALL_SECONDS
from services.web import cors
from slipway import home

Seconds = Annotated[float, Field(gt=0)]
Bytes = Annotated[int, Field(gt=0)]
WebAddress = Annotated[str, Field(pattern=r"^https?://[^\s/]+(/\S*)?$")]


def _object(value: Any) -> Any:
    """Parse a variable such as `{"mlflow": "https://mlflow.example/"}`."""
    return json.loads(value) if isinstance(value, str) else value


def _parse_origins(value: Any) -> Any:
    return cors.parse_origins(value) if isinstance(value, str) else value


Origins = Annotated[tuple[str, ...], BeforeValidator(_parse_origins)]


class Settings(settings.Settings):
    """`SLIPWAY_PREDICT_WORKERS=4` sets `workers`, and so on."""

    prefix = "SLIPWAY_PREDICT_"

    workers: Annotated[int, Field(ge=1, le=256)] = 1
    """Worker processes, all on one port."""
    connections: Annotated[int, Field(gt=0)] = 2000
    """Concurrent connections of a worker; it responds 503 to more."""
    reload_seconds: Seconds = 2.0
    """The time between two polls of the registry for changed aliases and policies."""

    origins: Origins = ()
    """Origins whose pages may call the server from a browser, such as https://example.org; several
    are separated by commas. `*` permits all, on loopback without keys only."""

    body_bytes: Bytes = 16 * 2**20
    """Limit of a request body, also after decompression."""
    batch_rows: Annotated[int, Field(gt=0)] = 10_000
    upload_bytes: Bytes = 4 * 2**30
    """Limit of a file to be scored as a job."""

    memory_bytes: Bytes = 2 * 2**30
    """Memory for the models of a worker; the least recently used are evicted."""
    model_bytes: Bytes = 2 * 2**30
    """Memory of one model during its try-out, or in a process of its own."""
    worker_bytes: Bytes = 6 * 2**30
    """A worker that uses more memory is replaced."""
    preload: Annotated[int, Field(ge=0)] = 16
    """Models loaded before the server is ready; the others load at their first request."""
    load_seconds: Seconds = 60.0
    inline_seconds: Seconds = 0.1
    """A model that blocks the event loop for longer is moved to a process of its own."""
    stuck_seconds: Seconds = 5.0
    """A worker that is stuck for this long is killed and replaced."""
    drain_seconds: Seconds = 30.0

    job_bytes: Bytes = MEMORY_BYTES
    """Memory of the process of a batch job."""
    job_stall_seconds: Seconds = STALL_SECONDS
    """A batch job that makes no progress for so long has failed."""

    feature_seconds: Seconds = 0.2
    """Timeout of the feature store for looking up a record's fields."""

    triton: str = ""
    """host:port of a Triton server's gRPC; if set, ONNX graphs run there."""
    grpc_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Port of the Open Inference Protocol over gRPC; 0 turns it off."""

    log: bool = True
    """Write the prediction log."""
    log_input_bytes: Annotated[int, Field(ge=0)] = 64 * 2**10
    """For longer inputs, only the hash is recorded."""
    log_thumbnails: bool = False
    """Record a thumbnail of 64 pixels of each picture. Leave it off where they show people."""
    log_segment_bytes: Annotated[int, Field(ge=2**18, le=2**30)] = 64 * 2**20
    """Size of a log segment. Each worker allocates two on disk."""
    log_days: Annotated[float, Field(gt=0)] = 30
    log_bytes: Bytes = 20 * 2**30
    traces: str = ""
    """OTLP endpoint for traces, such as http://127.0.0.1:4318; if empty, traces are off."""

    links: Annotated[dict[str, WebAddress], BeforeValidator(_object)] = Field(default_factory=dict)
    """Pages that the catalogue links to, as a JSON object: {"mlflow": "https://mlflow.example/"}.

    Without it, a server on loopback links to the services of this machine that listen.
    """

    @model_validator(mode="after")
    def _check_origins(self) -> Self:
        if cors.ANY in self.origins and (self.require_keys or not home.on_loopback(self.host)):
            raise ValueError(
                f"{self.variable('origins')}: * would let every page use the keys that visitors "
                "enter; name the origins"
            )
        return self

    @property
    def folder(self) -> Path:
        """The server's own files: verified models, the snapshot, the prediction log, jobs."""
        return home.home() / "predict"
