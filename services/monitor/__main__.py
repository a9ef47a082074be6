"""Entry point of `python -m services.monitor`."""

import os
import sys
from typing import Any

from slipway import home

home.silence_telemetry()
# MLflow would retry an unreachable registry for four minutes; the next round retries anyway.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")

from services.monitor.settings import Settings  # noqa: E402
from services.web.process import serve  # noqa: E402
from slipway.access.scopes import Scope  # noqa: E402


def create(settings: Settings) -> Any:
    """Return the application; imported only after the settings are valid, as Evidently is slow."""
    from services.monitor import app

    return app.create(settings)


def main() -> int:
    """Serve until a signal stops the process; return 1 if it cannot start."""
    return serve("monitor", Settings, scope=Scope.METRICS, create=create)


if __name__ == "__main__":
    sys.exit(main())
