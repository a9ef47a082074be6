"""Writes logs as JSON lines, each with the id of its trace."""

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
    """Formats a record as a JSON object; values passed as `extra` become fields."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": os.getpid(),
            "message": record.getMessage(),
        }
        if trace.get():
            fields["trace"] = trace.get()
        fields |= {key: value for key, value in vars(record).items() if key not in PLAIN}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return to_json(fields, fallback=str).decode()


def configure(settings: Settings) -> None:
    """Send this process's logs to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    if settings.json_logs:
        handler.setFormatter(Json())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("httpx", "urllib3", "mlflow", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
