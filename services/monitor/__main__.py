"""`python -m services.monitor`"""

import os
import sys

from slipway import home

home.silence_telemetry()
# MLflow would ask a registry that is away for four minutes; the next round asks again anyway.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")

from services.monitor.settings import Settings  # noqa: E402
from services.web import logs  # noqa: E402
from services.web.guard import Unguarded, ensure_guarded  # noqa: E402
from slipway.access.scopes import Scope  # noqa: E402


def main() -> int:
    """Serve until told to stop."""
    try:
        settings = Settings.from_environment()
        port = home.port("monitor")
        ensure_guarded(settings, Scope.METRICS)
    except (ValueError, Unguarded) as error:
        print(f"monitor: {error}", file=sys.stderr)
        return 2
    import uvicorn

    from services.monitor.app import create

    logs.configure(settings)
    uvicorn.run(
        create(settings),
        host=settings.host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
