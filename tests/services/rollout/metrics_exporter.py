"""A model server's metrics over HTTP, with values that the test sets."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    start_http_server,
)

from services.rollout import scrape
from slipway import home
from slipway.home import free_port


class MetricsExporter:
    """The metrics of a model server, as the Prometheus client writes them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ["project", "version", "variant"]
        self.requests = Counter(
            "slipway_requests", "-", [*labels, "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "slipway_request_seconds",
            "-",
            labels,
            buckets=(0.001, 0.01, 0.02, 0.05, 0.1),
            registry=self.registry,
        )
        self.serving = Gauge("slipway_model_serving", "-", labels, registry=self.registry)
        self.isolated = Gauge("slipway_model_isolated", "-", labels[:2], registry=self.registry)

    def count(self, version: str, variant: str, *, times: int = 1, seconds: float = 0.005) -> None:
        """Count requests with status 200 that took `seconds`."""
        self.requests.labels("model", version, variant, "200").inc(times)
        for _ in range(times):
            self.seconds.labels("model", version, variant).observe(seconds)

    def scraped(self) -> scrape.ServerMetrics:
        """Return the metrics of the project `model` as a rollout reads them."""
        return scrape.parse(generate_latest(self.registry).decode(), "model")

    def serve(self, version: str, variant: str, flag: int = 1) -> None:
        """Report whether the server serves the version as `variant`."""
        self.serving.labels("model", version, variant).set(flag)

    @contextmanager
    def listening(self, port: int | None = None) -> Iterator[str]:
        """Serve the metrics until the block ends; yield the address."""
        port = port or free_port()
        server, thread = start_http_server(port, addr=home.LOOPBACK, registry=self.registry)
        try:
            yield f"http://{home.LOOPBACK}:{port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join(10)
