"""`python -m services.features`: the freshness of the online features on /metrics, on loopback.

A process of its own, so that neither the model server nor the monitor carries Feast for it (0.3 GB,
4 s to import), and so that it goes on telling of the store when they are down.
"""

import signal
import sys
import threading

from slipway import home

home.silence_telemetry()

from prometheus_client import CollectorRegistry, generate_latest, start_http_server  # noqa: E402

from slipway.features.freshness import FreshnessCollector  # noqa: E402


def main() -> int:
    """Serve until told to stop."""
    try:
        port = home.port("features")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    registry = CollectorRegistry()
    registry.register(FreshnessCollector())
    # Feast is imported by the first reading: before anybody waits for it.
    generate_latest(registry)
    try:
        server, thread = start_http_server(port, addr=home.LOOPBACK, registry=registry)
    except OSError as error:
        print(f"port {port} of features: {error}", file=sys.stderr)
        return 2
    stopping.wait()
    server.shutdown()
    server.server_close()
    thread.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
