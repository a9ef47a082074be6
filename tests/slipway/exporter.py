"""The figures of a model server that a test decides on, over HTTP."""

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

from slipway import home
from slipway.home import free_port
from slipway.rollout import scrape


class Exporter:
    """The model server's metrics of one project, as the Prometheus client writes them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        whose = ["project", "version", "variant"]
        self.requests = Counter("slipway_requests", "-", [*whose, "status"], registry=self.registry)
        self.seconds = Histogram(
            "slipway_request_seconds",
            "-",
            whose,
            buckets=(0.001, 0.01, 0.02, 0.05, 0.1),
            registry=self.registry,
        )
        self.serving = Gauge("slipway_model_serving", "-", whose, registry=self.registry)
        self.isolated = Gauge("slipway_model_isolated", "-", whose[:2], registry=self.registry)

    def answer(self, version: str, variant: str, *, times: int = 1, seconds: float = 0.005) -> None:
        self.requests.labels("model", version, variant, "200").inc(times)
        for _ in range(times):
            self.seconds.labels("model", version, variant).observe(seconds)

    def scraped(self) -> scrape.Scraped:
        return scrape.parsed(generate_latest(self.registry).decode(), "model")

    def serve(self, version: str, variant: str, flag: int = 1) -> None:
        self.serving.labels("model", version, variant).set(flag)

    @contextmanager
    def listening(self, port: int | None = None) -> Iterator[str]:
        """Its address, until the block ends."""
        port = port or free_port()
        server, thread = start_http_server(port, addr=home.LOOPBACK, registry=self.registry)
        try:
            yield f"http://{home.LOOPBACK}:{port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join(10)
