"""The champions' rows, sampled from the prediction log as it grows."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from services.monitor.catalogue import Reference
from services.monitor.settings import WEEK, Settings
from slipway.monitoring.fairness import Grouping, grouping
from slipway.monitoring.labels import Labels
from slipway.monitoring.layout import Values
from slipway.monitoring.log import Follower
from slipway.monitoring.strata import Strata
from slipway.predictions.reader import seconds

log = logging.getLogger("slipway.monitor")

# The window by time moves on by a twelfth of itself: two hours of a day.
BUCKETS = 12
# Numbers kept a project: half a minute of a week each.
COUNTS = 20_000
# Clocks of hosts differ; a row from further ahead would be the newest for ever.
AHEAD_SECONDS = 300.0


@dataclass(frozen=True)
class Row:
    """A record and its answer as what is watched of them: pictures and texts are gone."""

    values: Values
    answer: dict[str, Any]
    groups: dict[str, str]


class Watched:
    """One champion's traffic since it is watched, or as far back as windows reach."""

    def __init__(self, reference: Reference, settings: Settings) -> None:
        self.reference, self.version = reference, reference.version
        self.labels = Labels(
            settings.records,
            project=self.version.name,
            version=self.version.version,
            protected=reference.declared.protected,
            limit=settings.label_rows,
        )
        self.groupings: dict[str, Grouping] = {
            name: grouping((row.get("record") or {}).get(name) for row in reference.rows)
            for name in reference.declared.protected
        }
        self.horizon = max(
            settings.window_seconds,
            settings.label_seconds + settings.maturity_of(self.version.name),
            WEEK,
        )
        self.strata: Strata[Row] = Strata(
            bucket_seconds=settings.window_seconds / BUCKETS,
            reservoir=settings.sample_rows,
            newest=settings.window_rows,
            count_seconds=self.horizon / COUNTS,
        )

    def add(self, record: dict[str, Any], at: float) -> None:
        """All rows of a prediction record."""
        inputs, outputs = record["inputs"], record["outputs"]
        if not isinstance(inputs, list):
            for _ in outputs:
                self.strata.miss(at)  # too long to be recorded: only its hash is
            return
        for sent, answer in zip(inputs, outputs, strict=False):
            if isinstance(sent, dict) and isinstance(answer, dict):
                self.strata.add(at, _Reading(self, sent, answer))
            else:
                self.strata.miss(at)

    def read(self, sent: dict[str, Any], answer: dict[str, Any]) -> Row:
        layout = self.reference.layout
        return Row(layout.values(sent, answer), plain(answer), self.groups(sent))

    def groups(self, sent: dict[str, Any]) -> dict[str, str]:
        defaults = self.reference.layout.defaults
        return {
            name: group(sent.get(name, defaults.get(name)))
            for name, group in self.groupings.items()
        }


@dataclass(frozen=True)
class _Reading:
    watched: Watched
    sent: dict[str, Any]
    answer: dict[str, Any]

    def __call__(self) -> Row:
        return self.watched.read(self.sent, self.answer)


class Traffic:
    """All champions', brought up to date by reading what was written since."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.watched: dict[str, Watched] = {}
        self.follower = Follower(settings.records)
        self.bad_records = 0

    def update(self, references: dict[str, Reference], now: float) -> None:
        """Follow the log for those champions; a new one is looked up in what was read before.

        Raises:
            OSError: the log's disk is dead or refuses.
        """
        known = {
            name: each
            for name, each in self.watched.items()
            if name in references and references[name].version == each.version
        }
        self._feed(known, self.follower.advance(since=self._since(known, now)), now)
        fresh = {
            name: Watched(reference, self.settings)
            for name, reference in references.items()
            if name not in known
        }
        if fresh:
            self._feed(fresh, self.follower.again(since=self._since(fresh, now)), now)
        self.watched = {**known, **fresh}
        for each in self.watched.values():
            each.strata.settle()
            each.strata.forget(
                rows_before=now - self.settings.window_seconds - each.strata.bucket_seconds,
                counts_before=now - each.horizon,
            )

    def _since(self, watched: dict[str, Watched], now: float) -> float:
        return now - max((each.horizon for each in watched.values()), default=WEEK)

    def _feed(
        self, watched: dict[str, Watched], records: Iterable[dict[str, Any]], now: float
    ) -> None:
        for record in records:
            # A record of ours has all of this; the log may hold others'.
            try:
                each = watched.get(str(record.get("project")))
                if (
                    each is None
                    or record["variant"] != "champion"
                    or record["version"] != each.version.version
                ):
                    continue
                at = seconds(record["time"])
                if now - each.horizon <= at <= now + AHEAD_SECONDS:
                    each.add(record, at)
            except Exception as error:
                self.bad_records += 1
                if self.bad_records in (1, 10, 100) or self.bad_records % 1000 == 0:
                    log.warning("%d records could not be used: %r", self.bad_records, error)


def plain(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer's single values; lists and objects of it are not kept."""
    return {name: value for name, value in answer.items() if not isinstance(value, list | dict)}
