"""`python -m services.stream`: run the stream."""

import sys
from typing import Any

from slipway import home

home.silence_telemetry()

from services.stream.settings import Settings  # noqa: E402
from services.web.process import serve  # noqa: E402
from slipway.access.scopes import Scope  # noqa: E402


def create(settings: Settings) -> Any:
    from services.stream import app

    return app.create(settings)


def main() -> int:
    """Serve until stopped; return 1 if it cannot start."""
    from services.stream.position import FolderLocked

    return serve("stream", Settings, scope=Scope.METRICS, create=create, refusals=(FolderLocked,))


if __name__ == "__main__":
    sys.exit(main())
