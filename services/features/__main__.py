"""`python -m services.features`: the freshness of the online features on /metrics.

A process of its own, so that neither the model server nor the monitor carries Feast for it (0.3 GB,
4 s to import), and so that it goes on telling of the store when they are down.
"""

import sys

from slipway import home

home.silence_telemetry()

from services.features.settings import Settings  # noqa: E402
from services.web import logs  # noqa: E402
from services.web.guard import Unguarded, ensure_guarded  # noqa: E402
from slipway.access.scopes import Scope  # noqa: E402


def main() -> int:
    """Serve until told to stop."""
    try:
        settings = Settings.from_environment()
        port = home.port("features")
        ensure_guarded(settings, Scope.METRICS)
    except (ValueError, Unguarded) as error:
        print(f"features: {error}", file=sys.stderr)
        return 2
    import uvicorn
    from prometheus_client import CollectorRegistry, generate_latest

    from services.features.app import create
    from slipway.features.freshness import FreshnessCollector

    logs.configure(settings)
    registry = CollectorRegistry()
    registry.register(FreshnessCollector())
    # Feast is imported by the first reading: before anybody waits for it.
    generate_latest(registry)
    uvicorn.run(
        create(settings, registry),
        host=settings.host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
