"""Freshness of the online store: newest event, rows and last materialization of each view."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from slipway.features.marks import Mark

if TYPE_CHECKING:
    from slipway.features.definitions import Definitions

TIMEOUT_SECONDS = 0.5


@dataclass(frozen=True)
class Freshness:
    """A view's freshness. Without a mark, it was never materialized or the store was emptied."""

    view: str
    mark: Mark | None
    is_current: bool
    """True if the view was materialized with its current definition."""

    def event_age_seconds(self, now: datetime) -> float | None:
        """Return the newest event's age by the store's clock; None if there is no event."""
        if self.mark is None or self.mark.newest is None:
            return None
        return (self.mark.clock(now) - self.mark.newest).total_seconds()


def freshness(folder: Path | None = None, *, timeout: float = TIMEOUT_SECONDS) -> list[Freshness]:
    """Return the freshness of every view; `folder` holds the store, by default Slipway's own.

    Raises:
        StoreUnreachable: the online store does not exist or does not respond.
    """
    from slipway.features import definitions
    from slipway.features.online_stores import faults, open_store

    known = definitions.load()
    with faults():
        opened = open_store(folder, timeout=timeout)
        try:
            return _freshness(known, opened.marks.read())
        finally:
            opened.close()


def _freshness(known: "Definitions", marks: dict[str, Mark]) -> list[Freshness]:
    from slipway.features.definitions import fingerprint

    return [
        Freshness(
            name, mark := marks.get(name), mark is not None and mark.definition == fingerprint(view)
        )
        for name, view in known.views.items()
    ]


class FreshnessCollector(Collector):
    """Gauges for a service's `/metrics`, read from the store at each scrape.

    `slipway_features_store_up` is 0 if the store cannot be reached; the other gauges are missing
    then. Most gauges of a view that is not in the store are missing, too.
    """

    def __init__(self, folder: Path | None = None, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self._folder = folder
        self._timeout = timeout

    def describe(self) -> list[GaugeMetricFamily]:
        """Return the metric names without reading the store; called at registration."""
        return list(_families().values())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read the store and yield the gauges."""
        from slipway.features.online_stores import StoreUnreachable

        families = _families()
        try:
            found = freshness(self._folder, timeout=self._timeout)
        except StoreUnreachable:
            found = []
            families["store_up"].add_metric([], 0)
        else:
            families["store_up"].add_metric([], 1)
        now = datetime.now(UTC)
        for each in found:
            families["view_materialized"].add_metric([each.view], each.mark is not None)
            if each.mark is None:
                continue
            age = each.event_age_seconds(now)
            values = {
                "view_current": float(each.is_current),
                "materialized_rows": float(each.mark.rows),
                "last_materialization_timestamp_seconds": each.mark.materialized_at.timestamp(),
            }
            if age is not None:
                values["newest_event_age_seconds"] = age
            for name, value in values.items():
                families[name].add_metric([each.view], value)
        yield from families.values()


def _families() -> dict[str, GaugeMetricFamily]:
    texts = {
        "view_materialized": "1 if the view is in the online store",
        "view_current": "1 if the view was materialized with its current definition",
        "materialized_rows": "Rows written since the view was last emptied",
        "last_materialization_timestamp_seconds": "Unix time of the view's last materialization",
        "newest_event_age_seconds": "Age of the view's newest event by the store's clock",
    }
    families = {
        name: GaugeMetricFamily(f"slipway_features_{name}", text, labels=["view"])
        for name, text in texts.items()
    }
    families["store_up"] = GaugeMetricFamily(
        "slipway_features_store_up", "1 if the online store responded", labels=[]
    )
    return families
