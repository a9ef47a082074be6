"""Calls the models of a Slipway model server, in the usual way or with asyncio."""

from .answers import Media, ModelInfo, Prediction
from .async_client import AsyncClient, AsyncModel, AsyncStream, AsyncTask
from .client import Client, Model, Stream, Task
from .errors import (
    Busy,
    Canceled,
    FieldError,
    InvalidInput,
    NotFound,
    NotPermitted,
    Refused,
    SlipwayError,
    StreamBroken,
    TimedOut,
    Unreachable,
)
from .retries import Retries

__all__ = [
    "AsyncClient",
    "AsyncModel",
    "AsyncStream",
    "AsyncTask",
    "Busy",
    "Canceled",
    "Client",
    "FieldError",
    "InvalidInput",
    "Media",
    "Model",
    "ModelInfo",
    "NotFound",
    "NotPermitted",
    "Prediction",
    "Refused",
    "Retries",
    "SlipwayError",
    "Stream",
    "StreamBroken",
    "Task",
    "TimedOut",
    "Unreachable",
]
