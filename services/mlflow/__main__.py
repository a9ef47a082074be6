"""Entry point of `python -m services.mlflow`."""

import sys
from typing import Any

from services.mlflow.settings import Settings
from services.web.process import serve
from slipway import home
from slipway.access.scopes import Scope


def create(settings: Settings) -> Any:
    """Return the application; imported only after the settings are valid, as MLflow is slow."""
    from services.mlflow import app

    return app.create(settings)


def main() -> int:
    """Serve until a signal stops the process; return 1 if it cannot start."""
    home.silence_telemetry()
    return serve("mlflow", Settings, scope=Scope.REGISTRY, create=create)


if __name__ == "__main__":
    sys.exit(main())
