"""`python -m services.monitor`"""

import os
import sys

from slipway import home

home.silence_telemetry()
# MLflow would ask a registry that is away for four minutes; the next round asks again anyway.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")

from pydantic import ValidationError  # noqa: E402

from services.monitor.guard import Guard, Unguarded  # noqa: E402
from services.monitor.settings import Settings  # noqa: E402


def main() -> int:
    """Serve until told to stop."""
    try:
        settings = Settings.from_environment()
        port = home.port("monitor")
    except ValidationError as error:
        for fault in error.errors():
            name = Settings.variable(str(fault["loc"][0]))
            print(f"{name}: {fault['msg']}, got {fault['input']!r:.60}", file=sys.stderr)
        return 2
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        guard = Guard(settings)
    except Unguarded as error:
        print(error, file=sys.stderr)
        return 2
    import uvicorn

    from services.monitor.app import create
    from services.predict import logs
    from services.predict.settings import Settings as PredictSettings

    logs.configure(PredictSettings(json_logs=settings.json_logs))
    uvicorn.run(
        create(settings, guard),
        host=settings.host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
