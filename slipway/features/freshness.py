"""How fresh the online store is: of each view the newest event, the rows, the last filling."""

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
    """Of one view. Without a mark it was never materialized, or the store was emptied since."""

    view: str
    mark: Mark | None
    is_current: bool
    """The store was filled by today's definition."""

    def event_age_seconds(self, now: datetime) -> float | None:
        """From the newest event to what the store's clock shows; None if there is no event."""
        if self.mark is None or self.mark.newest is None:
            return None
        return (self.mark.clock(now) - self.mark.newest).total_seconds()


def freshness(folder: Path | None = None, *, timeout: float = TIMEOUT_SECONDS) -> list[Freshness]:
    """Of every view of the repository; `folder` holds the store, ours by default.

    Raises:
        StoreUnreachable: the online store is not there or does not answer.
    """
    from slipway.features import definitions
    from slipway.features.online_stores import faults, open_store

    known = definitions.load()
    with faults():
        opened = open_store(folder, timeout=timeout)
        try:
            return _of(known, opened.marks.read())
        finally:
            opened.close()


def _of(known: "Definitions", marks: dict[str, Mark]) -> list[Freshness]:
    from slipway.features.definitions import fingerprint

    return [
        Freshness(
            name, mark := marks.get(name), mark is not None and mark.definition == fingerprint(view)
        )
        for name, view in known.views.items()
    ]


class FreshnessCollector(Collector):
    """Gauges for a service's `/metrics`, read from the store whenever they are asked for.

    `slipway_features_store_up` is 0 when the store cannot be reached; the others are then missing,
    as those of a view are that is not in the store.
    """

    def __init__(self, folder: Path | None = None, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self._folder = folder
        self._timeout = timeout

    def describe(self) -> list[GaugeMetricFamily]:
        """The names, without asking the store: called when the collector is registered."""
        return list(_families().values())

    def collect(self) -> Iterator[GaugeMetricFamily]:
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
    told = {
        "view_materialized": "1 if the view is in the online store",
        "view_current": "1 if it was filled by the definition of today",
        "materialized_rows": "Rows written since the view was last emptied",
        "last_materialization_timestamp_seconds": "When the view was last filled, Unix time",
        "newest_event_age_seconds": "From the view's newest event to what the store's clock shows",
    }
    families = {
        name: GaugeMetricFamily(f"slipway_features_{name}", text, labels=["view"])
        for name, text in told.items()
    }
    families["store_up"] = GaugeMetricFamily(
        "slipway_features_store_up", "1 if the online store answered", labels=[]
    )
    return families
