"""The champions' rows, sampled from the prediction log as it grows."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from services.monitor.catalogue import Reference
from services.monitor.labels import Labels
from services.monitor.layout import Values
from services.monitor.log import Follower
from services.monitor.settings import WEEK, Settings
from services.monitor.window_sampler import WindowSampler
from slipway.predictions.reader import seconds
from slipway.quality.fairness import Grouping, grouping

log = logging.getLogger("slipway.monitor")

# The time window moves by a twelfth of its length: two hours of a day.
BUCKETS = 12
# Row counts that are kept for each project: each covers half a minute of a week.
COUNTS = 20_000
# Clocks of hosts differ; a row from farther in the future would stay the newest.
AHEAD_SECONDS = 300.0


@dataclass(frozen=True)
class ComparedRow:
    """The compared values of a record and its prediction, without pictures and texts."""

    values: Values
    prediction: dict[str, Any]
    groups: dict[str, str]


class Watched:
    """The traffic of one champion, as far back as its windows reach."""

    def __init__(self, reference: Reference, settings: Settings) -> None:
        self.reference, self.version = reference, reference.version
        self.labels = Labels(
            settings.records,
            project=self.version.name,
            version=self.version.version,
            protected=reference.declaration.protected,
            limit=settings.label_rows,
        )
        self.groupings: dict[str, Grouping] = {
            name: grouping((row.get("record") or {}).get(name) for row in reference.rows)
            for name in reference.declaration.protected
        }
        self.horizon = max(
            settings.window_seconds,
            settings.label_seconds + settings.maturity_for(self.version.name),
            WEEK,
        )
        self.sampler: WindowSampler[ComparedRow] = WindowSampler(
            bucket_seconds=settings.window_seconds / BUCKETS,
            reservoir=settings.sample_rows,
            newest=settings.window_rows,
            count_seconds=self.horizon / COUNTS,
        )

    def add(self, record: dict[str, Any], at: float) -> None:
        """Add all rows of a prediction record."""
        inputs, outputs = record["inputs"], record["outputs"]
        if not isinstance(inputs, list):
            for _ in outputs:
                self.sampler.miss(at)  # too long: only the hash was logged
            return
        columns = record.get("features") or {}
        for row, (sent, prediction) in enumerate(zip(inputs, outputs, strict=False)):
            if isinstance(sent, dict) and isinstance(prediction, dict):
                features = {name: values[row] for name, values in columns.items()}
                self.sampler.add(at, _DeferredRow(self, sent, prediction, features))
            else:
                self.sampler.miss(at)

    def read(
        self, sent: dict[str, Any], prediction: dict[str, Any], features: dict[str, Any]
    ) -> ComparedRow:
        """Return the row of a record, its prediction and its monitoring features."""
        values = self.reference.layout.values(sent, prediction, features)
        return ComparedRow(values, plain(prediction), self.groups(sent))

    def groups(self, sent: dict[str, Any]) -> dict[str, str]:
        """Return the record's group by protected field."""
        defaults = self.reference.layout.defaults
        return {
            name: group(sent.get(name, defaults.get(name)))
            for name, group in self.groupings.items()
        }


@dataclass(frozen=True)
class _DeferredRow:
    """A row that is read only if it is sampled."""

    watched: Watched
    sent: dict[str, Any]
    prediction: dict[str, Any]
    features: dict[str, Any]

    def __call__(self) -> ComparedRow:
        return self.watched.read(self.sent, self.prediction, self.features)


class Traffic:
    """The traffic of all champions, updated from the new records of the log."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.watched: dict[str, Watched] = {}
        self.follower = Follower(settings.records)
        self.bad_records = 0

    def update(self, references: dict[str, Reference], now: float) -> None:
        """Read new records for these champions; for a new champion, earlier records are read again.

        Raises:
            OSError: the log cannot be read from its disk.
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
            each.sampler.settle()
            each.sampler.forget(
                rows_before=now - self.settings.window_seconds - each.sampler.bucket_seconds,
                counts_before=now - each.horizon,
            )

    def _since(self, watched: dict[str, Watched], now: float) -> float:
        return now - max((each.horizon for each in watched.values()), default=WEEK)

    def _feed(
        self, watched: dict[str, Watched], records: Iterable[dict[str, Any]], now: float
    ) -> None:
        for record in records:
            # Every record of the model server has these fields; the folder may hold foreign files.
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


def plain(prediction: dict[str, Any]) -> dict[str, Any]:
    """Return the prediction's fields without lists and objects."""
    return {name: value for name, value in prediction.items() if not isinstance(value, list | dict)}
