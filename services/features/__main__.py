"""`python -m services.features`: serve the freshness of the online features on /metrics.

It is a separate process, so that the model server and the monitor need not load Feast for it
(0.3 GB, 4 s to import), and so that it keeps reporting on the store when they are down.
"""

import sys
from typing import Any

from slipway import home

home.silence_telemetry()

from services.features.settings import Settings  # noqa: E402
from services.web.process import serve  # noqa: E402
from slipway.access.scopes import Scope  # noqa: E402


def create(settings: Settings) -> Any:
    from prometheus_client import CollectorRegistry, generate_latest

    from services.features import app
    from slipway.features.freshness import FreshnessCollector

    registry = CollectorRegistry()
    registry.register(FreshnessCollector())
    # The first collection imports Feast; do it before the first scrape.
    generate_latest(registry)
    return app.create(settings, registry)


if __name__ == "__main__":
    sys.exit(serve("features", Settings, scope=Scope.METRICS, create=create))
