"""`python -m services.features`: the freshness of the online features on /metrics.

A process of its own, so that neither the model server nor the monitor carries Feast for it (0.3 GB,
4 s to import), and so that it goes on telling of the store when they are down.
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
    # Feast is imported by the first reading: before anybody waits for it.
    generate_latest(registry)
    return app.create(settings, registry)


if __name__ == "__main__":
    sys.exit(serve("features", Settings, scope=Scope.METRICS, create=create))
