"""`python -m services.metrics_page`: write docs/metrics.md, the metrics of each service."""

from collections.abc import Iterator

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from slipway import home

FILE = "docs/metrics.md"
HEAD = """# Metrics of the services

`python -m services.metrics_page` generates this page from the code; a test checks that it is up to
date. A histogram has `_bucket` (with `le`), `_sum` and `_count`. Prometheus adds `job` and
`instance`.
"""


def _metrics_in(module: object) -> Iterator[MetricWrapperBase]:
    """Yield the metrics that a module defines, in order."""
    for value in vars(module).values():
        if isinstance(value, Counter | Gauge | Histogram):
            yield value


def _row(metric: MetricWrapperBase) -> str:
    name = f"{metric._name}_total" if isinstance(metric, Counter) else metric._name
    return _line(name, str(metric._type), tuple(metric._labelnames), metric._documentation)


def _line(name: str, kind: str, labels: tuple[str, ...], text: str) -> str:
    return f"| `{name}` | {kind} | {', '.join(labels)} | {text} |"


def tables() -> dict[str, list[str]]:
    """Return the table rows by service."""
    from services.monitor import metrics as monitor
    from services.predict import metrics as predict
    from services.predict import supervisor
    from services.stream import metrics as stream
    from services.trainer import metrics as trainer
    from slipway.features.freshness import FreshnessCollector

    modules = {
        "predict": [predict, supervisor],
        "monitor": [monitor],
        "trainer": [trainer],
        "stream": [stream],
    }
    rows = {
        name: [_row(metric) for module in members for metric in _metrics_in(module)]
        for name, members in modules.items()
    }
    rows["features"] = [
        _line(family.name, family.type, tuple(family._labelnames), family.documentation)
        for family in FreshnessCollector().describe()
    ]
    return rows


def page() -> str:
    """Return the text of the page."""
    parts = [HEAD]
    for name, rows in tables().items():
        head = ["| metric | kind | labels | |", "| --- | --- | --- | --- |"]
        parts.append("\n".join([f"## {name}", "", *head, *rows]) + "\n")
    return "\n".join(parts)


def main() -> None:
    (home.root() / FILE).write_text(page())
    print(f"{FILE} written")


if __name__ == "__main__":
    main()
