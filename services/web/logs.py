"""Logs as one JSON object a line, with the trace they belong to."""

import logging
import os
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

from pydantic_core import to_json

from services.settings import Settings

trace: ContextVar[str] = ContextVar("trace", default="")
PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Json(logging.Formatter):
    """What is given as `extra` becomes fields of the object."""

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": os.getpid(),
            "message": record.getMessage(),
        }
        if trace.get():
            told["trace"] = trace.get()
        told |= {key: value for key, value in vars(record).items() if key not in PLAIN}
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return to_json(told, fallback=str).decode()


def configure(settings: Settings) -> None:
    """To the standard error, of this process."""
    handler = logging.StreamHandler(sys.stderr)
    if settings.json_logs:
        handler.setFormatter(Json())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for loud in ("httpx", "urllib3", "mlflow", "uvicorn.access"):
        logging.getLogger(loud).setLevel(logging.WARNING)
